"""ONNX Runtime sessions on the device that was asked for, and the threads they run on."""

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import onnxruntime
import structlog
from numpy.typing import NDArray

from facecore.errors import DeviceUnavailable
from models.archives import sha256_of
from models.fetch import ModelsUnavailable

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Value = TypeVar("Value")
Array = NDArray[np.float32]
Outputs = Sequence[Array]

TENSORRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"
GPU_MEMORY_LIMIT = 4 << 30
"""Bytes a session's arena may grow to."""
OWNERS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino"),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
"""Distributions that install the same import over each other."""


class TensorRT(NamedTuple):
    """Attributes:
    precision: what it calculates in.
    engines: directory that its engines are kept in: building one takes minutes.
    """

    precision: Literal["fp32", "fp16"]
    engines: Path


@dataclass(frozen=True, slots=True)
class Device:
    """Where sessions are opened.

    Attributes:
        wanted: as the operator said; "auto" may end on either, "cuda" never on the CPU.
        gpu: whether CUDA is tried.
        tensorrt: runs what it can of each graph, CUDA the rest; None: CUDA runs all.
    """

    wanted: Literal["auto", "cpu", "cuda"]
    gpu: bool
    tensorrt: TensorRT | None = None

    def providers(self, file: Path) -> list[Any]:
        """For a model's file, in order of preference, with options.

        HEURISTIC picks a convolution without trials, and TF32 is off: the same picture gives the same numbers
        whenever it comes. The arena grows by what is asked for, not by doubling.

        Raises:
            DeviceUnavailable: TensorRT's engines cannot be kept.
        """
        if not self.gpu:
            return [CPU]
        options = {
            "gpu_mem_limit": GPU_MEMORY_LIMIT,
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": 0,
        }
        if self.tensorrt is None:
            return [(CUDA, options), CPU]
        return [(TENSORRT, _engine_options(self.tensorrt, file)), (CUDA, options), CPU]


def _engine_options(tensorrt: TensorRT, file: Path) -> dict[str, Any]:
    """ONNX Runtime names an engine by the graph's names and the card, not by its weights, and asks for an empty
    directory after a new release of itself: the directory's name holds both."""
    folder = tensorrt.engines / f"{file.stem}-{sha256_of(file)[:8]}-{onnxruntime.__version__}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeviceUnavailable(f"INSIGHTFACE_ENGINES_CACHE cannot be written to: {error}") from error
    return {
        "trt_engine_cache_enable": 1,
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": 1,
        "trt_timing_cache_path": str(tensorrt.engines),
        "trt_fp16_enable": int(tensorrt.precision == "fp16"),
    }


def check_owners() -> None:
    """Refuses an environment in which two distributions, or none, own an import of this service.

    Raises:
        DeviceUnavailable: names the distributions.
    """
    for module, candidates in OWNERS.items():
        installed = [name for name in candidates if _installed(name)]
        if len(installed) != 1:
            found = " and ".join(installed) or "none"
            raise DeviceUnavailable(
                f"{found} of {', '.join(candidates)} installed: exactly one may own `import {module}`; "
                f"uninstall all of them, then install this project's cpu or gpu extra"
            )


def choose_device(wanted: Literal["auto", "cpu", "cuda"], tensorrt: TensorRT | None = None) -> Device:
    """The device to open sessions on.

    Raises:
        DeviceUnavailable: CUDA or TensorRT was asked for and this ONNX Runtime has none.
    """
    has_cuda = CUDA in onnxruntime.get_available_providers()
    if wanted == "cuda" and not has_cuda:
        raise DeviceUnavailable(
            "INSIGHTFACE_DEVICE is cuda, but the installed onnxruntime has no CUDA: install the gpu extra "
            "(onnxruntime-gpu), or set INSIGHTFACE_DEVICE to auto or cpu"
        )
    gpu = has_cuda and wanted != "cpu"
    if tensorrt is not None and not gpu:
        raise DeviceUnavailable(
            f"INSIGHTFACE_TENSORRT is {tensorrt.precision}, which needs CUDA: install the gpu extra "
            "(onnxruntime-gpu) and leave INSIGHTFACE_DEVICE at auto or cuda, or set INSIGHTFACE_TENSORRT to off"
        )
    if gpu:
        onnxruntime.preload_dlls()  # CUDA and cuDNN from wheels, where they are installed so
    return Device(wanted, gpu, tensorrt)


def session_options() -> Any:
    """One thread a run: several runs side by side use the cores better than one run with many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def open_session(file: Path, device: Device) -> Any:
    """A session for a file, on the device asked for.

    Raises:
        DeviceUnavailable: CUDA or TensorRT was asked for and ONNX Runtime silently took less.
        ModelsUnavailable: the file is no graph that this ONNX Runtime can run.
    """
    providers = device.providers(file)
    try:
        session = onnxruntime.InferenceSession(file, session_options(), providers=providers)
    except Exception as error:  # ONNX Runtime's own classes, a dozen of them without a common base
        raise ModelsUnavailable(
            f"{file} cannot be opened ({error}); `faces models verify {file.parent.name}` tells if it is damaged"
        ) from error
    check_session(session, device)
    return session


def check_session(session: Any, device: Device) -> None:
    """Asks the session where it really runs; see `open_session`."""
    present = session.get_providers()
    if device.tensorrt is not None and TENSORRT not in present:
        raise DeviceUnavailable(
            f"INSIGHTFACE_TENSORRT is {device.tensorrt.precision}, but ONNX Runtime could not start TensorRT: "
            "its libraries (libnvinfer, libnvonnxparser) must lie where the loader finds them, of the version it was "
            "built for"
        )
    if device.gpu and CUDA not in present:
        if device.wanted == "cuda":
            raise DeviceUnavailable(
                "INSIGHTFACE_DEVICE is cuda, but ONNX Runtime could not start CUDA (driver, CUDA or cuDNN "
                "libraries missing or of another version); `nvidia-smi` and `LOG_LEVEL=DEBUG` tell more"
            )
        log.warning("CUDA could not be started, using the CPU")


def give_back_memory() -> None:
    """Returns to the system what loading took and freed: 140 MB with the open pack, which glibc would keep."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def on_gpu(session: Any) -> bool:
    return CUDA in session.get_providers()


@dataclass(frozen=True, slots=True)
class Model(Generic[Item, Value]):
    """A network, how an item becomes its input, and what its output means.

    Attributes:
        session: ONNX Runtime session with one input, batch axis first.
        prepare: item → one sample, float32, without the batch axis.
        read: the outputs of a batch → one value a sample.
        batch: how many samples a run takes, always: a run that is not full is padded with zeros, so that
            the same kernels compute a sample whatever its company, and memory stays as it is.
    """

    session: Any
    prepare: Callable[[Item], Array]
    read: Callable[[Outputs], list[Value]]
    batch: int = 1

    def run(self, items: Sequence[Item]) -> list[Value]:
        """At most ``batch`` items, whose samples have one shape."""
        samples = np.stack([self.prepare(item) for item in items])
        if missing := self.batch - len(items):
            samples = np.concatenate([samples, np.zeros((missing, *samples.shape[1:]), np.float32)])
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: samples})
        return self.read(outputs)[: len(items)]


def batch_of(session: Any, wanted: int) -> int:
    """Samples a run: as many as the graph was exported for; if it takes any, ``wanted`` on a GPU and 1 on a CPU,
    where a batch is slower than its samples one by one on as many threads (open pack, two cores, eight samples:
    detector 82 against 207 ms, embedder 32 against 86, pose 11 against 15, emotion 101 against 118)."""
    fixed = session.get_inputs()[0].shape[0]
    if isinstance(fixed, int):
        return fixed
    return wanted if on_gpu(session) else 1


class Workers:
    """Threads that prepare samples and run sessions; ONNX Runtime and OpenCV let go of the interpreter's lock."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max(1, threads), "faces")

    def start(self, model: Model[Item, Value], items: Sequence[Item]) -> Callable[[], list[Value]]:
        """Begins at once; the returned function waits and gives one value an item, in order."""
        chunks = [items[i : i + model.batch] for i in range(0, len(items), model.batch)]
        runs = [self._pool.submit(model.run, chunk) for chunk in chunks]
        return lambda: [value for run in runs for value in run.result()]

    def map(self, function: Callable[[Item], Value], items: Sequence[Item]) -> Callable[[], list[Value]]:
        """As `start`, for work without a session."""
        runs = [self._pool.submit(function, item) for item in items]
        return lambda: [run.result() for run in runs]

    def close(self) -> None:
        self._pool.shutdown()


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
