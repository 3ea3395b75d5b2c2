"""The device that models run on: choosing it, its ONNX Runtime options, opening sessions on it."""

import ctypes
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import onnxruntime
import structlog

from facecore.errors import DeviceUnavailable
from models.archives import sha256_of
from models.fetch import ModelsUnavailable

log = structlog.get_logger(__name__)

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
GPU_MEMORY_LIMIT_BYTES = 4 << 30
"""Limit of the memory arena of one session."""
COMPETING_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
"""Import name → distributions that install it. Two of them overwrite each other's files."""


class TensorRT(NamedTuple):
    """Settings of the TensorRT execution provider.

    Attributes:
        precision: number format of the computation.
        engines: directory where built engines are cached; building one takes minutes.
    """

    precision: Literal["fp32", "fp16"]
    engines: Path


@dataclass(frozen=True, slots=True)
class Device:
    """The device that sessions are opened on.

    Attributes:
        requested: the operator's setting. "auto" falls back to the CPU, "cuda" never does.
        gpu: whether sessions try CUDA.
        tensorrt: if set, TensorRT runs the parts of a graph that it supports and CUDA the rest.
    """

    requested: Literal["auto", "cpu", "cuda"]
    gpu: bool
    tensorrt: TensorRT | None = None

    def providers(self, file: Path) -> list[Any]:
        """Returns the execution providers for a model file, in order of preference, with their options.

        Two options make results repeatable: HEURISTIC chooses a convolution algorithm without timing trials, and
        TF32 is off. The arena grows by the requested size instead of doubling.

        Raises:
            DeviceUnavailable: TensorRT's engines cannot be stored.
        """
        if not self.gpu:
            return [CPU]
        options = {
            "gpu_mem_limit": GPU_MEMORY_LIMIT_BYTES,
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": 0,
        }
        if self.tensorrt is None:
            return [(CUDA, options), CPU]
        return [(TENSORRT, _tensorrt_options(self.tensorrt, file)), (CUDA, options), CPU]


def _tensorrt_options(tensorrt: TensorRT, file: Path) -> dict[str, Any]:
    """Creates the engine directory of a model file.

    ONNX Runtime names an engine by the graph's names and the GPU, not by its weights, and a new release needs an
    empty directory. So the directory's name contains the file's hash and the release.
    """
    directory = tensorrt.engines / f"{file.stem}-{sha256_of(file)[:8]}-{onnxruntime.__version__}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceUnavailable(f"INSIGHTFACE_ENGINES_CACHE cannot be written to: {error}") from error
    return {
        "trt_engine_cache_enable": 1,
        "trt_engine_cache_path": str(directory),
        "trt_timing_cache_enable": 1,
        "trt_timing_cache_path": str(tensorrt.engines),
        "trt_fp16_enable": int(tensorrt.precision == "fp16"),
    }


def check_distributions() -> None:
    """Checks that exactly one installed distribution provides each import in `COMPETING_DISTRIBUTIONS`, whole.

    Raises:
        DeviceUnavailable: names the installed distributions, and the command that repairs them.
    """
    for module, candidates in COMPETING_DISTRIBUTIONS.items():
        installed = [name for name in candidates if _is_installed(name)]
        if len(installed) != 1:
            found = " and ".join(installed) or "none"
            wanted = next((name for name in installed if name.endswith("-gpu")), candidates[0])
            remove = f"pip uninstall --yes {' '.join(installed)}; " if installed else ""
            raise DeviceUnavailable(
                f"{found} of {', '.join(candidates)} installed: exactly one may provide `import {module}`. Run: "
                f"{remove}pip install --no-deps {wanted}"
            )
        spec = find_spec(module)
        if spec is None or spec.origin is None:  # an empty package is left of it
            raise DeviceUnavailable(
                f"Files of {installed[0]} are missing, as when another of {', '.join(candidates)} was uninstalled."
                f" Run: pip install --force-reinstall --no-deps {installed[0]}"
            )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def choose_device(requested: Literal["auto", "cpu", "cuda"], tensorrt: TensorRT | None = None) -> Device:
    """Chooses the device to open sessions on.

    Raises:
        DeviceUnavailable: CUDA or TensorRT is required and the installed ONNX Runtime has no CUDA.
    """
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if requested == "cuda" and not has_cuda:
        raise DeviceUnavailable(
            "INSIGHTFACE_DEVICE is cuda, but the installed onnxruntime has no CUDA: install the gpu extra "
            "(onnxruntime-gpu), or set INSIGHTFACE_DEVICE to auto or cpu"
        )
    gpu = has_cuda and requested != "cpu"
    if tensorrt is not None and not gpu:
        raise DeviceUnavailable(
            f"INSIGHTFACE_TENSORRT is {tensorrt.precision}, which needs CUDA: install the gpu extra "
            "(onnxruntime-gpu) and leave INSIGHTFACE_DEVICE at auto or cuda, or set INSIGHTFACE_TENSORRT to off"
        )
    if gpu:
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN that were installed as wheels
    return Device(requested, gpu, tensorrt)


def session_options() -> Any:
    """Returns options with one thread a run: parallel runs use the cores better than one run with many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def open_session(file: Path, device: Device) -> Any:
    """Opens a model file on a device.

    Raises:
        DeviceUnavailable: CUDA or TensorRT is required and ONNX Runtime fell back silently.
        ModelsUnavailable: ONNX Runtime cannot load the file.
    """
    providers = device.providers(file)
    try:
        session = onnxruntime.InferenceSession(file, session_options(), providers=providers)
    except Exception as error:  # ONNX Runtime has a dozen exception classes without a common base
        raise ModelsUnavailable(
            f"{file} cannot be opened ({error}); `faces models verify {file.parent.name}` checks it for damage"
        ) from error
    check_session(session, device)
    return session


def check_session(session: Any, device: Device) -> None:
    """Checks which execution providers a session really has: ONNX Runtime falls back to others silently.

    Raises:
        DeviceUnavailable: CUDA or TensorRT is required and missing.
    """
    present = session.get_providers()
    if device.tensorrt is not None and TENSORRT not in present:
        raise DeviceUnavailable(
            f"INSIGHTFACE_TENSORRT is {device.tensorrt.precision}, but ONNX Runtime could not start TensorRT: "
            "its libraries (libnvinfer, libnvonnxparser) must be on the loader's path, in the version that this "
            "ONNX Runtime was built for"
        )
    if device.gpu and CUDA not in present:
        if device.requested == "cuda":
            raise DeviceUnavailable(
                "INSIGHTFACE_DEVICE is cuda, but ONNX Runtime could not start CUDA (driver, CUDA or cuDNN "
                "libraries missing or of another version); check `nvidia-smi` and set LOG_LEVEL=DEBUG"
            )
        log.warning("CUDA not available, using the CPU")


def on_gpu(session: Any) -> bool:
    """Returns whether a session runs on CUDA."""
    return CUDA in session.get_providers()


def trim_heap() -> None:
    """Returns freed heap memory to the system. After loading the open pack glibc would keep 140 MB."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
