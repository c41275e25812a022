"""Calibration against scikit-learn, SciPy's optimiser and known answers."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ntjax.calibration import LabelwiseCalibration, calibrated_probabilities, fit_calibration
from ntjax.calibration.scaling import (
    MINIMUM_ISOTONIC_ROWS,
    IsotonicScaling,
    PlattScaling,
    TemperatureScaling,
)
from ntjax.errors import UserError
from ntjax.metrics.classification import evaluate


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


@pytest.mark.parametrize(
    ("seed", "slope", "intercept"),
    [
        (0, 0.5107552821532669, -0.06612374463425033),
        (1, 0.5152035999656693, -0.09171805062059774),
        (19, 0.5748936045436005, -0.23023286031812562),
    ],
)
def test_platt_gives_the_numbers_of_earlier_runs(seed, slope, intercept):
    generator = np.random.default_rng(seed)
    scores = 3 * generator.normal(size=300)
    labels = (generator.random(300) < expit(scores / 2)).astype(int)
    fitted = PlattScaling.fit(scores, labels)
    assert (fitted.slope, fitted.intercept) == pytest.approx((slope, intercept), rel=1e-9)


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


def penalised_loss(logits, labels, temperature):
    """Negative log-likelihood of hard labels, less the log of the prior's density."""
    log_likelihood = log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].sum()
    return 7 * np.log1p(abs(np.log(temperature)) / 0.5) - log_likelihood


@pytest.mark.parametrize("overconfidence", [0.2, 1.0, 1.1, 3.0, 30.0])
@pytest.mark.parametrize("n", [20, 200])
def test_temperature_is_the_minimum(n, overconfidence):
    logits, labels = sample(5, n, 4, overconfidence=overconfidence)
    fitted = TemperatureScaling.fit(logits, labels).temperature
    everywhere = np.exp(np.linspace(np.log(1e-3), np.log(1e3), 4001))
    losses = [penalised_loss(logits, labels, temperature) for temperature in everywhere]
    assert penalised_loss(logits, labels, fitted) <= min(losses) + 1e-6


def test_temperature_without_reason_is_exactly_one():
    logits, labels = sample(5, 50, 4, overconfidence=1.0)
    assert TemperatureScaling.fit(logits, labels).temperature == 1


@pytest.mark.parametrize("unit", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_temperature_of_separated_classes_stays_above_zero(classes, unit):
    labels = np.arange(60) % classes
    fitted = TemperatureScaling.fit(unit * np.eye(classes)[labels], labels)
    # Logits that are sure of themselves already stay as they are; others are sharpened, not
    # without bound.
    assert min(0.9, unit / 20) < fitted.temperature <= 1
    assert (np.diag(fitted.apply(unit * np.eye(classes))) > 0.9).all()


def change_of_log_loss(classes, temperature, rows, repetitions, spread):
    """Mean change, and the fitted temperatures, when labels are drawn from softmax(z / T).

    The losses are expected ones on 4,000 new rows, which the change with the true T is given of.
    """
    generator = np.random.default_rng([classes, rows, round(100 * temperature)])
    new = spread * generator.normal(size=(4000, classes))
    truth = softmax(new / temperature, axis=1)

    def loss(fitted):
        return -(truth * log_softmax(new / fitted, axis=1)).sum(axis=1).mean()

    fitted = []
    for _ in range(repetitions):
        logits = spread * generator.normal(size=(rows, classes))
        draws = generator.random((rows, 1))
        cumulative = softmax(logits / temperature, axis=1).cumsum(axis=1)
        labels = np.minimum((cumulative < draws).sum(axis=1), classes - 1)
        fitted.append(TemperatureScaling.fit(logits, labels).temperature)
    changes = [loss(one) - loss(1.0) for one in fitted]
    return np.mean(changes), loss(temperature) - loss(1.0), np.array(fitted)


def check_simulated_temperatures(classes, repetitions, spread):
    for rows in (20, 50, 200, 2000):
        change, _, _ = change_of_log_loss(classes, 1.0, rows, repetitions, spread)
        assert change <= 0.002
    for temperature in (1 / 3, 3.0):
        for rows in (200, 2000):
            change, possible, fitted = change_of_log_loss(
                classes, temperature, rows, repetitions, spread
            )
            assert change <= 0.8 * possible < 0
        assert np.exp(np.log(fitted).mean()) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("classes", [2, 4, 10, 30])
def test_simulated_temperatures(classes):
    check_simulated_temperatures(classes, repetitions=4, spread=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 4, 10, 30])
def test_simulated_temperatures_at_length(classes, spread):
    # A hundred repetitions, and the spreads 2 and 3, pass too, in nine minutes.
    check_simulated_temperatures(classes, repetitions=20, spread=spread)


def test_temperature_of_an_easy_task_of_many_classes():
    # Always right and rightly sure of it: smoothed targets made the mean probability 0.3.
    generator = np.random.default_rng(0)
    labels = np.arange(240) % 12
    logits = 6 * np.eye(12)[labels] + 0.5 * generator.normal(size=(240, 12))
    fitted = fit_calibration(logits[:120], labels[:120])
    before = evaluate(labels[120:], softmax(logits[120:], axis=1), bootstrap=0)
    after = evaluate(labels[120:], calibrated_probabilities(fitted, logits[120:]), bootstrap=0)
    assert before["accuracy"]["value"] == after["accuracy"]["value"] == 1
    assert after["ece"]["value"] <= before["ece"]["value"] < 0.06


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


# Isotonic scaling


def sigmoid_is_wrong(seed, n):
    """Logits that saturate, so that no slope and intercept mend them."""
    generator = np.random.default_rng(seed)
    true = 2 * generator.normal(size=n)
    labels = (generator.random(n) < expit(true)).astype(int)
    seen = 5 * np.tanh(2 * true - 2)
    return np.stack([np.zeros(n), seen], axis=1), labels


@pytest.mark.parametrize("seed", range(4))
def test_isotonic_equals_scikit_learn_on_smoothed_targets(seed):
    logits, labels = sample(seed, 300, overconfidence=2)
    scores = margins(np.round(logits, 1))  # some rows are tied
    positives, negatives = labels.sum(), (1 - labels).sum()
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, targets)
    fitted = IsotonicScaling.fit(np.round(logits, 1), labels)
    new = np.linspace(-40, 40, 500)
    ours = calibrated_probabilities(fitted, np.stack([np.zeros(500), new], axis=1))
    assert ours[:, 1] == pytest.approx(theirs.predict(new), abs=1e-12)
    assert ours.sum(axis=1) == pytest.approx(1)
    assert (np.diff(ours[:, 1]) >= 0).all()


def test_isotonic_pools_by_hand():
    # By rising logit: 0, 0, then 1 before 0, which are pooled, then 1. 120 rows are 0, 80 are 1.
    labels = np.repeat([0, 0, 1, 0, 1], 40)
    scores = np.repeat([-2.0, -1.0, 0.0, 1.0, 2.0], 40)
    fitted = IsotonicScaling.fit(np.stack([np.zeros(200), scores], axis=1), labels)
    low, high = 1 / 122, 81 / 82
    middle = (low + high) / 2
    probabilities = fitted.apply(np.stack([np.zeros(5), [-2, -1, 0, 1, 2]], axis=1))[:, 1]
    assert probabilities == pytest.approx([low, low, middle, middle, high])


@pytest.mark.parametrize("classes", [2, 3])
def test_isotonic_never_says_never(classes):
    labels = np.arange(300) % classes
    fitted = IsotonicScaling.fit(5 * np.eye(classes)[labels], labels)
    probabilities = fitted.apply(1000 * np.eye(classes))
    assert (np.diag(probabilities) > 0.97).all()
    assert probabilities.min() > 0
    assert probabilities.max() < 1


def test_isotonic_mends_what_no_sigmoid_can():
    logits, labels = sigmoid_is_wrong(0, 6000)
    new_labels = labels[1000:]

    def log_loss(method):
        fitted = fit_calibration(logits[:1000], labels[:1000], method)
        probabilities = calibrated_probabilities(fitted, logits[1000:])
        return -np.log(probabilities[np.arange(5000), new_labels]).mean()

    assert log_loss("isotonic") < log_loss("platt") - 0.03


def test_isotonic_of_three_classes_is_one_against_the_rest():
    logits, labels = sample(9, 600, 3, overconfidence=3)
    fitted = IsotonicScaling.fit(logits, labels)
    probabilities = fitted.apply(logits)
    softmaxed = softmax(logits, axis=1)
    columns = []
    for k in range(3):
        positives = (labels == k).sum()
        targets = np.where(
            labels == k, (positives + 1) / (positives + 2), 1 / (600 - positives + 2)
        )
        curve = IsotonicRegression(out_of_bounds="clip").fit(logit(softmaxed[:, k]), targets)
        columns.append(curve.predict(logit(softmaxed[:, k])))
    expected = np.stack(columns, axis=1)
    expected /= expected.sum(axis=1, keepdims=True)
    # Near-equal log-odds that rounding ties or parts end up in other blocks: a few rows differ.
    assert np.isclose(probabilities, expected, atol=1e-6).mean() > 0.99
    assert probabilities.sum(axis=1) == pytest.approx(1)
    new_logits, new_labels = sample(10, 3000, 3, overconfidence=3)
    before = evaluate(new_labels, softmax(new_logits, axis=1), bootstrap=0)
    after = evaluate(new_labels, fitted.apply(new_logits), bootstrap=0)
    assert after["ece"]["value"] < before["ece"]["value"] / 2


def test_isotonic_needs_rows():
    few = sample(0, MINIMUM_ISOTONIC_ROWS - 1)
    with pytest.raises(UserError, match=f"has {MINIMUM_ISOTONIC_ROWS - 1} rows and needs"):
        IsotonicScaling.fit(*few)
    assert isinstance(fit_calibration(*few, "isotonic"), PlattScaling)
    assert isinstance(fit_calibration(*sample(0, 50, 3), "isotonic"), TemperatureScaling)
    enough = sample(0, MINIMUM_ISOTONIC_ROWS)
    assert isinstance(fit_calibration(*enough, "isotonic"), IsotonicScaling)


def test_the_method_asked_for():
    logits, labels = sample(3, 200)
    assert isinstance(fit_calibration(logits, labels, "temperature"), TemperatureScaling)
    assert isinstance(fit_calibration(logits, labels, "platt"), PlattScaling)
    with pytest.raises(UserError, match="for two classes: use --calibration temperature or"):
        fit_calibration(*sample(3, 200, 3), "platt")


def test_temperature_of_two_classes():
    logits, labels = sample(4, 40_000, overconfidence=3)
    fitted = fit_calibration(logits, labels, "temperature")
    assert fitted.temperature == pytest.approx(3, rel=0.03)
    scaled = calibrated_probabilities(fitted, logits)[:, 1]
    assert scaled == pytest.approx(expit(margins(logits) / fitted.temperature))


# Several labels a row


def label_sample(n=400):
    """Three labels; the second is known of half of the rows, the third is always 1."""
    columns = [sample(seed, n, overconfidence=3) for seed in (1, 2)]
    logits = np.stack([*(margins(scores) for scores, _ in columns), np.ones(n)], axis=1)
    labels = np.stack([*(truth for _, truth in columns), np.ones(n, int)], axis=1)
    labels[::2, 1] = -1
    return logits, labels


@pytest.mark.parametrize("method", ["auto", "platt", "temperature", "isotonic"])
def test_every_label_is_calibrated_by_itself(method):
    logits, labels = label_sample()
    fitted = LabelwiseCalibration.fit(logits, labels, method)
    for k, rows in ((0, slice(None)), (1, slice(1, None, 2))):
        both = np.stack([np.zeros(len(logits)), logits[:, k]], axis=1)
        alone = fit_calibration(both[rows], labels[rows, k], method)
        assert fitted.labels[k] == alone
        expected = calibrated_probabilities(alone, both)[:, 1]
        assert calibrated_probabilities(fitted, logits)[:, k] == pytest.approx(expected)
    # Of a label with one value nothing can be learned: it stays as it is.
    assert fitted.labels[2] is None
    assert fitted.apply(logits)[:, 2] == pytest.approx(expit(1.0))


def test_no_label_can_be_calibrated():
    logits, labels = label_sample(8)
    assert LabelwiseCalibration.fit(logits, labels) is None
