"""Progress of ``faces analyze``: bars in a terminal, else lines; how many sources are done, and how long the rest
takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from compose.sources import Source, noun
from compose.terminal import counted
from schemas.file_names import printable
from schemas.store.job_reader import JobState

SECONDS_PER_LINE = 30.0
"""Without a terminal, a line says this often how far the work is."""
WIDE_COLUMNS = 100
"""Width of a terminal from which bars are longer and say how many people were found so far."""
BESIDE_NAME_COLUMNS, BESIDE_NAME_COLUMNS_WIDE = 40, 70
"""What stands beside the name of a source at most: bar, frames and time."""


@dataclass
class Work:
    """Frames of one source.

    Attributes:
        expected: how many will be sampled; 0: not known yet.
        submitted: monotonic time.
        since: monotonic time at which its first frame was analysed; None: it waits.
    """

    done: int = 0
    expected: int = 0
    submitted: float = 0.0
    since: float | None = None
    ended: bool = False


class Bars:
    """Progress of a set of sources.

    A bar counts analysed frames of all frames that will be sampled. A source of which no frame is analysed yet waits,
    since sources share the workers; it has no bar and no time.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(
        self, console: Console, sources: Sequence[Source], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._clock = clock
        self._noun = noun(sources)
        self._shared = shared([printable(source.name) for source in sources])
        self._work = [Work() for _ in sources]
        self._began = self._said = clock()
        self._wide = console.width >= WIDE_COLUMNS
        columns = (
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            _Bar(20 if self._wide else 10),
            TextColumn("{task.fields[details]}", markup=False, table_column=Column(no_wrap=True)),
            _Elapsed(table_column=Column(no_wrap=True, justify="right")),
        )
        live = console.is_terminal and not console.is_dumb_terminal
        # Without a thread that refreshes: it takes the lines of others for its own, and one of them vanished.
        self._progress = Progress(
            *columns, console=console, expand=True, disable=not live, get_time=clock, auto_refresh=False
        )
        many = len(sources) > 1
        self._all = (
            self._progress.add_task(self._ended_of_all(), total=len(sources), details="") if many else None
        )

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, number: int, name: str) -> TaskID:
        """Adds the source of this number, which waits."""
        self._work[number].submitted = self._clock()
        width = self._console.width - (BESIDE_NAME_COLUMNS_WIDE if self._wide else BESIDE_NAME_COLUMNS)
        name = shortened(printable(name), max(8, width), self._shared)
        return self._progress.add_task(name, start=False, total=None, details="waiting")

    def show(self, number: int, bar: TaskID, state: JobState, people: int) -> None:
        """Updates the source of this number."""
        work = self._work[number]
        work.done, work.expected = state.done, state.expected
        if not state.done:
            return
        if work.since is None:
            work.since = self._clock()
            self._progress.start_task(bar)
        if state.done >= state.expected:
            details = "grouping the faces"
        else:
            details = f"{state.done}/{state.expected} frames"
            if people and self._wide:
                details += f", {counted(people, 'person', 'people')} so far"
        # One step more than frames: grouping takes time too.
        self._progress.update(bar, total=state.expected + 1, completed=state.done, details=details)

    def end(self, number: int, bar: TaskID, name: str, state: JobState) -> None:
        """Replaces the bar by a line with the outcome."""
        work = self._work[number]
        if state.summary is not None:
            work.done = state.summary.frames_processed
        work.expected = work.done
        work.ended = True
        self._progress.remove_task(bar)
        line = f"{printable(name)}: {self._outcome(work, state)}"
        if self._progress.disable and self._all is not None:
            line = f"{self.overall()}: {line}"
            self._said = self._clock()
        style = "" if state.status == "completed" else "red"
        self._console.print(Text(line, style), soft_wrap=self._progress.disable)

    def _outcome(self, work: Work, state: JobState) -> str:
        summary = state.summary
        if state.status != "completed" or summary is None:
            return state.status
        since = work.submitted if work.since is None else work.since
        worked, waited = self._clock() - since, since - work.submitted
        people, frames = summary.unique_faces, summary.frames_processed
        outcome = f"{counted(people, 'person', 'people')}, {counted(frames, 'frame', 'frames')} analysed"
        outcome += f" in {duration(worked)}"
        return outcome + (f" after waiting {duration(waited)}" if waited >= 1 else "")

    def tick(self) -> None:
        """Shows the bars as they are now, and what is said about all sources."""
        if self._all is not None:
            ended = sum(work.ended for work in self._work)
            self._progress.update(
                self._all, completed=ended, description=self._ended_of_all(), details=self._left()
            )
        if self._progress.disable and self._clock() - self._said > SECONDS_PER_LINE:
            self._said = self._clock()
            self._console.print(Text(self.overall()))
        self._progress.refresh()

    def overall(self) -> str:
        """How far all sources are: "3 of 20 films, about 40 s left"; for one source its frames."""
        left = self._left()
        if self._all is None:
            work = self._work[0]
            return f"{work.done} of {work.expected or '?'} frames" + (f", {left}" if left else "")
        return self._ended_of_all() + (f", {left}" if left else "")

    def _ended_of_all(self) -> str:
        return f"{sum(work.ended for work in self._work)} of {len(self._work)} {self._noun}"

    def _left(self) -> str:
        seconds = seconds_left(self._work, self._clock() - self._began)
        return "" if seconds is None else f"about {rounded(seconds)} left"


def seconds_left(work: Sequence[Work], elapsed: float) -> float | None:
    """How long the rest takes at the pace so far; None before the first frame.

    A source whose frames are not known yet is expected to have the mean number of those that are.
    """
    known = [source for source in work if source.expected or source.ended]
    done = sum(source.done for source in known)
    if not done:
        return None
    expected = sum(source.expected for source in known)
    total = expected * len(work) / len(known)
    return elapsed * (total - done) / done


def shared(names: Sequence[str]) -> tuple[int, int]:
    """How many characters all names begin with, and how many of the others they end with; 0 for a single name."""
    if len(names) < 2:
        return 0, 0
    beginning = _alike(names)
    return beginning, _alike([name[beginning:][::-1] for name in names])


def _alike(texts: Sequence[str]) -> int:
    """How many characters all texts begin with."""
    columns = enumerate(zip(*texts, strict=False))
    return next((number for number, column in columns if len(set(column)) > 1), min(map(len, texts)))


def shortened(name: str, width: int, shared: tuple[int, int]) -> str:
    """The name with at most so many columns, cut where it equals the others (`shared`) as far as that suffices: first
    in what all begin with, then in what all end with, then in its middle."""
    if cell_len(name) <= width:
        return name
    before, end = shared[0], len(name) - shared[1]
    begun = (f"{name[:kept]}…{name[before:]}" for kept in range(before - 1, -1, -1))
    own = f"…{name[before:end]}" if before else name[:end]
    ended = (f"{own}…{name[start:]}" for start in range(end + 1, len(name) + 1))
    fit = next((cut for cut in chain(begun, ended) if cell_len(cut) <= width), None)
    return fit or _without_middle(name[before:end] or name, width)


def _without_middle(name: str, width: int) -> str:
    beginning = end = len(name) // 2
    while cell_len(name[:beginning] + name[end:]) >= width and beginning:
        beginning, end = beginning - 1, end + (end < len(name))
    return f"{name[:beginning]}…{name[end:]}"


def rounded(seconds: float) -> str:
    """A time to wait, as exact as an estimate is: "5 s", "40 s", "3 min", "2.5 h"."""
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{round(seconds / 1800) / 2:g} h"


def duration(seconds: float) -> str:
    """A time that has passed: "3.2 s", "1:05 min", "2:03:00 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


class _Bar(ProgressColumn):
    """A bar; none for a source that waits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def render(self, task: Task) -> RenderableType:
        """Draws the bar; it pulses until the number of frames is known."""
        if not task.started:
            return Text("")
        return ProgressBar(
            total=task.total, completed=task.completed, width=self._width, animation_time=task.get_time()
        )


class _Elapsed(ProgressColumn):
    """Seconds since the work began; nothing for a source that waits."""

    def render(self, task: Task) -> Text:
        """Shows the time."""
        return Text("" if task.elapsed is None else duration(int(task.elapsed)).replace(".0 s", " s"))
