"""What a correction does, and why one is refused."""

from collections.abc import Sequence

from facecore.library.partition import Effect
from facecore.library.state import State
from facecore.library.statements import Deed, Statement
from schemas.library import (
    Change,
    Differ,
    Divide,
    Hide,
    Joined,
    Merge,
    Move,
    Name,
    Same,
    Split,
    Undo,
    person_id,
)


class Refused(ValueError):
    """A correction cannot be made; the text says why.

    Attributes:
        entries: corrections that it contradicts.
    """

    def __init__(self, reason: str, entries: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.entries = tuple(entries)


def deed(view: State, number: int, entry_id: str, change: Merge | Split | Move | Differ | Same) -> Deed:
    """Returns what a correction of the partition does.

    Args:
        number: of the entry, in the order of the log.

    Raises:
        Refused: it makes no sense: unknown people or faces, or nothing would change.
    """
    match change:
        case Merge():
            one, other = _person(view, change.person_id), _person(view, change.other_id)
            if one == other:
                raise Refused(f"{change.person_id} and {change.other_id} are one person already.")
            sides = tuple(view.partition.faces(one)), tuple(view.partition.faces(other))
            return Deed(Effect(links=((one, other),)), (Statement(number, True, *sides),))
        case Same():
            face, like = _face(view, change.face_id), _face(view, change.other_face_id)
            if face == like:
                raise Refused(f"{change.face_id} and {change.other_face_id} are one face.")
            people = view.partition.person(face), view.partition.person(like)
            return Deed(Effect(links=(people,)), (Statement(number, True, (face,), (like,)),))
        case Differ():
            first, second = _side(view, change.one), _side(view, change.other)
            if {view.partition.person(face) for face in first} & {view.partition.person(f) for f in second}:
                if joining := view.statements.joining(first, second):
                    raise contradiction(view, change, [view.entry(number) for number in joining])
                raise Refused(
                    f"{change.one} and {change.other} are with one person. "
                    "Split the person, or move one of the faces to another."
                )
            return Deed(Effect(), (Statement(number, False, first, second),))
        case Split():
            return _split(view, number, person_id(entry_id, 0), change)
        case Move():
            return _move(view, number, change)


def contradiction(view: State, change: Change, entries: Sequence[str]) -> Refused:
    """Returns the refusal of a change that contradicts the corrections of these entries."""
    earlier = "; ".join(f"{described(view, entry)} (entry {entry})" for entry in entries)
    return Refused(f"To {_words(change)} contradicts: {earlier}. Undo that first.", entries)


def described(view: State, entry_id: str) -> str:
    """Returns what a correction or an automatic merge says, and who made it, in words."""
    entry = view.undoable[entry_id]
    if isinstance(entry, Joined):
        return f"{entry.person_id} and {entry.other_id} were merged automatically"
    return f"{_words(entry.change)}{', by ' + entry.by if entry.by else ''}"


def _words(change: Change) -> str:
    match change:
        case Name():
            return f"name {change.person_id}"
        case Merge():
            return f"merge {change.person_id} and {change.other_id}"
        case Split():
            more = " …" if len(change.faces) > 3 else ""
            return f"split {', '.join(change.faces[:3])}{more} from {change.person_id}"
        case Move():
            return f"move {change.face_id} to {change.person_id}"
        case Differ():
            return f"hold {change.one} and {change.other} apart"
        case Same():
            return f"say that {change.face_id} and {change.other_face_id} are one person"
        case Hide():
            return f"{'hide' if change.hidden else 'show'} {change.person_id}"
        case Divide():
            return f"divide {change.film_id}"
        case Undo():
            return f"undo {change.entry_id}"


def _split(view: State, number: int, new: str, change: Split) -> Deed:
    person = _person(view, change.person_id)
    leaving = tuple(sorted({_face(view, face) for face in change.faces}))
    strangers = [f for f in change.faces if view.partition.person(_face(view, f)) != person]
    if strangers:
        raise Refused(f"{strangers[0]} is not a face of {change.person_id}.")
    staying = tuple(face for face in view.partition.faces(person) if face not in set(leaving))
    if not any(view.nodes[face].current for face in staying):
        raise Refused(f"A split of {change.person_id} must leave at least one face with the person.")
    together = (Statement(number, True, leaving, leaving),) if len(leaving) > 1 else ()
    return Deed(
        Effect(founded=(new,), homes=tuple((face, new) for face in leaving)),
        (Statement(number, False, leaving, staying), *together),
    )


def _move(view: State, number: int, change: Move) -> Deed:
    face, to = _face(view, change.face_id), _person(view, change.person_id)
    old = view.partition.person(face)
    if old == to:
        raise Refused(f"{change.face_id} is with {change.person_id} already.")
    host = tuple(view.partition.faces(to))
    left = tuple(other for other in view.partition.faces(old) if other != face)
    apart = (Statement(number, False, (face,), left),) if left else ()
    together = (Statement(number, True, (face,), host),) if host else ()
    return Deed(Effect(homes=((face, to),)), (*together, *apart))


def _person(view: State, name: str) -> str:
    if name not in view.partition:
        raise Refused(f"There is no person {name} in this library.")
    return view.partition.root(name)


def _face(view: State, face_id: str) -> int:
    number = view.numbers.get(face_id)
    if number is None or not view.nodes[number].current:
        raise Refused(f"There is no face {face_id} in this library.")
    return number


def _side(view: State, subject: str) -> tuple[int, ...]:
    return (_face(view, subject),) if "/" in subject else tuple(view.partition.faces(_person(view, subject)))
