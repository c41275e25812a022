"""What numbers with intervals say of a claim."""

from typing import Any

import numpy as np

from ntjax.reports.cells import LEVEL

HOLDS, FAILS, OPEN = "holds", "does not hold", "not told apart"


def by_difference(difference: dict[str, Any], p: float | None = None) -> str:
    """The verdict on "more" by the interval of a difference, and its corrected p if it has one."""
    if difference["low"] is None or (p is not None and p >= LEVEL):
        return OPEN
    if difference["low"] > 0:
        return HOLDS
    return FAILS if difference["high"] < 0 else OPEN


def by_intervals(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The verdict on "one is more" by two intervals that are not of a difference."""
    if one["low"] > other["high"]:
        return HOLDS
    return FAILS if one["high"] < other["low"] else OPEN


def below(metric: dict[str, Any], bound: float) -> str:
    """The verdict on "less than the bound"."""
    if metric["high"] is None:  # of ECE there is the value alone
        return HOLDS if metric["value"] < bound else FAILS
    if metric["high"] < bound:
        return HOLDS
    return FAILS if metric["low"] > bound else OPEN


def by_two_errors(one: float, other: float, rows: int) -> str:
    """The verdict on "one is more" of two published shares of the same number of rows."""
    error = np.sqrt((one * (1 - one) + other * (1 - other)) / rows)
    if abs(one - other) < 2 * error:
        return OPEN
    return HOLDS if one > other else FAILS
