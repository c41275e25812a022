"""The charts of a run's page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntjax.reports.charts import Axis, Chart, Series

MOST_POINTS = 1000
"""Most dots of a scatter plot; of more rows, as many evenly spaced ones by predicted value."""
_MOST_DOTS_OF_A_CURVE = 25
_BEFORE, _AFTER = 1, 0  # colours of probabilities before and after calibration


def loss_curve(history: Sequence[Mapping[str, Any]], kept: int | None) -> Chart | None:
    """Draw the training loss, and that of the validation rows, over the steps."""
    series = [
        _curve(name, history, column, colour, dash)
        for name, column, colour, dash in (
            ("training rows", "loss", 0, 0),
            ("validation rows", "validation_loss", 1, 1),
        )
    ]
    return _over_steps("Loss", "loss", [s for s in series if s], kept, low=0.0)


def validation_curve(
    history: Sequence[Mapping[str, Any]], metric: str, shown: str, kept: int | None
) -> Chart | None:
    """Draw the validation metric that chose the kept step, over the steps."""
    curve = _curve("", history, f"validation_{metric}", 2, 0)
    return _over_steps(f"Validation {shown}", f"validation {shown}", [curve] if curve else [], kept)


def overlaid_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], metric: str, shown: str, best: str
) -> Chart | None:
    """Draw the validation metric of every member of a sweep.

    Arguments:
        histories: lines of each member's log by its name.
        metric: as in the logs.
        shown: its name for a reader.
        best: the member to tell from the others where they are too many for a colour each.
    """
    few = len(histories) <= 8
    curves = []
    for number, (name, history) in enumerate(histories.items()):
        colour = number if few else 0 if name == best else -1
        label = name if few or name == best else ""
        if curve := _curve(
            label, history, f"validation_{metric}", colour, number % 2 if few else 0
        ):
            curves.append(curve)
    curves.sort(key=lambda curve: bool(curve.name) and not few)  # the best is drawn last
    return _over_steps(f"Validation {shown} of every member", f"validation {shown}", curves, None)


def _curve(
    name: str, history: Sequence[Mapping[str, Any]], column: str, colour: int, dash: int
) -> Series | None:
    points = tuple(
        (float(line["step"]), float(line[column]))
        for line in history
        if line.get(column) is not None and np.isfinite(line[column])
    )
    if not points:
        return None
    return Series(name, points, colour, dash, dots=len(points) <= _MOST_DOTS_OF_A_CURVE)


def _over_steps(
    title: str, label: str, series: Sequence[Series], kept: int | None, low: float | None = None
) -> Chart | None:
    if not series:
        return None
    points = [point for one in series for point in one.points]
    steps, values = zip(*points, strict=True)
    marks = [] if kept is None else [float(kept)]
    last = max((one.points[-1] for one in series), key=lambda point: point[0])
    return Chart(
        title,
        f"{label} from {points[0][1]:.3f} at step {points[0][0]:.0f} to {last[1]:.3f} at step "
        f"{last[0]:.0f}",
        Axis.over("optimiser steps", [*steps, *marks], low=0.0),
        Axis.over(label, values, low=low),
        tuple(series),
        None if kept is None else (float(kept), f"kept: step {kept:,}"),
    )


def reliability_chart(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Chart | None:
    """Draw the observed share of a class against its predicted probability, in ten bins.

    Arguments:
        name: of the class or label.
        before: its curve in `reliability.json` before calibration.
        after: the same after calibration; None where there is none, or it changed nothing.
    """
    series = [Series("perfectly calibrated", ((0.0, 0.0), (1.0, 1.0)), -1, 1, dots=False)]
    if before:
        name_of_it, colour, dash = "predicted probabilities", _AFTER, 0
        if after:
            name_of_it, colour, dash = "before calibration", _BEFORE, 2
        series.append(_bins(name_of_it, before, colour, dash, not after))
    if after:
        series.append(_bins("after calibration", after, _AFTER, 0, True))
    drawn = [one for one in series[1:] if one.points]
    if not drawn:
        return None
    gap = max(abs(x - y) for x, y in drawn[-1].points)
    return Chart(
        f"Reliability of {name}",
        f"of {len(drawn[-1].points)} bins with rows, the largest gap between predicted probability "
        f"and observed share is {gap:.2f}",
        Axis.over(f"predicted probability of {_short(name)}", [0.0, 1.0]),
        Axis.over("share of rows that are", [0.0, 1.0]),
        (series[0], *drawn),
        height=290,
    )


def _bins(name: str, curve: Mapping[str, Any], colour: int, dash: int, with_bars: bool) -> Series:
    columns = (curve[field] for field in ("mean_predicted", "fraction_positive", "low", "high"))
    bins = [row for row in zip(*columns, strict=True) if row[0] is not None]
    return Series(
        name,
        tuple((x, y) for x, y, _, _ in bins),
        colour,
        dash,
        bars=tuple((low, high) for _, _, low, high in bins) if with_bars else (),
    )


def predicted_against_observed(
    name: str, observed: np.ndarray, predicted: np.ndarray
) -> Chart | None:
    """Draw observed values [rows] against predicted ones [rows], and the line where both agree."""
    if not len(observed):
        return None
    order = np.argsort(predicted, kind="stable")
    if len(order) > MOST_POINTS:
        order = order[np.linspace(0, len(order) - 1, MOST_POINTS).round().astype(int)]
    points = tuple(zip(predicted[order].tolist(), observed[order].tolist(), strict=True))
    both = [*observed[order].tolist(), *predicted[order].tolist()]
    y = Axis.over(f"observed {_short(name)}", both, ticks=5)
    x = Axis(f"predicted {_short(name)}", y.low, y.high, y.step)
    return Chart(
        "Observed against predicted values",
        f"{len(points)} test rows; predictions from {min(predicted):.4g} to {max(predicted):.4g}, "
        f"observed values from {min(observed):.4g} to {max(observed):.4g}",
        x,
        y,
        (
            Series("predicted = observed", ((y.low, y.low), (y.high, y.high)), -1, 1, dots=False),
            Series("a test row", points, 0, line=False),
        ),
        height=320,
    )


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
