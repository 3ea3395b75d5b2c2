"""What was wrong with a file that could be read all the same."""


class Damage:
    """Counts faults by kind and remembers where each kind was first seen."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[int, float | None]] = {}

    def report(self, fault: str, at: float | None) -> None:
        """Args: at: seconds from the start of the video; None where that is not known."""
        count, first = self._faults.get(fault, (0, at))
        self._faults[fault] = count + 1, first

    @property
    def warnings(self) -> list[str]:
        """One sentence a kind of fault."""
        return [
            fault
            + (f" near {first:.2f} s" if first is not None else "")
            + (f", and {count - 1} times more" if count > 1 else "")
            for fault, (count, first) in self._faults.items()
        ]
