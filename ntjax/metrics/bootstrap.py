"""The bootstrap (Efron 1979): a resample is how often each row was drawn."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Entries of one [resamples, rows] array of float64: 8 MB, of which about eight live at once.
_CHUNK_ENTRIES = 2**20

# What an interval needs: simulated means of so many skewed values are held in 93% of sets or more.
LEAST_UNITS = 20

Estimate = dict[str, Any]
Name = TypeVar("Name", bound=Hashable)
# Of weights [resamples, rows]: values [resamples] by name.
Statistic = Callable[[NDArray[np.float64]], Mapping[Name, NDArray[np.float64]]]


def estimates(
    statistic: Statistic[Name],
    rows: int,
    *,
    resamples: int,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[Name, Estimate]:
    """Compute values with their percentile bootstrap intervals.

    >>> heights = np.array([1.6, 1.7, 1.7, 1.8] * 10)
    >>> mean = lambda weights: {"mean": weights @ heights / weights.sum(axis=1)}
    >>> found = estimates(mean, rows=40, resamples=1000)["mean"]
    >>> print("{value:.2f} [{low:.2f}, {high:.2f}]".format(**found))
    1.70 [1.68, 1.72]

    Arguments:
        statistic: of how often each row is drawn, `[resamples, rows]`, the values `[resamples]` by
            name; NaN where undefined.
        rows: their number.
        resamples: 0 leaves the intervals None.
        seed: of the resampling.
        groups: `[rows]` of any sortable kind; rows that share a value are drawn together.
        confidence: coverage of the intervals.

    Returns:
        `{"value": …, "low": …, "high": …}` by name. With fewer than `LEAST_UNITS` rows (or groups)
        both ends are None, and `interval` is the reason.

    Raises:
        ValueError: groups of another number of rows, or a number out of its range.
    """
    if resamples < 0 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap={resamples} and confidence={confidence}: need >= 0, (0, 1)")
    drawn = resampled(statistic, rows, resamples=resamples, seed=seed, groups=groups)
    whole = statistic(np.ones((1, rows)))
    reason = too_few_units(rows, groups) if resamples else ""
    return {
        name: estimate(values[0], drawn[name], confidence, reason) for name, values in whole.items()
    }


def too_few_units(rows: int, groups: ArrayLike | None = None) -> str:
    """Say why there is no interval of so few rows, or groups of them; "" where there is one."""
    units = resampling_units(rows, groups)[1]
    if units >= LEAST_UNITS:
        return ""
    unit = "rows" if units == rows else "groups of related rows"
    return f"it needs {LEAST_UNITS} {unit} and there are {units}"


def resampled(
    statistic: Statistic[Name],
    rows: int,
    *,
    resamples: int,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Mapping[Name, NDArray[np.float64]]:
    """Compute what `estimates` takes its intervals from: values `[resamples]` by name."""
    membership, units = resampling_units(rows, groups)
    generator = np.random.default_rng(seed)
    drawn = multiplicities(membership, units, resamples if units > 1 else 0, generator)
    chunks = [statistic(weights) for weights in drawn]
    if not chunks:
        return defaultdict(lambda: np.empty(0))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def estimate(
    value: float, drawn: NDArray[np.float64], confidence: float = 0.95, reason: str = ""
) -> Estimate:
    """Put a value, NaN where undefined, beside the interval of its resamples, or why it has none.

    Arguments:
        value: of all rows.
        drawn: of each resample; none where no interval is wanted.
        confidence: coverage of the interval.
        reason: why there is no interval; "" where there is one.
    """
    found = {"value": None if np.isnan(value) else float(value), "low": None, "high": None}
    if np.isnan(value):
        reason = "the value is not defined for these rows"
    low, high = (None, None) if reason else percentile_interval(drawn, confidence)
    if low is None and drawn.size and not reason:
        reason = "the value is not defined for half of the resampled sets of rows"
    return found | {"low": low, "high": high} | ({"interval": reason} if reason else {})


def resampling_units(n: int, groups: ArrayLike | None) -> tuple[NDArray[np.int64] | None, int]:
    """The unit each row belongs to, `[n]` (None: every row is its own), and how many there are."""
    if groups is None:
        return None, n
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups are {groups.shape} but there are {n} rows")
    names, membership = np.unique(groups, return_inverse=True)
    return membership, len(names)


def numbered_groups(rows: int, groups: ArrayLike | None = None) -> NDArray[np.int64]:
    """Number each row's group from 0, `[rows]`; without groups each row is one of its own.

    >>> numbered_groups(3, ["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    membership, _ = resampling_units(rows, groups)
    return np.arange(rows) if membership is None else membership


def multiplicities(
    membership: NDArray[np.int64] | None,
    units: int,
    resamples: int,
    generator: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """How often each row was drawn, `[resamples of this chunk, n]`, chunk by chunk."""
    n = units if membership is None else len(membership)
    size = max(1, _CHUNK_ENTRIES // n)
    for start in range(0, resamples, size):
        chunk = min(size, resamples - start)
        drawn = generator.integers(units, size=(chunk, units))
        drawn += np.arange(chunk)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=chunk * units).reshape(chunk, units)
        if membership is not None:
            counts = np.take(counts, membership, axis=1)
        yield counts.astype(np.float64)


def percentile_interval(
    values: NDArray[np.float64], confidence: float
) -> tuple[float | None, float | None]:
    """Ends of the percentile interval of resampled values; None where half are undefined."""
    defined = values[~np.isnan(values)]
    if defined.size == 0 or 2 * defined.size < values.size:
        return None, None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bootstrap_p_value(values: NDArray[np.float64]) -> float | None:
    """Two-sided p-value of a difference of 0, from resampled differences `[resamples]`.

    Twice the smaller share of resamples on either side of 0, those at 0 on both, with one more
    counted on each (Davison & Hinkley 1997, section 4.2): a thousand resamples cannot show a
    chance below 2 in 1001. None where half are undefined, as of `percentile_interval`.
    """
    defined = values[~np.isnan(values)]
    if defined.size == 0 or 2 * defined.size < values.size:
        return None
    smaller = min((defined <= 0).sum(), (defined >= 0).sum())
    return min(1.0, float(2 * (smaller + 1) / (defined.size + 1)))
