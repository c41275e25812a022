"""Promoters that are missed, beside those that are found: boxes and composition."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.promoters.data.rows import labels_of, promoters_of
from experiments.promoters.passes.tasks import Task
from ntjax.baselines.position_weights import fit_position_weights
from ntjax.metrics.bootstrap import estimate, resampled
from ntjax.sequences.alphabet import gc_content

BOXES, GC = "score of the −35 and −10 boxes", "share of G and C"
_RESAMPLES = 1000


def misclassified(task: Task, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Compare the test promoters that are missed with those that are found.

    Arguments:
        task: its training promoters teach the boxes.
        probabilities: of the test rows, [test rows]; from 0.5 on a promoter is found.

    Returns:
        `rows`, the counts, and by feature its mean among promoters `found` and `missed`, and their
        `difference`, missed minus found, with a 95% interval over loci.
    """
    promoters = np.flatnonzero(labels_of(task.test))
    table = task.test.take(promoters)
    missed = np.asarray(probabilities)[promoters] < 0.5
    boxes = fit_position_weights(promoters_of(task.train)).scores(table.sequences)
    values = {BOXES: boxes, GC: np.asarray(gc_content(table.sequences))}

    def differences(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {name: _apart(weights, value, missed) for name, value in values.items()}

    drawn = resampled(
        differences, len(promoters), resamples=_RESAMPLES, groups=task.groups[promoters]
    )
    whole = differences(np.ones((1, len(promoters))))
    found: dict[str, Any] = {"rows": {"found": int((~missed).sum()), "missed": int(missed.sum())}}
    for name, value in values.items():
        found[name] = {
            "found": _mean(value[~missed]),
            "missed": _mean(value[missed]),
            "difference": estimate(float(whole[name][0]), drawn[name]),
        }
    return found


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _apart(
    weights: NDArray[np.float64], values: NDArray[np.float64], missed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weighted mean of the missed minus that of the found, [resamples]; NaN without either."""
    with np.errstate(invalid="ignore"):
        means = [
            weights[:, of] @ values[of] / weights[:, of].sum(axis=1) for of in (missed, ~missed)
        ]
    return means[0] - means[1]
