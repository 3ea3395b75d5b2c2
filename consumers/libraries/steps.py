"""Steps of a library's writer on its replica: what each appends to the log, and how it changes the stored view."""

from collections.abc import Iterable, Sequence

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
    progress = counted(replica, nothing, -1)
    return progress if progress.waiting else msgspec.structs.replace(progress, ended_at=now)


def counted(replica: Replica, noted: ReembedProgress, tried: int) -> ReembedProgress:
    """Returns how far it is, counted over all faces of the library.

    Args:
        tried: number of the last face that was tried; -1: none.
    """
    view, others = replica.view, list(replica.of_other_packs(noted.model))
    unfit = [face for face in others if view.numbers[face] <= tried]
    films = dict.fromkeys(view.nodes[view.numbers[face]].film for face in unfit)
    return msgspec.structs.replace(
        noted, waiting=len(others) - len(unfit), unfit=len(unfit), films=list(films)[:MAX_FILMS]
    )


def progressed(replica: Replica, noted: ReembedProgress, faces: Sequence[str]) -> ReembedProgress:
    """Returns how far it is when these faces have been tried as well.

    It is not counted anew for some faces of a large library: what was erased or delivered twice meanwhile makes a
    difference until the end, when `counted` is exact.
    """
    unfit = [face for face in faces if replica.is_of_another_pack(face, noted.model)]
    films = dict.fromkeys(
        [*noted.films, *(replica.view.nodes[replica.view.numbers[face]].film for face in unfit)]
    )
    return msgspec.structs.replace(
        noted,
        waiting=max(0, noted.waiting - len(faces)),
        unfit=noted.unfit + len(unfit),
        films=list(films)[:MAX_FILMS],
    )
