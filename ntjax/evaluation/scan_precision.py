"""How many of a scan's windows are expected to be right, from the run's own test rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntjax.evaluation.scan import ClassScore
from ntjax.metrics.expected_precision import expected_precision
from ntjax.runs.priors import shifted
from ntjax.runs.results import Results, read_results
from ntjax.tasks import Classification

GENOMIC = "genomic"


class TestedRows(NamedTuple):
    """Test rows of a run.

    Attributes:
        positive: bool [rows], those of the class.
        probabilities: float64 [rows], at the scan's prior.
        groups: int64 [rows], related rows share a number.
        prior: share of the class.
    """

    positive: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    prior: float

    def at(self, threshold: float) -> dict[str, Any]:
        """Return the expected precision of windows at or above a threshold, ready for JSON."""
        called = self.probabilities >= threshold
        if not called.any():
            return {"value": None, "reason": "no test row has such a probability"}
        found = expected_precision(called, self.positive, self.groups, self.prior)
        value, low, high = map(float, found[:3])
        rates = {
            name: {"value": rate.value, "low": rate.low, "high": rate.high}
            for name, rate in (
                ("true_positive_rate", found.true_positive_rate),
                ("false_positive_rate", found.false_positive_rate),
            )
        }
        return {"value": value, "low": low, "high": high, **rates}


def tested_rows(score: ClassScore, folder: Path, length: int) -> TestedRows | str:
    """Read the test rows of a run, or say why no precision can be expected from them.

    Arguments:
        score: what is scanned for.
        folder: of the run.
        length: bases of the windows of the scan.
    """
    run = score.run
    if reason := _unsuitable(score, length):
        return reason
    lacking = "the run's folder lacks its test predictions, or their groups"
    try:
        results = read_results(folder)
        groups = results.test_groups
    except ValueError:  # damaged: the scan itself needs none of it
        return lacking
    if "label" not in results.predictions or groups is None:
        return lacking
    assert score.shares is not None
    found = shifted(run, _calibrated(results, run.classes), score.shares)
    positive = np.array(results.predictions["label"]) == score.name
    if not 0 < positive.sum() < len(positive):
        return f"the run's test rows are not both of {score.name} and of others"
    return TestedRows(positive, found[:, score.output], groups, float(score.shares[score.output]))


def _unsuitable(score: ClassScore, length: int) -> str:
    run = score.run
    if not isinstance(run.task, Classification):
        return "it is computed for classes, not for several labels"
    if run.windows is None or run.windows.negatives != GENOMIC:
        told = run.windows and run.windows.negatives
        return (
            "the run's negative test rows are "
            + (f"{told}" if told else "not known to be positions of the genome")
            + ": how often windows of the genome are called is not known from them; train and test "
            "with python -m ntjax.windows --negatives genomic"
        )
    if (tested := run.windows.geometry.length()) != length:
        return f"the run was tested on windows of {tested:,} bp, and those here have {length:,} bp"
    if run.calibration is None:
        return "the run was not calibrated: its probabilities cannot be those at a prior"
    if score.prior is None:
        return "give a --prior: precision depends on how rare the class is"
    return ""


def _calibrated(results: Results, classes: Sequence[str]) -> np.ndarray:
    if len(classes) == 2:
        positive = results.numbers("calibrated_probability")
        return np.stack([1 - positive, positive], axis=1)
    columns = [results.numbers(f"calibrated_probability[{name}]") for name in classes]
    return np.stack(columns, axis=1)
