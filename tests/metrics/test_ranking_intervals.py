"""Intervals of areas under curves against scikit-learn's areas of weighted and left-out rows."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, roc_auc_score

from ntjax.metrics.ranking_intervals import (
    auroc_interval,
    average_precision_interval,
    newcombe_interval,
)

AREAS = {
    auroc_interval: roc_auc_score,
    average_precision_interval: average_precision_score,
}


def drawn(seed, n, distance=1.5, decimals=8):
    random = np.random.default_rng(seed)
    positive = random.random(n) < 0.4
    return positive, np.round(random.normal(size=n) + distance * positive, decimals)


def of_one(interval, positive, scores, groups=None, confidence=0.95):
    groups = np.arange(len(scores)) if groups is None else groups
    return interval(positive[:, None], scores[:, None], groups, confidence)


@pytest.mark.parametrize("decimals", [8, 1])
@pytest.mark.parametrize("interval", AREAS)
def test_many_rows_have_the_interval_of_the_jackknife(interval, decimals):
    """The infinitesimal jackknife, by scikit-learn on slightly heavier rows."""
    positive, scores = drawn(0, 400, decimals=decimals)
    area = AREAS[interval]
    value, step = area(positive, scores), 1e-5
    heavier = 1 + step * np.eye(400)
    influence = [(area(positive, scores, sample_weight=w) - value) / step for w in heavier]
    error = np.sqrt(np.sum(np.square(influence)) * 400 / 399)
    found = of_one(interval, positive, scores)
    assert found.value == pytest.approx(value)
    assert found.groups == positive.sum()
    half = 1.96 * error / (value * (1 - value))
    # The wider of this and the other interval: never narrower, and near it with many rows.
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    assert low - 0.02 < found.low <= low + 1e-3
    assert high - 1e-3 <= found.high < high + 0.02


def test_the_variance_of_an_area_is_delongs():
    positive, scores = drawn(1, 300, distance=0.3)
    above = (scores[positive][:, None] > scores[~positive]).astype(float)
    variance = above.mean(axis=1).var(ddof=1) / positive.sum()
    variance += above.mean(axis=0).var(ddof=1) / (~positive).sum()
    found, value = of_one(auroc_interval, positive, scores), above.mean()
    half = stats.t.ppf(0.975, 290) * np.sqrt(variance) / (value * (1 - value))
    assert found.low == pytest.approx(expit(logit(value) - half), abs=2e-3)
    assert found.high == pytest.approx(expit(logit(value) + half), abs=2e-3)


@pytest.mark.parametrize(("area", "m", "n"), [(0.8, 10, 30), (1.0, 10, 10), (0.0, 5, 9)])
def test_newcombes_ends_solve_his_equation(area, m, n):
    low, high = newcombe_interval(area, m, n)
    for end in (low, high):
        if end in (0.0, 1.0):
            assert end == area
            continue
        half = (m + n) / 2 - 1
        variance = 1 + half * ((1 - end) / (2 - end) + end / (1 + end))
        variance *= end * (1 - end) / (m * n)
        assert abs(area - end) == pytest.approx(1.959964 * np.sqrt(variance), abs=1e-6)


@pytest.mark.parametrize("interval", AREAS)
def test_a_perfect_ranking_may_err_on_other_rows(interval):
    positive = np.arange(24) < 12
    found = of_one(interval, positive, positive + 0.0)
    assert (found.value, found.high) == (1, 1)
    assert 0.7 < found.low < 0.9


@pytest.mark.parametrize("interval", AREAS)
def test_copies_of_rows_tell_no_more_than_one(interval):
    positive, scores = drawn(2, 60)
    copied = (np.repeat(part, 6) for part in (positive, scores, np.arange(60)))
    assert of_one(interval, *copied) == pytest.approx(of_one(interval, positive, scores), rel=1e-6)


@pytest.mark.parametrize("interval", AREAS)
def test_classes_without_rows_are_left_out(interval):
    positive, scores = drawn(3, 60)
    three = np.stack([positive, ~positive, np.zeros(60, bool)], axis=1)
    found = interval(three, np.stack([scores, -scores, scores], axis=1), np.arange(60), 0.95)
    area = AREAS[interval]
    expected = (area(positive, scores) + area(~positive, -scores)) / 2
    assert found.value == pytest.approx(expected)
    assert found.groups == 0
    assert np.isnan(of_one(interval, np.zeros(5, bool), np.arange(5.0)).value)
