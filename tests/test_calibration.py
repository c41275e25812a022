"""Calibration against scikit-learn, SciPy's optimiser and known answers."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax
from scipy.stats import binomtest
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from ntjax.calibration import (
    PlattScaling,
    TemperatureScaling,
    calibrated_probabilities,
    calibration_from_dict,
    fit_calibration,
    reliability_curve,
    wilson_interval,
)
from ntjax.errors import UserError
from ntjax.metrics import evaluate


def sample(seed, n, classes=2, *, overconfidence=1.0, bias=0.0):
    """Labels drawn from softmax(true logits); what is seen is overconfident and biased."""
    generator = np.random.default_rng(seed)
    true_logits = 1.5 * generator.normal(size=(n, classes))
    draws = generator.random((n, 1))
    labels = (softmax(true_logits, axis=1).cumsum(axis=1) < draws).sum(axis=1)
    seen = overconfidence * true_logits
    seen[:, -1] += bias
    return seen, np.minimum(labels, classes - 1)


def margins(logits):
    return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [30, 500])
def test_platt_equals_scikit_learns_sigmoid(seed, n):
    logits, labels = sample(seed, n, overconfidence=3, bias=1)
    feature = margins(logits)[:, None]
    classifier = LogisticRegression().fit(feature, labels)
    scores = classifier.decision_function(feature)
    theirs = CalibratedClassifierCV(FrozenEstimator(classifier), method="sigmoid", cv=2)
    # With a frozen classifier cv only says which rows calibrate: all of them.
    theirs.fit(feature, labels)
    ours = PlattScaling.fit(scores, labels)
    assert ours.apply(scores) == pytest.approx(theirs.predict_proba(feature)[:, 1], abs=1e-3)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e6])
def test_platt_is_the_minimum_in_any_unit_of_the_logits(unit):
    logits, labels = sample(1, 400, overconfidence=2, bias=1)
    scores = margins(logits) * unit
    fitted = PlattScaling.fit(scores, labels)
    positives, negatives = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # At the minimum of a cross-entropy the residuals are orthogonal to the inputs.
    residuals = fitted.apply(scores) - targets
    assert residuals.mean() == pytest.approx(0, abs=1e-8)
    assert (residuals * scores / unit).mean() == pytest.approx(0, abs=1e-8)


def test_platt_undoes_known_overconfidence_and_bias():
    logits, labels = sample(2, 40_000, overconfidence=4, bias=2)
    fitted = PlattScaling.fit(margins(logits), labels)
    assert fitted.slope == pytest.approx(1 / 4, rel=0.05)
    assert fitted.intercept == pytest.approx(-2 / 4, abs=0.05)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e5])
def test_platt_of_separated_classes_is_finite(unit):
    labels = np.repeat([0, 1], 25)
    scores = np.linspace(-1, 1, 50) * unit
    fitted = PlattScaling.fit(scores, labels)
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    probabilities = fitted.apply(scores)
    assert (probabilities > 0.5).tolist() == (labels == 1).tolist()
    assert probabilities.min() > 0
    assert probabilities.max() < 1


def test_platt_of_two_points_gives_the_smoothed_targets():
    labels = np.array([0] * 6 + [1] * 8)
    fitted = PlattScaling.fit(np.where(labels == 1, 1e4, -1e4), labels)
    assert fitted.apply([-1e4, 1e4]) == pytest.approx([1 / 8, 9 / 10], abs=1e-6)


def test_platt_of_equal_logits_is_the_base_rate():
    labels = np.array([1] * 10 + [0] * 30)
    fitted = PlattScaling.fit(np.full(40, 0.1), labels)
    assert fitted.slope == 0
    assert fitted.apply([-5, 0.1, 5]) == pytest.approx((10 * 11 / 12 + 30 / 32) / 40)


def test_platt_of_reversed_scores_turns_them_round():
    logits, labels = sample(3, 300)
    right = PlattScaling.fit(margins(logits), labels)
    wrong = PlattScaling.fit(-margins(logits), labels)
    assert wrong.slope == pytest.approx(-right.slope, rel=1e-6)


def test_platt_applies_its_formula():
    probabilities = PlattScaling(slope=0.5, intercept=-1).apply([0, 2, 4])
    assert probabilities == pytest.approx([1 / (1 + np.e), 0.5, np.e / (1 + np.e)])
    assert PlattScaling(1.0, 0.0).apply([-1e6, 1e6]).tolist() == [0, 1]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_temperature_recovers_the_known_one(temperature):
    logits, labels = sample(4, 40_000, 3, overconfidence=temperature)
    assert TemperatureScaling.fit(logits, labels).temperature == pytest.approx(
        temperature, rel=0.03
    )


def test_temperature_is_the_minimum():
    logits, labels = sample(5, 200, 4, overconfidence=3)
    rows = np.bincount(labels)[labels][:, None]
    targets = np.where(np.arange(4) == labels[:, None], (rows + 1) / (rows + 4), 1 / (rows + 4))
    other = minimize(
        lambda inverse: -(targets * log_softmax(logits * inverse, axis=1)).sum(), 1.0, tol=1e-8
    )
    fitted = TemperatureScaling.fit(logits, labels).temperature
    assert fitted == pytest.approx(1 / other.x[0], rel=1e-4)


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
def test_temperature_of_separated_classes_gives_the_smoothed_targets(unit):
    labels = np.arange(60) % 3
    fitted = TemperatureScaling.fit(unit * np.eye(3)[labels], labels)
    # 21/23 for the class that 20 of 20 rows had.
    assert fitted.apply(unit * np.eye(3)) == pytest.approx(
        np.where(np.eye(3) == 1, 21 / 23, 1 / 23), abs=1e-4
    )


def test_temperature_keeps_the_ranking_of_classes():
    logits, labels = sample(6, 100, 5, overconfidence=4)
    probabilities = TemperatureScaling.fit(logits, labels).apply(logits)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))
    assert TemperatureScaling(2.0).apply([[0, np.log(9)]]) == pytest.approx(
        np.array([[0.25, 0.75]])
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_calibration_improves_new_rows(classes):
    logits, labels = sample(7, 3000, classes, overconfidence=4)
    calibration = fit_calibration(logits[:1000], labels[:1000])
    assert isinstance(calibration, PlattScaling if classes == 2 else TemperatureScaling)
    before = evaluate(labels[1000:], softmax(logits[1000:], axis=1), bootstrap=0)
    calibrated = calibrated_probabilities(calibration, logits[1000:])
    after = evaluate(labels[1000:], calibrated, bootstrap=0)
    assert calibrated.shape == (2000, classes)
    assert after["ece"]["value"] < 0.04 < 0.12 < before["ece"]["value"]
    assert after["brier"]["value"] < before["brier"]["value"]
    # One increasing function of the logit, so it can't change the order of two classes' rows.
    if classes == 2:
        assert after["auroc"]["value"] == pytest.approx(before["auroc"]["value"], abs=1e-12)


def test_calibrated_probabilities_of_two_classes():
    calibration = PlattScaling(slope=2.0, intercept=0.5)
    result = calibrated_probabilities(calibration, [[1, 2], [0, -3]])
    positive = expit([2.5, -5.5])
    assert result == pytest.approx(np.stack([1 - positive, positive], axis=1))
    assert result.sum(axis=1) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"\[n, 2\]"):
        calibrated_probabilities(calibration, [[1, 2, 3]])


@pytest.mark.parametrize("calibration", [PlattScaling(0.7, -0.1), TemperatureScaling(2.5)])
def test_saved_and_rebuilt(calibration):
    saved = json.loads(json.dumps(calibration.to_dict()))
    assert saved["method"] in ("platt", "temperature")
    assert calibration_from_dict(saved) == calibration
    with pytest.raises(dataclasses.FrozenInstanceError):
        calibration.slope = 1.0


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"method": "isotonic"},
        {"method": "platt", "slope": 1.0},
        {"method": "temperature", "temperature": 1.0, "bias": 2.0},
    ],
)
def test_saved_by_another(saved):
    with pytest.raises(ValueError, match="not a saved calibration"):
        calibration_from_dict(saved)


@pytest.mark.parametrize("classes", [2, 3])
class TestUnfitRows:
    def test_too_few(self, classes):
        for n in (0, 9):
            with pytest.raises(UserError, match=rf"has {n} rows and needs 10.*set more rows aside"):
                fit_calibration(np.zeros((n, classes)), np.arange(n) % classes)

    def test_one_class(self, classes):
        with pytest.raises(UserError, match="all 30 calibration rows are of one class"):
            fit_calibration(np.ones((30, classes)), np.ones(30, int))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_logits_not_finite(self, classes, bad):
        logits, labels = sample(0, 20, classes)
        logits[3, 1] = bad
        with pytest.raises(UserError, match=r"not finite.*learning rate"):
            fit_calibration(logits, labels)

    def test_broken_contract(self, classes):
        logits, labels = sample(0, 20, classes)
        with pytest.raises(ValueError, match="labels"):
            fit_calibration(logits, labels[:-1])
        with pytest.raises(ValueError, match="integers in 0"):
            fit_calibration(logits, labels + 1)
        with pytest.raises(ValueError, match="integers in 0"):
            fit_calibration(logits, labels.astype(float))
        with pytest.raises(ValueError, match="logits are"):
            fit_calibration(logits[:, 0], labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [5, 10])
def test_reliability_curve_equals_scikit_learn(seed, bins):
    logits, labels = sample(seed, 40 + 300 * seed, overconfidence=2)
    probabilities = np.round(expit(margins(logits)), 2)
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


def test_platt_of_a_calibrated_model_changes_little():
    logits, labels = sample(8, 40_000)
    fitted = fit_calibration(logits, labels)
    probabilities = np.array([0.1, 0.5, 0.9])
    assert fitted.apply(logit(probabilities)) == pytest.approx(probabilities, abs=0.01)


def test_calibration_never_turns_the_ranking_round():
    labels = np.arange(200) % 4 == 0
    logits = np.stack([np.zeros(200), np.where(labels, -1.0, 1.0)], axis=1)
    assert PlattScaling.fit(logits[:, 1], labels.astype(int)).slope < 0
    fitted = fit_calibration(logits, labels.astype(int))
    assert fitted.slope == 0
    np.testing.assert_allclose(calibrated_probabilities(fitted, logits)[:, 1], 0.25, atol=0.005)
