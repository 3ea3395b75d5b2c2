"""What a worker has done leaves nothing behind in it."""

from pathlib import Path

from tests.bench.measure import status
from tests.chaos.disturb import pids_of
from tests.integration.client import Service

JOBS = 24
MEGABYTES = 40.0
"""That the frames worker may have grown by; where decoders were left to the collector, it was 61."""


def test_a_frames_worker_keeps_no_decoders(service: Service, six_people: Path) -> None:
    (worker,) = pids_of("consumers frames", service)

    def sampled(count: int, first: int) -> float:
        jobs = [
            service.submit(
                {"video_path": str(six_people), "parameters": {"sampling_interval": 13 + (first + n) / 100}}
            )
            for n in range(count)
        ]
        assert all(service.ended(job)["status"] == "completed" for job in jobs)
        return status(worker, "VmRSS") / 1000

    before = sampled(4, 0)
    assert sampled(JOBS, 4) - before < MEGABYTES
