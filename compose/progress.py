"""Progress of ``faces analyze``: a bar for each running job, one for all sources, a line for each ended job."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from compose.tables import counted
from schemas.file_names import printable
from schemas.store.job_reader import JobState


class Bars:
    """Progress bars.

    A bar counts analysed frames of all frames that will be sampled; it pulses until that number is known. It is full
    only when the job is completed.

    Args:
        sources: number of all sources.
    """

    def __init__(self, console: Console, sources: int) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[details]}", markup=False),
            TimeElapsedColumn(),
        )
        self._console = console
        self._progress = Progress(*columns, console=console)
        self._all = self._progress.add_task("all sources", total=sources, details="") if sources > 1 else None
        self._ended = 0

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str) -> TaskID:
        """Adds a bar for a job."""
        return self._progress.add_task(printable(name), total=None, details="waiting")

    def show(self, bar: TaskID, state: JobState, people: int) -> None:
        """Updates the bar of a running job."""
        details = f"{state.done}/{state.sampled} frames, {counted(people, 'person', 'people')} so far"
        if state.expected and state.done >= state.expected:
            details = "clustering the faces"
        # One step more than frames: clustering takes time too.
        total = state.expected + 1 if state.expected else None
        self._progress.update(bar, total=total, completed=state.done, details=details)

    def end(self, bar: TaskID, name: str, state: JobState) -> None:
        """Replaces the bar by a line with the outcome."""
        name = printable(name)
        self._progress.remove_task(bar)
        self._ended += 1
        if self._all is not None:
            self._progress.update(self._all, completed=self._ended, details=f"{self._ended} ended")
        summary = state.summary
        if state.status == "completed" and summary is not None:
            seconds = f"{summary.processing_time_seconds:.1f} s"
            frames = counted(summary.frames_processed, "frame", "frames")
            outcome = f"{counted(summary.unique_faces, 'person', 'people')}, {frames} analysed in {seconds}"
            self._console.print(Text(f"{name}: {outcome}"))
        else:
            self._console.print(Text(f"{name}: {state.status}", "red"))
