"""Runs the benches one after another and writes their figures as JSON and as plots. ``make bench``

    python -m tests.bench [NAME…] [--out tests/bench/figures]

Each bench is a command of its own too: ``python -m tests.bench.NAME --help``. When one fails, the others still run;
its error is printed at the end.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tests.bench import plots

BENCHES: dict[str, tuple[str, ...]] = {
    "whole_path": (),
    "starts": (),
    "overhead": (),
    "many_jobs": (),
    "long_film": (),
    "sprites": (),
    "clustering": (),
    "streams": (),
    "memory": (),
    "recovery": ("--work", "30", "--queued", "200000"),
    "service_times": (),
}
"""With the arguments that they are run with here."""
BENCH_TIMEOUT_SECONDS = 3600.0


def run(name: str, out: Path) -> str | None:
    """Runs one bench and writes its figures; returns the error, or None."""
    began = time.monotonic()
    sys.stderr.write(f"{name} … ")
    sys.stderr.flush()
    command = [sys.executable, "-m", f"tests.bench.{name}", *BENCHES[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BENCH_TIMEOUT_SECONDS)
    sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
    if done.returncode:
        return f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}"
    (out / f"{name}.json").write_text(done.stdout)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures")
    given = parser.parse_args()
    if unknown := set(given.names) - BENCHES.keys():
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    given.out.mkdir(parents=True, exist_ok=True)
    failures = [failure for name in given.names or BENCHES if (failure := run(name, given.out))]
    plots.draw(given.out)
    for failure in failures:
        sys.stderr.write(f"{failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
