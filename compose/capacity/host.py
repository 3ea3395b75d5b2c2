"""Cores that tasks share: a fluid model of a fair scheduler (processor sharing).

At any moment the unfinished tasks share the cores evenly; what a task cannot use is shared among the others (max-min
fairness, as by progressive filling: Bertsekas and Gallager, Data Networks, 6.5.2). Work is counted in processor
seconds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

EPSILON = 1e-9
"""Processor seconds; a task with less work left has ended."""


@dataclass(eq=False)
class Task:
    """Work under way.

    Attributes:
        left: processor seconds.
        parallel: cores that it can use at most.
        on_end: called when no work is left.
    """

    left: float
    parallel: float
    on_end: Callable[[], None]


@dataclass(eq=False)
class Host:
    """A machine's cores and the tasks on them.

    Attributes:
        updated: time up to which the tasks have been advanced.
        version: grows whenever the tasks change; an end that was scheduled for an older version no longer holds.
    """

    cores: float
    tasks: list[Task] = field(default_factory=list)
    updated: float = 0.0
    version: int = 0

    def start(self, now: float, task: Task) -> None:
        """Adds a task."""
        self.advance(now)
        self.tasks.append(task)

    def advance(self, now: float) -> None:
        """Does the work between `updated` and now."""
        for task, rate in zip(self.tasks, self._rates(), strict=True):
            task.left -= min(task.left, rate * (now - self.updated))
        self.updated = now

    def take_ended(self) -> list[Task]:
        """Removes and returns the tasks without work left."""
        ended = [task for task in self.tasks if task.left <= EPSILON]
        self.tasks = [task for task in self.tasks if task.left > EPSILON]
        return ended

    def next_end(self) -> float:
        """When the first of the tasks ends, should none be added; later than now, however coarse its numbers are."""
        left = min(task.left / rate for task, rate in zip(self.tasks, self._rates(), strict=True))
        return max(self.updated + left, math.nextafter(self.updated, math.inf))

    def _rates(self) -> list[float]:
        """Cores of each task, by progressive filling: the least parallel task first."""
        free, rates = self.cores, [0.0] * len(self.tasks)
        order = sorted(range(len(self.tasks)), key=lambda i: self.tasks[i].parallel)
        for place, i in enumerate(order):
            rates[i] = min(self.tasks[i].parallel, free / (len(order) - place))
            free -= rates[i]
        return rates
