"""Test rows that count more or less, in many resamples at once: how good probabilities are."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ntjax.metrics.bootstrap import percentile_interval
from ntjax.metrics.calibration_error import CALIBRATION_BINS, probability_bins
from ntjax.metrics.classification import Rows
from ntjax.metrics.ranking import ratio

MEASURES = ("ECE", "Brier score", "log loss")
FEWEST = 10
"""Rows of a bin of `reliability`: those of fewer say nothing, whatever their resamples do."""

_CONFIDENCE = 0.95

Resampled = dict[str, NDArray[np.float64]]
"""Values of every measure, [resamples]."""


def at_share(
    weights: NDArray[np.float64], labels: NDArray[np.int64], share: float
) -> NDArray[np.float64]:
    """Weights [resamples, rows] scaled by class: each sums to 1, those of promoters to `share`."""
    positive = weights * (labels == 1)
    negative = weights - positive
    return share * positive / positive.sum(axis=1, keepdims=True) + (
        1 - share
    ) * negative / negative.sum(axis=1, keepdims=True)


def drawn_rows(
    weights: NDArray[np.float64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Rows [count] drawn, each time anew, in proportion to their weights [rows]."""
    return random.choice(len(weights), count, p=weights / weights.sum())


def measures(
    labels: NDArray[np.int64], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> Resampled:
    """ECE of ten bins, Brier score and log loss (nats) of logits [rows], positive minus negative.

    Arguments:
        labels: 0 or 1, [rows].
        weights: [resamples, rows], not negative.
    """
    probabilities = expit(logits)
    values = Rows.of(labels, np.stack([1 - probabilities, probabilities], axis=1)).values(weights)
    losses = np.logaddexp(0, np.where(labels == 1, -logits, logits))
    of_rows = weights @ losses / weights.sum(axis=1)
    return dict(zip(MEASURES, (values["ece"], values["brier"], of_rows), strict=True))


def intervals(resampled: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float | None]]:
    """Put the value of each measure beside the 95% range over resamples; of ECE it is alone.

    Arguments:
        resampled: by measure, `[1 + resamples]`: of the rows as they are, then of each resample.
    """
    found = {}
    for name, values in resampled.items():
        ends = (None, None) if name == "ECE" else percentile_interval(values[1:], _CONFIDENCE)
        found[name] = dict(zip(("value", "low", "high"), (float(values[0]), *ends), strict=True))
    return found


def differences(first: Resampled, second: Resampled) -> dict[str, dict[str, float | None]]:
    """Do the same for the first minus the second, of the same resamples."""
    return intervals({name: first[name] - second[name] for name in first})


def reliability(
    labels: NDArray[np.int64], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> dict[str, list[float | None]]:
    """What happened against what was predicted, in ten bins of probability.

    Returns:
        `predicted`, `happened`, `low`, `high`, each [bins], over the resamples' mean weights with
        the 95% range over resamples; None where fewer than `FEWEST` rows lie, or half of the
        resamples have none.
    """
    probabilities = expit(logits)
    member = probability_bins(probabilities)[:, None] == np.arange(CALIBRATION_BINS)
    rows, once = weights @ member, weights.mean(axis=0, keepdims=True)
    happened = ratio(weights @ (member * (labels == 1)[:, None]), rows)
    happened[:, member.sum(axis=0) < FEWEST] = np.nan
    ends = np.array([percentile_interval(column, _CONFIDENCE) for column in happened.T], float)
    means = (
        ratio(once @ (member * values[:, None]), once @ member)[0]
        for values in (probabilities, labels == 1)
    )
    columns = dict(zip(("predicted", "happened", "low", "high"), (*means, *ends.T), strict=True))
    return {
        name: [None if np.isnan(value) else float(value) for value in values]
        for name, values in columns.items()
    }
