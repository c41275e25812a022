"""Reliability curves against scikit-learn, their intervals against SciPy."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from ntjax.errors import UserError
from ntjax.metrics.classification import evaluate
from ntjax.metrics.proportions import wilson_interval
from ntjax.metrics.reliability import reliability_curve


def sample(seed, n):
    """Labels, and probabilities that are too confident."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=n)
    return (generator.random(n) < expit(logits)).astype(int), expit(2 * logits)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [5, 10])
def test_reliability_curve_equals_scikit_learn(seed, bins):
    labels, probabilities = sample(seed, 40 + 300 * seed)
    probabilities = np.round(probabilities, 2)
    curve = reliability_curve(labels, probabilities, bins)
    fraction, mean = calibration_curve(labels, probabilities, n_bins=bins)
    filled = curve.count > 0
    assert curve.count.sum() == len(labels)
    assert curve.fraction_positive[filled] == pytest.approx(fraction)
    assert curve.mean_predicted[filled] == pytest.approx(mean)
    assert curve.bin_edges == pytest.approx(np.arange(bins + 1) / bins)
    # The expected calibration error is the curve's mean distance from the diagonal.
    gaps = curve.count[filled] * np.abs(fraction - mean)
    expected = evaluate(labels, np.stack([1 - probabilities, probabilities], axis=1), bootstrap=0)
    if bins == 10:
        assert gaps.sum() / len(labels) == pytest.approx(expected["ece"]["value"], abs=1e-12)


def test_reliability_curve_of_empty_bins_and_the_other_class():
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([0.05, 0.95, 0.97, 0.93])
    curve = reliability_curve(labels, probabilities)
    assert curve.count.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    for numbers in (curve.mean_predicted, curve.fraction_positive, curve.low, curve.high):
        assert np.isnan(numbers[1:9]).all()
        assert np.isfinite(numbers[[0, 9]]).all()
    other = reliability_curve(1 - labels, 1 - probabilities)
    assert other.count.tolist() == curve.count.tolist()[::-1]
    assert other.fraction_positive[[0, 9]] == pytest.approx(1 - curve.fraction_positive[[9, 0]])
    assert other.low[[0, 9]] == pytest.approx(1 - curve.high[[9, 0]])


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (500, 1234)])
def test_wilson_interval_equals_scipy(k, n):
    low, high = wilson_interval(k, n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1


def test_reliability_curve_errors():
    with pytest.raises(UserError, match="no rows"):
        reliability_curve([], [])
    with pytest.raises(ValueError, match="0 or 1"):
        reliability_curve([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="0 or 1"):
        reliability_curve([0, 1], [0.1])
    for outside in (np.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            reliability_curve([0, 1], [0.1, outside])
