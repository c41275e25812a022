"""Measures of weighted rows against those of rows that are there so many times."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss

from experiments.promoters.data.weighted_rows import (
    FEWEST,
    at_share,
    differences,
    drawn_rows,
    measures,
    reliability,
)
from ntjax.metrics.classification import expected_calibration_error

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=200) * 2
LABELS = (RANDOM.random(200) < expit(LOGITS)).astype(np.int64)
TIMES = RANDOM.integers(0, 4, (3, 200)).astype(float)


def test_measures_are_those_of_repeated_rows():
    found = measures(LABELS, LOGITS, TIMES)
    for number, times in enumerate(TIMES.astype(int)):
        labels, chances = np.repeat(LABELS, times), np.repeat(expit(LOGITS), times)
        both = np.stack([1 - chances, chances], axis=1)
        assert found["ECE"][number] == pytest.approx(expected_calibration_error(labels, both))
        assert found["Brier score"][number] == pytest.approx(brier_score_loss(labels, chances))
        assert found["log loss"][number] == pytest.approx(log_loss(labels, chances))
    drawn = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200), size=100)
    weights = np.concatenate([np.ones((1, 200)), drawn])  # the rows as they are come first
    before, after = (measures(LABELS, scale * LOGITS, weights) for scale in (1, 2))
    changes = differences(before, after)
    assert changes["log loss"]["value"] == before["log loss"][0] - after["log loss"][0]
    assert changes["log loss"]["low"] < changes["log loss"]["value"] < changes["log loss"]["high"]
    assert changes["ECE"]["low"] is changes["ECE"]["high"] is None


def test_promoters_get_their_share_and_keep_their_proportions():
    weights = at_share(TIMES, LABELS, 0.05)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[:, LABELS == 1].sum(axis=1) == pytest.approx(0.05)
    for of in (0, 1):
        ratios = weights[0][of == LABELS] / np.maximum(TIMES[0][of == LABELS], 1)
        assert np.ptp(ratios[TIMES[0][of == LABELS] > 0]) == pytest.approx(0)
    drawn = drawn_rows(weights[0], 20_000, np.random.default_rng(1))
    assert LABELS[drawn].mean() == pytest.approx(0.05, abs=0.005)
    assert (TIMES[0][drawn] > 0).all()


def test_reliability_in_each_bin():
    found = reliability(LABELS, LOGITS, np.ones((3, 200)))
    chances = expit(LOGITS)
    for number in range(10):
        inside = (chances > number / 10) & (chances <= (number + 1) / 10)
        if inside.sum() < FEWEST:
            assert found["low"][number] is None
            continue
        assert found["predicted"][number] == pytest.approx(chances[inside].mean())
        for key in ("happened", "low", "high"):
            assert found[key][number] == pytest.approx(LABELS[inside].mean())
