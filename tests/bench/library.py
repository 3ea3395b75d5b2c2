"""Measures a large library: ``python -m tests.bench.library [--faces 1000000] [--people 100000]``.

Synthetic people appear in films of 50 each. The log is applied, then a film of 50 people, half of them known, is
joined to the library. Prints seconds of processor time, bytes of memory, and how many of the known people were found.
"""

import argparse
import json
import resource
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facecore.library.resolve import joins, nearest, place
from facecore.library.view import View
from facecore.vectors import to_bytes, unit
from schemas.cgroups import usable_cores
from schemas.library import FilmEntry, LibraryFace, Placement, person_id

FILM = 50
"""People in a film."""
FILMS = 5
"""Films that are joined to the library."""
SIMILARITY = 0.8
"""Cosine of a synthetic face to its person; of two faces of a person 0.64, as of photographs."""


def population(people: int, strangers: int) -> NDArray[np.float32]:
    """Returns the unit vectors of synthetic people, and of some who are in no film of the library."""
    return np.asarray(unit(np.random.default_rng(0).standard_normal((people + strangers, 512), np.float32)))


def seen(people: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Returns a face of each of these people."""
    noise = unit(np.random.default_rng([1, seed]).standard_normal(people.shape, np.float32))
    return np.asarray(unit(SIMILARITY * people + np.float32(np.sqrt(1 - SIMILARITY**2)) * noise), np.float32)


def film(number: int, cast: NDArray[np.float32], placements: tuple[Placement, ...] = ()) -> FilmEntry:
    """Returns the entry of a film with these people."""
    faces = tuple(
        LibraryFace(face_id=f"job{number}/face_{i}", prototype=to_bytes(face), sureness=3.5, detections=9)
        for i, face in enumerate(seen(cast, number))
    )
    return FilmEntry(
        film_id=f"film{number}", job_id=f"job{number}", pack="open", faces=faces, placements=placements
    )


def build(faces: int, people: int, vectors: NDArray[np.float32]) -> tuple[View, float]:
    """Returns a library of so many faces and people, and the seconds that applying its log took."""
    view, ids, seconds = View(), list[str](), 0.0
    for number in range(faces // FILM):
        cast = [(number * FILM + i) % people for i in range(FILM)]
        placements = tuple(Placement(person_id=ids[who]) if who < len(ids) else Placement() for who in cast)
        ids += [person_id(f"{number + 1}-0", i) for i, who in enumerate(cast) if who >= len(ids)]
        entry = film(number, vectors[cast], placements)
        began = time.process_time()
        view.apply(f"{number + 1}-0", entry)
        seconds += time.process_time() - began
    return view, seconds


def measured(faces: int, people: int) -> dict[str, Any]:
    """Returns the figures of a library."""
    vectors = population(people, FILMS * FILM // 2)
    view, applied = build(faces, people, vectors)
    began = time.process_time()
    view.refresh()
    refreshed = time.process_time() - began
    number, seconds, elapsed, found = faces // FILM, list[float](), list[float](), 0
    for i in range(FILMS):
        known = [(i * 7919 + j * 104729) % people for j in range(FILM // 2)]
        new = [people + i * FILM // 2 + j for j in range(FILM // 2)]
        entry = film(number + i, vectors[known + new])
        began, at = time.process_time(), time.perf_counter()
        entry = place(view, entry)
        view.apply(f"{number + 1 + i}-0", entry)
        due = joins(view, entry.film_id)
        seconds.append(time.process_time() - began)
        elapsed.append(time.perf_counter() - at)
        assert not due
        founded = [f"person-{who // FILM + 1}-0-{who % FILM}" for who in known]
        found += sum(p.person_id == person for p, person in zip(entry.placements, founded, strict=False))
        assert not any(p.person_id for p in entry.placements[len(known) :]), "a stranger joined"
    began = time.process_time()
    nearest(view, seen(vectors[:1], 0), "open", 10, [None])
    searched = time.process_time() - began
    began = time.process_time()
    state = view.state()
    return {
        "faces": faces,
        "people": people,
        "cores": usable_cores(),
        "apply_log_s": round(applied, 2),
        "compute_means_s": round(refreshed, 2),
        "join_film_processor_s": [round(s, 3) for s in seconds],
        "join_film_elapsed_s": [round(s, 3) for s in elapsed],
        "known_found": f"{found} of {FILMS * FILM // 2}",
        "search_one_s": round(searched, 3),
        "state_s": round(time.process_time() - began, 2),
        "state_bytes": len(state),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.library", description=__doc__)
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100_000)
    options = parser.parse_args()
    print(json.dumps(measured(options.faces, options.people), indent=1))


if __name__ == "__main__":
    main()
