"""Steps of a library's writer on its replica: what each appends to the log, and how it changes the stored view."""

from collections.abc import Iterable

import msgspec

from consumers.libraries.replica import Replica
from facecore.library.resolve import joins, place
from schemas.library import Reembedded
from schemas.library_view import ReembedProgress
from schemas.store.additions import Addition
from schemas.store.job_record import rfc3339
from schemas.store.libraries import Change, NewEntry

MAX_FILMS = 100
"""Films to analyse again that are listed."""


def added(replica: Replica, addition: Addition, number: int) -> tuple[list[NewEntry], list[Change]]:
    """Applies a film, and the merges that follow from it."""
    film = place(replica.view, replica.named(addition.film))
    entries = [NewEntry(f"{number}-0", film)]
    changes = replica.apply(entries[0], addition.thumbnails)
    return _join(replica, entries, changes, [film.film_id], film.at)


def reembedded(replica: Replica, entry: Reembedded, number: int) -> tuple[list[NewEntry], list[Change]]:
    """Applies vectors of another pack, and the merges that follow from them."""
    entries = [NewEntry(f"{number}-0", entry)]
    changes = replica.apply(entries[0])
    seen = [replica.view.face(face.face_id) for face in entry.faces]
    films = dict.fromkeys(face.film_id for face in seen if face is not None)
    return _join(replica, entries, changes, films, entry.at)


def _join(
    replica: Replica, entries: list[NewEntry], changes: list[Change], films: Iterable[str], at: float
) -> tuple[list[NewEntry], list[Change]]:
    """Applies the merges of people in these films that are due; returns all entries and changes."""
    number = int(entries[-1].entry_id.partition("-")[0])
    for film_id in films:
        while found := joins(replica.view, film_id, at=at):
            for joined in found:
                number += 1
                entries.append(NewEntry(f"{number}-0", joined))
                changes += replica.apply(entries[-1])
    return entries, [*changes, *replica.suggest()]


def applied(replica: Replica, entry: NewEntry) -> list[Change]:
    """Applies an entry."""
    return [*replica.apply(entry), *replica.suggest()]


def begun(replica: Replica, run: str, pack: str, at: float) -> ReembedProgress:
    """Returns the progress of embedding anew that begins; it has ended where no face is of another pack."""
    now = rfc3339(at)
    nothing = ReembedProgress(
        run=run, model=pack, started_at=now, ended_at=None, waiting=0, unfit=0, films=[]
    )
    left, progress = progressed(replica, nothing, -1)
    return progress if left else msgspec.structs.replace(progress, ended_at=now)


def progressed(replica: Replica, noted: ReembedProgress, tried: int) -> tuple[list[str], ReembedProgress]:
    """Returns the faces that are to be embedded yet, and how far it is.

    Args:
        tried: number of the last face that was tried; -1: none.
    """
    view = replica.view
    others = replica.of_other_packs(noted.model)
    left = [face for face in others if view.numbers[face] > tried]
    unfit = others[: len(others) - len(left)]
    films = list(dict.fromkeys(view.nodes[view.numbers[face]].film for face in unfit))
    return left, msgspec.structs.replace(noted, waiting=len(left), unfit=len(unfit), films=films[:MAX_FILMS])
