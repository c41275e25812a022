"""Pictures of the sweeps: curves of all members, and test metrics by setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from experiments.promoters import published
from experiments.promoters.sections.comparison import METRICS
from ntjax.reports.figures import (
    COLOURS,
    draw_curves,
    draw_members,
    draw_spreads,
    new_picture,
    save,
)

_GREY = COLOURS[6]
_OF_SETTING = {
    "lora_dropout": COLOURS[0],
    "lora_rank": COLOURS[1],
    "lora_alpha": COLOURS[2],
    "learning_rate": COLOURS[3],
    "seed": COLOURS[4],
}


def draw_curves_of_members(record: dict[str, Any], path: Path) -> str:
    """The report's dropouts and stages above, ours below; returns the file's name."""
    picture, axes = new_picture(columns=2, rows=2)
    theirs = {
        dropout: curve
        for dropout, stem in published.DROPOUT_CURVES.items()
        if (curve := published.validation_accuracy(stem))
    }
    for dropout, (steps, values) in theirs.items():
        draw_members(axes[0, 0], steps, [values], _shade(float(dropout)), dropout)
    stages = {
        name: curve
        for name, stem in published.STAGE_CURVES.items()
        if (curve := published.validation_accuracy(stem))
    }
    draw_curves(axes[0, 1], stages)
    dropouts = [arm for arm in record["arms"] if arm["setting"] == "lora_dropout"]
    others = [arm for arm in record["arms"] if arm["setting"] != "lora_dropout"]
    for arm in dropouts:
        colour = _shade(arm["value"])
        draw_members(axes[1, 0], arm["steps"], arm["curves"], colour, f"{arm['value']:g}")
    for number, arm in enumerate((dropouts[0], *others)):
        style = "--" if number % 2 else "-"
        colour = _OF_SETTING[arm["setting"]]
        draw_members(axes[1, 1], arm["steps"], arm["curves"], colour, arm["name"], style)
    for one, title in zip(
        axes.flat,
        ("as published: dropout", "as published: stages", "here: dropout", "here: other settings"),
        strict=True,
    ):
        one.set_title(title)
    for one in axes[:, 0]:
        one.legend(title="dropout", ncols=3, frameon=False, fontsize="small", loc="lower right")
    axes[1, 1].legend(ncols=2, frameon=False, fontsize="small", loc="lower right")
    for row in axes:
        _same_heights(row)
    return save(picture, path)


def _shade(dropout: float) -> Any:
    """Colours in order of dropout, told apart by the colour-blind and in grey."""
    return plt.get_cmap("viridis")(dropout - 0.1)


def _same_heights(row: Sequence[Axes]) -> None:
    ends = [one.get_ylim() for one in row]
    for one in row:
        one.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def draw_test_metrics(record: dict[str, Any], path: Path) -> str:
    """A panel for each metric, a bar for each setting; returns the file's name."""
    picture, axes = new_picture(columns=2, rows=2, width=7.5, height=3.6)
    for one, metric in zip(axes.flat, METRICS, strict=True):
        _draw_metric(one, record["arms"], metric)
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))
    return save(picture, path)


def _draw_metric(axes: Axes, arms: Sequence[dict[str, Any]], metric: str) -> None:
    tests = [arm["test"][metric] for arm in arms]
    values = [test["value"] for test in tests]
    axes.bar(range(len(arms)), values, color=[_OF_SETTING[arm["setting"]] for arm in arms])
    draw_spreads(axes, range(len(arms)), values, [test["sd"] for test in tests])
    if metric == "accuracy":
        _draw_reported_dropouts(axes, arms)
    theirs = [(run.name, getattr(run, metric)) for run in published.REPORT[:4]]
    places = [len(arms) + 0.5 + number for number in range(len(theirs))]
    axes.bar(places, [value for _, value in theirs], color=_GREY, hatch="//", edgecolor="white")
    short = ("1,000 steps", "10,000 steps", "d 0.4, r 32, 10,000", "10,000, then E. coli")
    names = [arm["name"] for arm in arms] + [f"report: {name}" for name in short]
    axes.set_xticks([*range(len(arms)), *places], names, rotation=60, ha="right", fontsize="small")
    axes.set_ylabel(f"test {'MCC' if metric == 'mcc' else metric}")
    axes.axhline(0, color="black", linewidth=0.8)


def _draw_reported_dropouts(axes: Axes, arms: Sequence[dict[str, Any]]) -> None:
    found = [
        (place, published.test_accuracy(published.DROPOUT_CURVES[f"{arm['value']:g}"]))
        for place, arm in enumerate(arms)
        if arm["setting"] == "lora_dropout"
    ]
    known = [(place, value) for place, value in found if value is not None]
    if known:
        places, values = zip(*known, strict=True)
        axes.plot(
            places,
            values,
            "D",
            color="white",
            markeredgecolor="black",
            markersize=5,
            label="the report's own with this dropout",
        )
