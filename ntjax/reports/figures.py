"""How the study's pictures look."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from ntjax.reports.colours import COLOURS

PROMOTER, OTHER = COLOURS[0], COLOURS[1]
_MARKERS = ("o", "s", "D")
_DOTS_PER_INCH = 120


def new_picture(columns: int = 1, rows: int = 1, width: float = 6.4, height: float = 4.0) -> tuple:
    """A picture and its axes, [rows, columns]; width and height of each, in inches."""
    picture, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    return picture, axes


def save(picture: Picture, path: Path) -> str:
    """Write a picture as PNG; returns the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=_DOTS_PER_INCH)
    plt.close(picture)
    return path.name


def draw_curves(
    axes: Axes, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], dashed: bool = False
) -> None:
    """A line for each name: steps and values."""
    for number, (name, (steps, values)) in enumerate(curves.items()):
        axes.plot(
            steps,
            values,
            color=COLOURS[number % len(COLOURS)],
            linestyle="--" if dashed or number >= len(COLOURS) else "-",
            marker="o" if len(steps) < 25 else "",
            markersize=3,
            label=name,
        )
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel("validation accuracy")
    axes.legend(frameon=False, fontsize="small")


def draw_members(
    axes: Axes,
    steps: Sequence[float],
    members: Sequence[Sequence[float]],
    colour: Any,
    label: str | None,
    linestyle: str = "-",
) -> None:
    """A thin line for each member, and a thick one for their mean.

    Arguments:
        members: values [members, steps].
    """
    for values in members if len(members) > 1 else ():
        axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.4, linestyle=linestyle)
    mean = np.mean(members, axis=0)
    marker = "o" if len(steps) < 25 else ""
    style = {"linewidth": 2, "linestyle": linestyle, "marker": marker, "markersize": 3}
    axes.plot(steps, mean, color=colour, label=label, **style)
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel("validation accuracy")


def draw_bars(
    axes: Axes,
    groups: Sequence[str],
    bars: Mapping[str, Sequence[float | None]],
    spreads: Mapping[str, Sequence[float | None]] | None = None,
) -> None:
    """Bars of each name beside each other in every group; what is None is left out.

    `spreads`: half the length of the error bars, of the names that have some.
    """
    width = 0.8 / len(bars)
    for number, (name, values) in enumerate(bars.items()):
        places = [group + (number - (len(bars) - 1) / 2) * width for group in range(len(groups))]
        known = [(x, y) for x, y in zip(places, values, strict=True) if y is not None]
        axes.bar(
            [x for x, _ in known],
            [y for _, y in known],
            width,
            label=name,
            color=COLOURS[number % len(COLOURS)],
            hatch="//" if number >= len(COLOURS) else "",
            edgecolor="white",
        )
        if spreads and name in spreads:
            of_known = [s for s, y in zip(spreads[name], values, strict=True) if y is not None]
            draw_spreads(axes, *zip(*known, strict=True), of_known)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(groups)), groups)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def interval_lengths(metrics: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Measure intervals from their values down and up, [2, metrics]; 0 where there is none."""
    return [
        [0 if m[end] is None else abs(m["value"] - m[end]) for m in metrics]
        for end in ("low", "high")
    ]


def draw_intervals(
    axes: Axes, lines: Sequence[str], dots: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """A line for each name from above, and on it a dot with its interval of each series.

    Arguments:
        lines: names from above.
        dots: `value`, `low` and `high` of every line, by series.
    """
    for number, (name, metrics) in enumerate(dots.items()):
        shift = 0.22 * (number - (len(dots) - 1) / 2)
        values = [metric["value"] for metric in metrics]
        axes.errorbar(
            values,
            [place + shift for place in range(len(lines))],
            xerr=interval_lengths(metrics),
            fmt=_MARKERS[number % len(_MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            capsize=2,
            label=name,
        )
    axes.set_yticks(range(len(lines)), lines)
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.5, alpha=0.5)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="rows trained on")


def draw_spreads(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[float],
    spreads: Sequence[float | None],
) -> None:
    """Error bars: values ± spreads; None (one seed has no spread) draws none."""
    known = [one for one in zip(places, values, spreads, strict=True) if one[2] is not None]
    if known:
        style = {"ecolor": "black", "elinewidth": 1, "capsize": 2}
        axes.errorbar(*zip(*known, strict=True), fmt="none", **style)
