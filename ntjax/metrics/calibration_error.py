"""How far probabilities are from what happens: `ece`, and an error without its bias, with a test.

`ece` adds up the gaps of ten bins. Chance alone opens gaps, so that it is above 0 of a perfectly
calibrated model, the more the fewer rows there are: no interval of it holds the true value, and it
has none. `calibration_error` subtracts what chance is expected to add, and a test redraws the
labels from the probabilities to see how often chance alone does as much.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.metrics.bootstrap import numbered_groups
from ntjax.metrics.confusion import predicted_classes

CALIBRATION_BINS = 10
_EQUAL_MASS_BINS = 15
_CHUNK_ENTRIES = 2**20

NO_INTERVAL_OF_ECE = (
    "chance alone adds to it, so that no interval holds the true value: see the calibration error"
)
NO_INTERVAL_OF_ERROR = "it comes with a test instead: p is how often chance alone errs as much"
_TOO_FEW_ROWS = "it needs 2 rows, or groups of related rows, at least"


def probability_bins(probabilities: ArrayLike, bins: int = CALIBRATION_BINS) -> NDArray[np.int64]:
    """Which of `bins` equal-width bins of [0, 1] each probability is in, `[n]`, from 0.

    A bin holds its upper edge and not its lower one, the first also 0, as in scikit-learn's
    `calibration_curve`.
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], np.asarray(probabilities))


def beliefs(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probability that calibration judges, `[n]`, and whether it came true, `[n]`.

    Of two classes that of class 1, of more that of the predicted class.

    Arguments:
        labels: class numbers `[n]`.
        probabilities: `[n, classes]`.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], labels == 1
    return probabilities.max(axis=1), labels == predicted_classes(probabilities)


def calibration_error(
    probabilities: ArrayLike,
    happened: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Estimate the squared calibration error, and test whether chance alone would give as much.

    Rows are put in 15 bins of equally many by their probability, equal ones together. The squared
    gap between mean probability and share of each bin, less the variance of the share, is averaged
    over rows (Kumar, Liang & Ma 2019, "Verified uncertainty calibration", definition 5.1). What is
    below 0 is given as 0, and `note` says so. The root of the value is a typical gap between a
    probability and the share that happens.

    The test redraws what happened from the probabilities (Bröcker & Smith 2007, "Increasing the
    reliability of reliability diagrams"): `p` is the share of redrawn sets with an error as large,
    one more counted on both sides. A small one says that the probabilities are not calibrated.

    >>> probabilities = np.linspace(0.05, 0.95, 300)
    >>> happened = np.random.default_rng(0).random(300) < probabilities
    >>> calibration_error(probabilities, happened)["p"] > 0.05
    True
    >>> found = calibration_error(probabilities**3, happened)
    >>> round(found["value"] ** 0.5, 1), found["p"] < 0.01
    (0.2, True)

    Arguments:
        probabilities: that were stated, `[n]`.
        happened: whether what they were stated of was so, bool `[n]`.
        groups: `[n]`; rows that share a value are taken to happen or not together.
        resamples: redrawn sets; 0 leaves `p` None.
        seed: of the redrawing.

    Returns:
        `{"value": …, "low": None, "high": None, "interval": why there is none, "p": …}`.
    """
    probabilities, happened = np.asarray(probabilities, np.float64), np.asarray(happened, bool)
    group = numbered_groups(len(happened), groups)
    units = int(group.max(initial=-1)) + 1
    found: dict[str, Any] = {"value": None, "low": None, "high": None, "p": None}
    if units < 2:
        return found | {"interval": _TOO_FEW_ROWS}
    error = _Error(probabilities, equal_mass_bins(probabilities, group), group)
    value = float(error.of(happened[None])[0])
    found |= {"value": max(value, 0.0), "interval": NO_INTERVAL_OF_ERROR}
    if resamples:
        redrawn = np.concatenate(
            [error.of(one) for one in _redrawn(probabilities, group, units, resamples, seed)]
        )
        found["p"] = float((1 + (redrawn >= value - 1e-12).sum()) / (1 + resamples))
    if value < 0:
        found["note"] = "no error beyond chance was found: the estimate is below 0 and given as 0"
    return found


def equal_mass_bins(
    probabilities: NDArray[np.float64], group: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Number of the bin of each row, `[n]`: up to 15 bins of equally many rows.

    Rows of equal probability share a bin, and each bin has rows of two groups or more.
    """
    order = np.sort(probabilities)
    wanted = min(_EQUAL_MASS_BINS, len(order) // 2)
    starts = np.linspace(0, len(order), wanted + 1).round().astype(int)[1:-1]
    edges = np.unique((order[starts - 1] + order[starts]) / 2) if len(starts) else np.empty(0)
    bins = np.searchsorted(edges, probabilities)
    while (short := _short_bin(bins, group)) is not None:
        bins = np.where(bins >= max(short, 1), bins - 1, bins)
    return bins


def _short_bin(bins: NDArray[np.int64], group: NDArray[np.int64]) -> int | None:
    """The first bin of fewer than two groups, unless it is the only one."""
    last = bins.max(initial=0)
    pairs = np.unique(np.stack([bins, group]), axis=1)[0]
    short = np.flatnonzero(np.bincount(pairs, minlength=last + 1) < 2)
    return int(short[0]) if len(short) and last > 0 else None


class _Error:
    """The debiased squared error of many sets of labels at once, in fixed bins."""

    def __init__(
        self,
        probabilities: NDArray[np.float64],
        bins: NDArray[np.int64],
        group: NDArray[np.int64],
    ) -> None:
        self.member = (bins[:, None] == np.arange(bins.max() + 1)).astype(np.float64)
        self.rows = self.member.sum(axis=0)
        self.stated = probabilities @ self.member / self.rows
        self.groups = np.bincount(np.unique(np.stack([bins, group]), axis=1)[0])

    def of(self, happened: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Errors `[sets]` of labels `[sets, n]`."""
        share = happened @ self.member / self.rows
        by_chance = share * (1 - share) / np.maximum(self.groups - 1, 1)
        return ((self.stated - share) ** 2 - by_chance) @ self.rows / self.rows.sum()


def _redrawn(
    probabilities: NDArray[np.float64],
    group: NDArray[np.int64],
    units: int,
    resamples: int,
    seed: int,
) -> Iterator[NDArray[np.bool_]]:
    """Labels `[sets of this chunk, n]` as the probabilities have them, of a group all at once."""
    generator, size = np.random.default_rng(seed), max(1, _CHUNK_ENTRIES // len(group))
    for start in range(0, resamples, size):
        drawn = generator.random((min(size, resamples - start), units))
        yield np.take(drawn, group, axis=1) < probabilities
