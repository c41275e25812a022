"""How many of a scan's windows are expected to be right, from the run's own test rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ntjax.evaluation.scan import ClassScore
from ntjax.metrics.expected_precision import expected_precision
from ntjax.runs.folder import PREDICTIONS_FILE, SPLITS_FILE
from ntjax.runs.priors import new_shares, shifted
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
    try:
        predictions = pd.read_csv(folder / PREDICTIONS_FILE, dtype={"label": str})
        splits = pd.read_csv(folder / SPLITS_FILE, dtype={"name": str, "row": str})
        groups = splits.loc[splits["part"] == "test", "group"].astype(int).to_numpy()
    except (OSError, KeyError, ValueError):
        return "the run's folder lacks its test predictions, or their groups"
    if len(groups) != len(predictions):
        return "the run's predictions.csv and splits.csv are not of the same test rows"
    assert score.prior is not None
    shares = new_shares(run, score.prior)
    found = shifted(run, _calibrated(predictions, run.classes), shares)
    positive = (predictions["label"] == score.name).to_numpy()
    if not 0 < positive.sum() < len(positive):
        return f"the run's test rows are not both of {score.name} and of others"
    return TestedRows(positive, found[:, score.output], groups, float(shares[score.output]))


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


def _calibrated(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    if len(classes) == 2:
        positive = predictions["calibrated_probability"].to_numpy(np.float64)
        return np.stack([1 - positive, positive], axis=1)
    names = [f"calibrated_probability[{name}]" for name in classes]
    return predictions[names].to_numpy(np.float64)
