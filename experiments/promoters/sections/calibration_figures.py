"""Pictures of calibration: figure 6, and reliability where promoters are rare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ntjax.reports.figures import COLOURS, OTHER, PROMOTER, new_picture, save

_CLASSES = {"1": ("promoters", PROMOTER), "0": ("non-promoters", OTHER)}
_LINES = {"uncalibrated": "--", "calibrated": "-"}
_NAMES = {"uncalibrated": "uncalibrated", "calibrated": "Platt"}


def draw_figure_6(record: dict[str, Any], path: Path) -> str:
    """Reliability curves of both classes above, histograms of their rows' scores below."""
    picture, axes = new_picture(rows=2, width=7.5, height=4.2)
    above, below = axes[:, 0]
    _diagonal(above)
    for kind, line in _LINES.items():
        for name, (label, colour) in _CLASSES.items():
            curve = record["curves"][kind][name]
            points = {"predicted": curve["mean_predicted"], "happened": curve["fraction_positive"]}
            points |= {end: curve[end] for end in ("low", "high")}
            _draw_curve(above, points, f"{label}, {_NAMES[kind]}", colour, line)
    above.set_xlabel("mean predicted probability of the class")
    above.set_ylabel("share of the rows that are of the class")
    above.legend(frameon=False, fontsize="small", loc="upper left")
    for kind, histograms in zip(_LINES, record["histograms"].values(), strict=True):
        for name, (label, colour) in _CLASSES.items():
            counts = histograms[int(name)]
            below.stairs(
                counts,
                np.linspace(0, 1, len(counts) + 1),
                color=colour,
                linestyle=_LINES[kind],
                linewidth=1.6,
                label=f"{label}, {_NAMES[kind]}",
            )
    below.set_xlabel("probability of being a promoter")
    below.set_ylabel("test rows")
    below.set_ylim(top=1.25 * below.get_ylim()[1])
    below.legend(frameon=False, fontsize="small", loc="upper center", ncols=2)
    return save(picture, path)


def draw_priors(record: dict[str, Any], kinds: Sequence[str], path: Path) -> str:
    """Reliability curves of promoters at each prior."""
    picture, axes = new_picture(columns=len(record["priors"]), width=5.2, height=4.4)
    for one, (prior, found) in zip(axes[0], record["priors"].items(), strict=True):
        _diagonal(one)
        for kind, colour in zip(kinds, (COLOURS[5], COLOURS[0]), strict=True):
            _draw_curve(one, found["curves"][kind], kind, colour, "-")
        one.set_title(f"{float(prior):.0%} of the rows are promoters")
        one.set_xlabel("mean predicted probability of a promoter")
    axes[0, 0].set_ylabel("share of the rows that are promoters")
    axes[0, 0].legend(frameon=False, fontsize="small", loc="upper left")
    return save(picture, path)


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _draw_curve(
    axes: Axes, curve: dict[str, Sequence[float | None]], label: str, colour: str, line: str
) -> None:
    """Points with their intervals; bins without either are left out."""
    keys = ("predicted", "happened", "low", "high")
    rows = [row for row in zip(*(curve[key] for key in keys), strict=True) if None not in row]
    x, y, low, high = np.array(rows, float).reshape(-1, 4).T
    # The mean over all rows may lie a rounding outside the range over resamples.
    ends = np.maximum([y - low, high - y], 0)
    axes.errorbar(
        x,
        y,
        ends,
        color=colour,
        linestyle=line,
        marker="o",
        markersize=4,
        markerfacecolor=colour if line == "-" else "white",
        elinewidth=1,
        capsize=2,
        label=label,
    )
