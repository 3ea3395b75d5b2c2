"""Injects faults while two publishers run jobs of real video, and compares each result with an undisturbed run.

    python -m tests.chaos.disturb --kills 200 --seed 1 VIDEO…

The publishers submit over REST and to the stream, under the same ids too, cancel, delete and publish again. Prints
the number of faults of each kind. Fails when a job is lost, ends twice or with another result, and when entries or
keys are left behind.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from schemas.topology import PROCESSES
from tests.chaos.faults import LEASE_SECONDS, Disturber, small_disk
from tests.chaos.ledger import Receiver, check
from tests.chaos.publishers import Publishers
from tests.integration.conftest import run_service

SCALE = ",".join(f"{process}=2" for process in PROCESSES)
ENVIRONMENT = {
    "FACES_LEASE": str(LEASE_SECONDS),
    "FACES_MAX_ATTEMPTS": "50",
    "FACES_BATCH": "2",
    "FACES_SEGMENT_SECONDS": "3",
    "FACES_LIBRARY": "",
    "FACES_CALLBACK_HOSTS": "127.0.0.1",
    "FACES_WEBHOOK_SECRET": "whsec_Y2hhb3MgY2hhb3MgY2hhb3MgY2hhb3MgY2hhb3M=",
}
"""Short leases, small batches and short segments: much work is in flight, so faults hit it often. No library, in
which people depend on the films before: `tests.chaos.libraries` disturbs those."""
JOBS_AT_ONCE = 7


def disturbed(
    models: Path, data: Path, videos: Sequence[Path], *, kills: int, seed: int
) -> tuple[Counter[str], int]:
    """Runs jobs until so many processes were killed, then checks the ledger.

    Args:
        data: an empty directory.

    Returns:
        Number of faults of each kind; number of jobs.
    """
    media = data / "media"
    media.mkdir()
    start = contextmanager(run_service)
    with (
        Receiver() as receiver,
        small_disk(data / "server") as disk,
        start(models, data, "--scale", SCALE, environment=ENVIRONMENT) as service,
    ):
        publishers = Publishers(service, videos, media, receiver.url, seed)
        publishers.learn()
        with Disturber(service, seed, kills, disk) as disturber:
            publishers.run(disturber.enough, JOBS_AT_ONCE)
        check(service, publishers.jobs, receiver)
    disturber.done["results compared"] = publishers.compared
    return disturber.done, len(publishers.jobs)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    videos = [video.resolve() for video in arguments.videos]
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    began = time.monotonic()
    data = Path(tempfile.mkdtemp(prefix="faces-chaos-"))
    try:
        done, jobs = disturbed(models, data, videos, kills=arguments.kills, seed=arguments.seed)
    except BaseException:
        print(f"log of the service: {data / 'faces.log'}", file=sys.stderr)
        raise
    shutil.rmtree(data)
    for what, count in done.most_common():
        print(f"{count:6} {what}")
    print(
        f"{jobs:6} jobs in {time.monotonic() - began:.0f} s: none lost, none ended twice, nothing left behind"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
