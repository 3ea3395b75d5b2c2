"""Runs processes side by side: prefixes their output, restarts those that exit, stops all of them."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.redaction import MAX_TEXT_LENGTH, redact

PR_SET_PDEATHSIG = 1  # prctl(2)
OURSELVES = "faces"
"""Prefix of what this program itself says."""
CANNOT_START = 2
"""Exit status of a process that is not restarted: its environment has to be corrected first."""
RESTART_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 10.0, 10.0)
"""Pauses before the first, second … restart of a process that keeps exiting; after the last one it has failed."""
STABLE_SECONDS = 5.0
"""A process that ran longer before it exited is restarted after the first pause."""
READ_BYTES = 64 << 10
MAX_LINE_BYTES = MAX_TEXT_LENGTH
"""A longer line of output is printed as several, since it is held in memory until it is complete."""
MAX_KEPT_CHARACTERS = 2000
"""Of each of the last lines that are kept for error messages."""
STOP_SECONDS = 20.0
"""Between SIGTERM and SIGKILL: longer than a worker takes to stop (`consumers.runtime.worker.DRAIN_SECONDS`)."""


class Output(Protocol):
    """What lines are written to; line-buffered, as standard error is."""

    def write(self, text: str, /) -> object:
        """Writes a line."""


class ProcessFailed(Exception):
    """A process cannot be kept running; the text names it."""


@dataclass
class Child:
    """A process to run.

    Attributes:
        name: prefix of its output lines.
        command: program and arguments.
        environment: the complete one.
        inherited: file descriptors that it keeps open.
        umask: of the files that it creates; -1: that of this process.
        on_exit: is called with the last output, in a thread; returns a line to print. Raises ProcessFailed where a
            restart cannot help.
        last_lines: of its output, for error messages.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    inherited: Sequence[int] = ()
    umask: int = -1
    on_exit: Callable[[str], str | None] = lambda _: None
    process: asyncio.subprocess.Process | None = None
    last_lines: list[str] = field(default_factory=list)


class Supervisor:
    """Runs and restarts processes until `stop`.

    Args:
        output: receives prefixed lines; None: only the last lines of each child are kept, for error messages.
        pauses: seconds before each restart of a child that keeps exiting; it fails when none is left.
        screen: receives what this program itself says, without prefix.
    """

    def __init__(
        self,
        output: Output | None = sys.stderr,
        pauses: Sequence[float] = RESTART_PAUSES_SECONDS,
        screen: Output | None = None,
    ) -> None:
        self._output = output
        self._screen = screen
        self._pauses = pauses
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._children: list[Child] = []
        self._failed = asyncio.Event()

    def start(self, child: Child) -> None:
        """Starts a process and restarts it when it exits."""
        self._children.append(child)
        keeper = asyncio.create_task(self._keep(child), name=child.name)
        keeper.add_done_callback(self._ended)
        self._keepers.append(keeper)

    async def wait(self) -> None:
        """Waits forever; raises ProcessFailed as soon as a child, started before or later, cannot be kept running."""
        await self._failed.wait()
        for keeper in self._keepers:
            if keeper.done():
                keeper.result()

    async def stop(self, keep: Child | None = None, within: float = STOP_SECONDS) -> None:
        """Sends SIGTERM to all children but ``keep``, and SIGKILL to those that run ``within`` seconds later.

        Args:
            within: 0 kills at once, for children with nothing to finish.
        """
        self._stopping.set()
        stopped = [(c, k) for c, k in zip(self._children, self._keepers, strict=True) if c is not keep]
        for child, _ in stopped:
            _signal(child, signal.SIGTERM)
        if not stopped:
            return
        _, late = await asyncio.wait([keeper for _, keeper in stopped], timeout=within)
        for child, keeper in stopped:
            if keeper in late:
                if within:
                    self.say(OURSELVES, f"{child.name} did not stop within {within:g} s; killing it")
                _signal(child, signal.SIGKILL)
        await asyncio.gather(*(keeper for _, keeper in stopped), return_exceptions=True)

    def say(self, name: str, line: str) -> None:
        """Writes a line with a prefix, without secrets."""
        line = redact(line)
        if self._output is not None:
            self._output.write(f"{name:<12}| {line}\n")
        if self._screen is not None and name == OURSELVES:
            self._screen.write(f"{line}\n")

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and keeper.exception() is not None:
            self._failed.set()

    async def _keep(self, child: Child) -> None:
        exits = 0
        while True:
            started = time.monotonic()
            status = await self._run(child)
            if self._stopping.is_set():
                return
            exits = 1 if time.monotonic() - started > STABLE_SECONDS else exits + 1
            output = redact("\n".join(child.last_lines[-15:]))
            if status == CANNOT_START:
                raise ProcessFailed(output or f"{child.name} cannot start")
            if line := await asyncio.to_thread(child.on_exit, output):
                self.say(OURSELVES, line)
            if exits > len(self._pauses):
                raise ProcessFailed(f"{child.name} exited {exits} times in a row ({_how(status)}):\n{output}")
            pause = self._pauses[exits - 1]
            self.say(OURSELVES, f"{child.name} exited ({_how(status)}); restarting in {pause:g} s")
            await asyncio.sleep(pause)
            if self._stopping.is_set():
                return

    async def _run(self, child: Child) -> int:
        child.last_lines = []  # what an earlier run said does not explain the end of this one
        child.process = await asyncio.create_subprocess_exec(
            *child.command,
            env=dict(child.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=tuple(child.inherited),
            umask=child.umask,
            start_new_session=True,  # Ctrl-C reaches this process only, which then stops the others in order
            preexec_fn=_stop_with_parent if sys.platform == "linux" else None,
        )
        assert child.process.stdout is not None
        async for raw in _lines(child.process.stdout):
            line = raw.decode(errors="replace").rstrip()
            child.last_lines = [*child.last_lines[-50:], line[:MAX_KEPT_CHARACTERS]]
            self.say(child.name, line)
        return await child.process.wait()


async def _lines(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: one longer than `MAX_LINE_BYTES` comes in pieces of that length."""
    rest = b""
    while chunk := await output.read(READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            for start in range(0, max(1, len(line)), MAX_LINE_BYTES):
                yield line[start : start + MAX_LINE_BYTES]
        while len(rest) >= MAX_LINE_BYTES:
            yield rest[:MAX_LINE_BYTES]
            rest = rest[MAX_LINE_BYTES:]
    if rest:
        yield rest


def _stop_with_parent() -> None:
    """Makes the kernel send the child SIGTERM when its parent dies, so that no process is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal(child: Child, number: int) -> None:
    if child.process is not None and child.process.returncode is None:
        child.process.send_signal(number)


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def clean_environment(**changes: str) -> dict[str, str]:
    """The environment of this process, with changes."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **changes}
