"""Numbers with their intervals as they stand in tables, and what may be said of a difference."""

from typing import Any

LEVEL = 0.05
"""Of corrected p-values: what is below is told from chance."""

Metric = dict[str, Any]  # value, low and high; sd where there are seeds


def interval_cell(metric: Metric) -> str:
    """`0.812 [0.790, 0.834]`; without an interval, as of few rows, the value alone, or `–`."""
    if metric["value"] is None:
        return "–"
    return f"{metric['value']:.3f}{_ends(metric)}"


def signed_cell(metric: Metric) -> str:
    """The same of a difference: `+0.012 [-0.003, +0.027]`."""
    return f"{metric['value']:+.3f}{_ends(metric, '+')}"


def spread_cell(metric: Metric) -> str:
    """The mean over seeds, their standard deviation if there are several, and the interval."""
    spread = "" if metric["sd"] is None else f" ± {metric['sd']:.3f}"
    return f"{metric['value']:.3f}{spread}{_ends(metric)}"


def _ends(metric: Metric, sign: str = "") -> str:
    if metric["low"] is None:
        return ""
    return f" [{metric['low']:{sign}.3f}, {metric['high']:{sign}.3f}]"


def compared(difference: Metric, p: float) -> str:
    """The words for a difference whose corrected p-value is `p`."""
    if p >= LEVEL:
        return "cannot be told from"
    return "is above" if difference["value"] > 0 else "is below"


def told(difference: Metric) -> bool:
    """Whether a difference is told from chance, by its corrected p-value if it has one."""
    return difference["corrected"] is not None and difference["corrected"] < LEVEL


def marked_cell(difference: Metric) -> str:
    """A signed difference, with an asterisk where it is told from chance; `–` without a value."""
    if difference["value"] is None:
        return "–"
    return signed_cell(difference) + (" *" if told(difference) else "")


def counts_cell(one: dict[str, Any]) -> str:
    """`1,200 (60)`: rows, and the groups that they are in."""
    return f"{one['n']:,} ({one['groups']:,})"


def counted(number: int, what: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"
