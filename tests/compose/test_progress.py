"""Progress of `faces analyze`: true times, readable at every width, without a terminal and without colours."""

import io
import re

import msgspec
import pytest
from rich.console import Console

from compose.progress import Bars, Work, duration, rounded, seconds_left, shared, shortened
from compose.sources import Source
from schemas.results import ResultSummary
from schemas.store.job_reader import JobState

QUEUED = JobState(
    job_id="j", video_path="/v", source_id=None, status="queued", created=0.0, created_at="", started=None,
    ended_at=None, alias=None, stage="queued", library=None, progress=0.0, done=0, sampled=0, expected=0,
    error=None, summary=None, kept=False, expires_in=None,
)  # fmt: skip


def state(done: int, expected: int, ended: bool = False) -> JobState:
    summary = ResultSummary(
        unique_faces=3, total_detections=9, frames_processed=expected, processing_time_seconds=99.0
    )
    return msgspec.structs.replace(
        QUEUED, status="completed" if ended else "processing", started=1.0, done=0 if ended else done,
        expected=expected, summary=summary if ended else None,
    )  # fmt: skip


def shown(console: Console, films: int = 20) -> str:
    """What is said of films with 40 frames: one has ended after 10 s of work, one works, the others wait."""
    now = 0.0
    sources = [Source(f"/v/{n}.mp4", f"holiday in the mountains, day {n:02}.mp4") for n in range(films)]
    bars = Bars(console, sources, lambda: now)
    with bars:
        tasks = [bars.begin(number, source.name) for number, source in enumerate(sources[:8])]
        now = 20.0
        bars.show(0, tasks[0], state(1, 40), 0)
        now = 30.0
        bars.end(0, tasks[0], sources[0].name, state(40, 40, ended=True))
        bars.show(1, tasks[1], state(12, 40), 5)
        bars.tick()
        now = 70.0
        bars.tick()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 90, 140])
@pytest.mark.parametrize("setting", [{}, {"NO_COLOR": "1"}])
def test_bars_fit_the_width_and_tell_waiting_from_working(width: int, setting: dict[str, str]) -> None:
    environment = {"TERM": "xterm-256color", "COLORTERM": "truecolor", **setting}
    text = shown(Console(file=io.StringIO(), force_terminal=True, width=width, _environ=environment))
    assert ("\x1b[38;" in text) != ("NO_COLOR" in setting)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("1 of 20 films") and "left" in line for line in lines)
    assert any("01.mp4" in line and "12/40 frames" in line for line in lines)
    assert any("02.mp4" in line and line.rstrip().endswith("waiting") for line in lines)
    said = " ".join(" ".join(lines).split())
    assert "day 00.mp4: 3 people, 40 frames analysed in 10.0 s after waiting 20.0 s" in said


@pytest.mark.parametrize(
    ("names", "width", "cut"),
    [
        (("day 01, evening.mp4", "day 02, evening.mp4"), 19, ("day 01, evening.mp4", "day 02, evening.mp4")),
        (("a day by the sea, 01, evening.mp4", "a day by the sea, 02, evening.mp4"), 20,
         ("a day…1, evening.mp4", "a day…2, evening.mp4")),
        (("a day by the sea, 01, evening.mp4", "a day by the sea, 02, evening.mp4"), 9, ("…1…ng.mp4", "…2…ng.mp4")),
        (("summer in the mountains", "winter in the mountains"), 12, ("summ…untains", "wint…untains")),
        (("films of 2019 and of 2020.mp4",), 12, ("films…20.mp4",)),
        (("the same.mp4", "the same.mp4"), 8, ("the sam…", "the sam…")),
    ],
)  # fmt: skip
def test_names_are_cut_where_they_are_alike(names: tuple[str, ...], width: int, cut: tuple[str, ...]) -> None:
    found = tuple(shortened(name, width, shared(names)) for name in names)
    assert found == cut and max(map(len, found)) <= width


def test_without_a_terminal_lines_say_how_far_the_work_is() -> None:
    lines = shown(Console(file=io.StringIO(), width=60)).splitlines()
    assert lines == [
        "1 of 20 films, about 10 min left: holiday in the mountains, day 00.mp4: 3 people, 40 frames analysed"
        " in 10.0 s after waiting 20.0 s",
        "1 of 20 films, about 17 min left",
    ]


def test_the_time_left_follows_the_frames() -> None:
    assert seconds_left([Work(0, 0), Work(0, 10)], 5.0) is None, "before the first frame nothing is known"
    assert seconds_left([Work(10, 10, ended=True), Work(5, 10)], 15.0) == 5.0
    assert seconds_left([Work(10, 10, ended=True), Work()], 10.0) == 10.0, (
        "a film not opened yet is like the others"
    )
    assert seconds_left([Work(10, 10, ended=True), Work(0, 0, ended=True)], 9.0) == 0.0, (
        "a failed film costs nothing"
    )


def test_times_are_rounded_as_people_say_them() -> None:
    assert [rounded(s) for s in (0, 41, 58, 200, 5400, 9000)] == [
        "5 s",
        "40 s",
        "1 min",
        "3 min",
        "1.5 h",
        "2.5 h",
    ]
    assert [duration(s) for s in (3.21, 65, 7380)] == ["3.2 s", "1:05 min", "2:03:00 h"]
