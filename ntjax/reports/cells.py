"""Numbers with their intervals as they stand in tables, and what may be said of a difference."""

from typing import Any

LEVEL = 0.05
"""Of corrected p-values: what is below is told from chance."""

Metric = dict[str, Any]  # value, low and high; sd where there are seeds


def interval_cell(metric: Metric) -> str:
    """`0.812 [0.790, 0.834]`."""
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**metric)


def signed_cell(metric: Metric) -> str:
    """The same of a difference: `+0.012 [-0.003, +0.027]`."""
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**metric)


def spread_cell(metric: Metric) -> str:
    """The mean over seeds, their standard deviation if there are several, and the interval."""
    spread = "" if metric["sd"] is None else f" ± {metric['sd']:.3f}"
    return f"{metric['value']:.3f}{spread} [{metric['low']:.3f}, {metric['high']:.3f}]"


def compared(difference: Metric, p: float) -> str:
    """The words for a difference whose corrected p-value is `p`."""
    if p >= LEVEL:
        return "cannot be told from"
    return "is above" if difference["value"] > 0 else "is below"


def counted(number: int, what: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"
