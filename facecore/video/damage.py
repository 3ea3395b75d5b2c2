"""Collects faults of a file that did not prevent reading it."""


class Damage:
    """Counts faults by kind, with the time of the first of each kind."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[int, float | None]] = {}

    def report(self, fault: str, at: float | None) -> None:
        """Counts a fault.

        Args:
            fault: the kind, as a clause.
            at: seconds from the start of the video; None: unknown.
        """
        count, first = self._faults.get(fault, (0, at))
        self._faults[fault] = count + 1, first

    @property
    def warnings(self) -> list[str]:
        """Returns one clause for each kind of fault."""
        return [
            fault
            + (f" near {first:.2f} s" if first is not None else "")
            + (f", and {count - 1} more times" if count > 1 else "")
            for fault, (count, first) in self._faults.items()
        ]
