"""Names of the people of a film as subtitles: WebVTT, which players show (https://www.w3.org/TR/webvtt1/)."""

from schemas.library_view import FilmPeople

SHORTEST_SECONDS = 1.0
"""A cue lasts at least this long, so that a person who is in a single sample can be read."""


def subtitles(film: FilmPeople) -> str:
    """Returns one cue per appearance, in order of time; people without a label are numbered, hidden ones left out."""
    cues = list[tuple[float, float, str]]()
    unnamed = 0
    for one in film.people:
        if one.person.hidden:
            continue
        unnamed += one.person.label is None
        label = one.person.label or f"Person {unnamed}"
        cues += [
            (seen.start, max(seen.end, seen.start + SHORTEST_SECONDS), label) for seen in one.appearances
        ]
    lines = ["WEBVTT", ""]
    for start, end, label in sorted(cues):
        lines += [f"{_time(start)} --> {_time(end)}", _escaped(label), ""]
    return "\n".join(lines)


def _time(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
