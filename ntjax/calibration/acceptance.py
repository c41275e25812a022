"""Keep a calibration only where it helps: cross-validated within the calibration rows.

A calibration has its numbers from few rows, and the model may need none. Then it makes new rows
worse by chance. So it is fitted to four fifths of the calibration rows at a time and judged by the
log loss of the fifth; unless that falls by more than one standard error, the probabilities stay as
they are. Within these bounds two classes have Platt scaling that is `fit_cautiously`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.calibration.cautious_platt import fit_cautiously
from ntjax.calibration.fitting import (
    ClassCalibration,
    calibrated_probabilities,
    fit_calibration,
    method_for,
)
from ntjax.calibration.labelwise import LabelwiseCalibration
from ntjax.calibration.scaling import IdentityScaling, PlattScaling, TemperatureScaling
from ntjax.errors import UserError
from ntjax.metrics.bootstrap import numbered_groups

FOLDS = 5
FEWEST_GROUPS = 2 * FOLDS
# A probability of 0 of what happened, which isotonic scaling can give of new rows.
_SMALLEST = 1e-12


def accepted_calibration(
    logits: ArrayLike,
    labels: ArrayLike,
    method: str = "auto",
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> ClassCalibration:
    """Fit a calibration, or return the identity where it does not help beyond chance.

    >>> generator = np.random.default_rng(0)
    >>> truth = generator.normal(size=(500, 3))
    >>> labels = (truth + generator.gumbel(size=truth.shape)).argmax(axis=1)
    >>> accepted_calibration(truth, labels)  # calibrated already
    IdentityScaling()
    >>> round(accepted_calibration(4 * truth, labels).temperature)  # four times too sure
    4

    Arguments:
        logits: `[n, classes]`, of rows used neither for training nor for testing.
        labels: integers `[n]`.
        method: as of `fit_calibration`.
        groups: `[n]`; rows that share a value are fitted to, or judged by, together.
        seed: of the folds.

    Raises:
        UserError: as `fit_calibration`, of the rows as a whole; or fewer than `FEWEST_GROUPS`.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    fitted = _fitted(logits, labels, method)
    if fitted in (PlattScaling(1.0, 0.0), TemperatureScaling(1.0)):
        return IdentityScaling()
    group = numbered_groups(len(labels), groups)
    if (count := int(group.max()) + 1) < FEWEST_GROUPS:
        raise UserError(
            f"the {len(labels)} calibration rows are of {count} groups of related rows, too few to "
            "tell whether a calibration helps: set more rows aside for it"
        )
    gain, error = _gain(logits, labels, method, group, seed)
    return fitted if gain > error else IdentityScaling()


def accepted_labelwise(
    logits: ArrayLike,
    labels: ArrayLike,
    method: str = "auto",
    *,
    groups: ArrayLike | None = None,
) -> LabelwiseCalibration | None:
    """Fit or leave each label of a multi-label task by itself, on the rows where it is known.

    Arguments:
        logits: `[n, labels]`.
        labels: integers `[n, labels]`, 1, 0 or `UNKNOWN_LABEL`.
        method: as of `fit_calibration`.
        groups: `[n]`, as of `accepted_calibration`.

    Returns:
        None if no label has rows enough, of both kinds.
    """
    numbered = numbered_groups(len(np.asarray(labels)), groups)
    return LabelwiseCalibration.fit(logits, labels, method, numbered, accepted_calibration)


def _fitted(
    logits: NDArray[np.float64], labels: NDArray[np.int64], method: str
) -> ClassCalibration:
    """As `fit_calibration`; Platt scaling goes no farther than the rows show."""
    if method_for(len(logits), logits.shape[1], method) == "platt" and logits.shape[1] == 2:
        return fit_cautiously(logits[:, 1] - logits[:, 0], labels)
    return fit_calibration(logits, labels, method)


def _gain(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    method: str,
    group: NDArray[np.int64],
    seed: int,
) -> tuple[float, float]:
    """Fall of the log loss of rows that were not fitted to, and its standard error over groups."""
    fold = folds_of_groups(labels, group, seed)
    before = _losses(IdentityScaling(), logits, labels)
    after = before.copy()
    for number in range(FOLDS):
        judged = fold == number
        try:
            fitted = _fitted(logits[~judged], labels[~judged], method)
        except UserError:  # of one class, or too few: nothing is fitted, nothing changes
            continue
        after[judged] = _losses(fitted, logits[judged], labels[judged])
    change = before - after
    count = int(group.max()) + 1
    spread = np.bincount(group, change - change.mean())
    error = np.sqrt(count / (count - 1) * (spread**2).sum()) / len(labels)
    return float(change.mean()), float(error)


def folds_of_groups(
    labels: NDArray[np.int64], group: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Fold of each row `[n]`: groups dealt out at random, those of a class evenly."""
    class_of_group = np.zeros(int(group.max()) + 1, np.int64)
    class_of_group[group[::-1]] = labels[::-1]
    chance = np.random.default_rng(seed).random(len(class_of_group))
    place = np.empty(len(class_of_group), np.int64)
    place[np.lexsort((chance, class_of_group))] = np.arange(len(class_of_group))
    return (place % FOLDS)[group]


def _losses(
    calibration: ClassCalibration, logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log loss of each row `[n]`, in nats."""
    probabilities = calibrated_probabilities(calibration, logits)
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST))
