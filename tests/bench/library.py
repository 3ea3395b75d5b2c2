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
SIMILARITY = 0.8
"""Cosine of a synthetic face to its person; of two faces of a person 0.64, as of photographs."""


def person(number: int) -> NDArray[np.float64]:
    """Returns the unit vector of a synthetic person."""
    return np.asarray(unit(np.random.default_rng(number).normal(size=512)))


def face(number: int, seed: int) -> NDArray[np.float64]:
    """Returns a face of a synthetic person."""
    noise = unit(np.random.default_rng([number, seed]).normal(size=512))
    return np.asarray(unit(SIMILARITY * person(number) + np.sqrt(1 - SIMILARITY**2) * noise))


def film(number: int, cast: list[int], placements: tuple[Placement, ...] = ()) -> FilmEntry:
    """Returns the entry of a film with these people."""
    faces = tuple(
        LibraryFace(
            face_id=f"job{number}/face_{i}", prototype=to_bytes(face(who, number)), sureness=3.5, detections=9
        )
        for i, who in enumerate(cast)
    )
    return FilmEntry(
        film_id=f"film{number}", job_id=f"job{number}", pack="open", faces=faces, placements=placements
    )


def build(faces: int, people: int) -> tuple[View, float]:
    """Returns a library of so many faces and people, and the seconds that applying its log took."""
    view, ids, seconds = View(), list[str](), 0.0
    for number in range(faces // FILM):
        cast = [(number * FILM + i) % people for i in range(FILM)]
        placements = tuple(Placement(person_id=ids[who]) if who < len(ids) else Placement() for who in cast)
        ids += [person_id(f"{number + 1}-0", i) for i, who in enumerate(cast) if who >= len(ids)]
        entry = film(number, cast, placements)
        began = time.process_time()
        view.apply(f"{number + 1}-0", entry)
        seconds += time.process_time() - began
    return view, seconds


def measured(faces: int, people: int) -> dict[str, Any]:
    """Returns the figures of a library."""
    view, applied = build(faces, people)
    began = time.process_time()
    view.refresh()
    refreshed = time.process_time() - began
    number = faces // FILM
    seconds, found = [], 0
    for i in range(5):
        known = [(i * 7919 + j * 104729) % people for j in range(FILM // 2)]
        new = [people + i * FILM + j for j in range(FILM // 2)]
        entry = film(number + i, known + new)
        began = time.process_time()
        entry = place(view, entry)
        view.apply(f"{number + 1 + i}-0", entry)
        due = joins(view, entry.film_id)
        seconds.append(time.process_time() - began)
        assert not due
        for placed, who in zip(entry.placements, known, strict=False):
            others = view.person(placed.person_id).faces if placed.person_id else ()
            found += any(f"/face_{who % FILM}" in name for name in others)
        assert not any(placed.person_id for placed in entry.placements[len(known) :]), "a stranger joined"
    began = time.process_time()
    nearest(view, np.array([face(0, 1)], np.float32), "open", 10)
    searched = time.process_time() - began
    began = time.process_time()
    state = view.state()
    return {
        "faces": faces,
        "people": people,
        "cores": usable_cores(),
        "apply_log_s": round(applied, 2),
        "compute_means_s": round(refreshed, 2),
        "join_film_s": [round(s, 3) for s in seconds],
        "known_found": f"{found} of {5 * (FILM // 2)}",
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
