"""The bootstrap (Efron 1979): a resample is how often each row was drawn."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Entries of one [resamples, rows] array of float64: 8 MB, of which about eight live at once.
_CHUNK_ENTRIES = 2**20


def resampling_units(n: int, groups: ArrayLike | None) -> tuple[NDArray[np.int64] | None, int]:
    """The unit each row belongs to, `[n]` (None: every row is its own), and how many there are."""
    if groups is None:
        return None, n
    groups = np.asarray(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups are {groups.shape} but there are {n} rows")
    names, membership = np.unique(groups, return_inverse=True)
    return membership, len(names)


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
