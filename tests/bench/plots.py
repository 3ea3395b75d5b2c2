"""Plots the figures of the benches, one SVG file each: ``python -m tests.bench.plots [DIRECTORY]``."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE = (6.4, 3.2)
INK, OTHER, LIMIT = "#1f5a92", "#9aa7b3", "#b03a2e"
Figures = dict[str, Any]


def whole_path(axes: Axes, figures: Figures) -> None:
    runs = figures["runs"]
    least = runs["decoding"]["processor_seconds"] + runs["models"]["processor_seconds"]
    rows = [
        ("plain loop", runs["plain"]["processor_seconds"], OTHER),
        ("decode all + models", least, OTHER),
        ("service, all processes", runs["service"]["processor_seconds"], INK),
    ]
    axes.barh([row[0] for row in rows], [row[1] for row in rows], color=[row[2] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"processor seconds, {figures['film']['seconds']:.0f} s of film, {figures['frames']} frames"
    )


def many_jobs(axes: Axes, figures: Figures) -> None:
    rows = figures["crowds"]
    counts = [row["analyze_workers"] for row in rows]
    axes.bar(counts, [row["jobs_per_minute"] for row in rows], color=INK)
    axes.set_xticks(counts)
    axes.set_xlabel(f"analyze workers, {figures['machine']['cores']} cores")
    axes.set_ylabel("jobs a minute")


def long_film(axes: Axes, figures: Figures) -> None:
    over, most = figures["over_time"], 2
    for name, colour in (("analyze", INK), ("frames", OTHER), ("server_data", LIMIT)):
        axes.plot(
            over["done"], over[f"{name}_megabytes"], color=colour, label=name.replace("_", " "), lw=most
        )
    axes.set_xlabel("frames done")
    axes.set_ylabel("megabytes")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def clustering(axes: Axes, figures: Figures) -> None:
    rows = figures["sizes"]
    greedy = [row for row in rows if "greedy_processor_seconds" in row]
    axes.loglog(
        [r["faces"] for r in rows], [r["processor_seconds"] for r in rows], "o-", color=INK, label="ours"
    )
    axes.loglog(
        [r["faces"] for r in greedy], [r["greedy_processor_seconds"] for r in greedy], "o-", color=OTHER,
        label="greedy pass",
    )  # fmt: skip
    axes.set_xlabel("faces")
    axes.set_ylabel("processor seconds")
    axes.legend(frameon=False)


def overhead(axes: Axes, figures: Figures) -> None:
    each = figures["milliseconds_a_frame"]
    rows = [*((name, each["work"][name], OTHER) for name in ("decoding", "encoding", "reading")),
            ("streams", each["overhead"], INK)]  # fmt: skip
    axes.barh([row[0] for row in rows], [row[1] for row in rows], color=[row[2] for row in rows])
    axes.invert_yaxis()
    axes.axvline(3.0, color=LIMIT, lw=1)
    axes.set_xlabel("processor milliseconds a frame (target for the streams: 3)")


def service_times(axes: Axes, figures: Figures) -> None:
    rows = figures["check"]
    counts = [row["analyze_workers"] for row in rows]
    axes.plot(counts, [row["measured_jobs_per_minute"] for row in rows], "o-", color=INK, label="measured")
    axes.plot(
        counts, [row["predicted_jobs_per_minute"] for row in rows], "s--", color=LIMIT, label="predicted"
    )
    axes.set_xticks(counts)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("analyze workers")
    axes.set_ylabel("jobs a minute")
    axes.legend(frameon=False)


def sprites(axes: Axes, figures: Figures) -> None:
    films = figures["films"]
    faces = [f"{film['faces']['service'] / film['tiles']:.1f} faces a tile" for film in films]
    places = range(len(films))
    for name, by, shift, colour in (
        ("service", "at_processor", -0.2, INK),
        ("plain loop", "plain_at_processor", 0.2, OTHER),
    ):
        rates = [film["tiles_per_second"][by] for film in films]
        axes.barh([place + shift for place in places], rates, 0.36, color=colour, label=name)
    axes.set_yticks(list(places), faces)
    axes.invert_yaxis()
    axes.axvline(100.0, color=LIMIT, lw=1)
    axes.set_xlabel(f"tiles a second of {figures['machine']['cores']} cores' time (target: 100)")
    axes.legend(frameon=False)


def streams(axes: Axes, figures: Figures) -> None:
    rows = figures["rows"]
    colours = [INK if name.startswith("runtime") else OTHER for name in rows]
    axes.barh(list(rows), [row["drained/s"] for row in rows.values()], color=colours)
    axes.invert_yaxis()
    axes.set_xlabel("messages drained a second")


def memory(axes: Axes, figures: Figures) -> None:
    seen = figures["resident_mb"]
    axes.plot([figures["frames"] * n / len(seen) for n in range(len(seen))], seen, "o-", color=INK)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"frames, with {figures['faces']} faces in all")
    axes.set_ylabel("megabytes of an analyze process")


PLOTS: tuple[Callable[[Axes, Figures], None], ...] = (
    whole_path, overhead, many_jobs, long_film, sprites, clustering, streams, memory, service_times,
)  # fmt: skip


def draw(folder: Path) -> list[Path]:
    """Plots every bench that has figures; equal figures give equal files."""
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "faces", "font.size": 9})
    drawn = []
    for plot in PLOTS:
        source = folder / f"{plot.__name__}.json"
        if not source.is_file():
            continue
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        plot(axes, msgspec.json.decode(source.read_bytes()))
        drawn.append(source.with_suffix(".svg"))
        figure.savefig(drawn[-1], metadata={"Date": None})
    return drawn


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures")
