"""A 3-minute film through the whole service, beside a plain loop over the same film with the same models.

    python -m tests.bench.whole_path VIDEO [--minutes 3] [--pairs 3]

The plain loop is what one writes first: one process that decodes every frame and analyses one in two seconds. Both
run in turn; read the ratio of the medians, the figures themselves belong to the machine.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import av
import msgspec

from facecore.analyzer import Analyzer, FrameInput
from tests.integration.conftest import run_service
from tests.video.films import loop_film

INTERVAL = 2.0


def plain_loop(film: Path, analyzer: Analyzer) -> int:
    """Faces found by the loop that one writes first."""
    faces, due = 0, 0.0
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= due:
                image = frame.to_ndarray(format="bgr24")
                (found,) = analyzer.analyze([FrameInput(0, due, image, None, True)])
                faces, due = faces + len(found.faces), due + INTERVAL
    return faces


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    plain, served, detections = [], [], set()
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        loop_film(arguments.video, film, seconds=arguments.minutes * 60)
        analyzer = Analyzer.load("open", models, device="cpu", threads=1)
        running = run_service(models, Path(folder))
        service = next(running)
        for number in range(arguments.pairs):
            began = time.perf_counter()
            detections.add(plain_loop(film, analyzer))
            plain.append(time.perf_counter() - began)
            request = {
                "video_path": str(film),
                "job_id": f"bench-{number}",
                "parameters": {"cache_duration": 0},
            }
            began = time.perf_counter()
            result = service.analyze(request)
            served.append(time.perf_counter() - began)
            detections.add(result["metadata"]["total_detections"])
        running.close()
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "plain_loop_seconds": [round(s, 2) for s in plain],
        "service_seconds": [round(s, 2) for s in served],
        "ratio": round(statistics.median(plain) / statistics.median(served), 2),
        "detections": sorted(detections),
    }
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
