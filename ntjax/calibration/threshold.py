"""From which log-odds on a row is called positive, chosen on validation rows."""

import re

import numpy as np
from numpy.typing import ArrayLike

from ntjax.errors import UserError

EVEN, VALIDATION_MCC = "0.5", "validation-mcc"
_AIM = re.compile(r"(precision|fdr)=(0?\.\d+)")


def check_threshold(text: str) -> None:
    """Refuse what is no rule for a threshold.

    Raises:
        UserError: lists those there are.
    """
    aim = _AIM.fullmatch(text)
    if text not in (EVEN, VALIDATION_MCC) and not (aim and float(aim[2])):
        raise UserError(
            f"--threshold {text}: give 0.5, validation-mcc, precision=0.9 or fdr=0.05 (any share "
            "between 0 and 1)"
        )


def choose_threshold(text: str, log_odds: ArrayLike, positive: ArrayLike) -> float | None:
    """Return the log-odds above which rows are called positive; None where the rule finds none.

    "validation-mcc" is the threshold with the highest MCC on these rows. "precision=0.9" is the
    lowest one from which on at least 90% of the calls on these rows are right, and "fdr=0.05" the
    same for 95%. On new rows it is as likely to be missed as met: give many validation rows.

    >>> choose_threshold("validation-mcc", [-1.0, 0.5, 1.0, 2.0], [0, 0, 1, 1])
    0.75
    >>> choose_threshold("precision=0.9", [-1.0, 0.5, 1.0, 2.0], [0, 1, 0, 1])
    1.5

    Arguments:
        text: a rule that `check_threshold` accepts.
        log_odds: of class 1 of two, of validation rows, `[n]`.
        positive: whether they are of class 1, `[n]`.
    """
    scores, truth = np.asarray(log_odds, np.float64), np.asarray(positive, bool)
    if text == EVEN or not truth.any() or truth.all():
        return None
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(truth[order])
    called = np.arange(1, len(scores) + 1)
    # Equal scores are called together: a threshold lies only where the next score is lower.
    ends = np.flatnonzero(np.append(np.diff(scores) < 0, True))
    if text == VALIDATION_MCC:
        values = _mcc(right[ends], called[ends], right[-1], len(scores))
        end = ends[int(np.argmax(values))]
    else:
        kind, share = _AIM.fullmatch(text).groups()  # type: ignore[union-attr]
        aim = float(share) if kind == "precision" else 1 - float(share)
        enough = ends[right[ends] >= aim * called[ends]]
        if not enough.size:
            return None
        end = enough[-1]
    lower = scores[end + 1] if end + 1 < len(scores) else scores[end] - 1
    return float((scores[end] + lower) / 2)


def _mcc(
    true_positive: np.ndarray, called: np.ndarray, positive: np.int64, rows: int
) -> np.ndarray:
    """Matthews' correlation of calls `[n]`, 0 where it is not defined."""
    covariance = true_positive * rows - called * positive
    spread = np.sqrt(called * (rows - called) * float(positive) * float(rows - positive))
    return np.divide(covariance, spread, out=np.zeros(len(called)), where=spread > 0)
