"""A calibration is kept only where it helps: against plain loops, and by what new rows lose."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from ntjax.calibration import (
    IdentityScaling,
    PlattScaling,
    TemperatureScaling,
    accepted_calibration,
    accepted_labelwise,
    calibrated_probabilities,
    fit_calibration,
)
from ntjax.calibration.acceptance import folds_of_groups
from ntjax.calibration.cautious_platt import fit_cautiously
from ntjax.errors import UserError
from ntjax.metrics import evaluate


def drawn(seed, rows, classes, temperature=1.0, spread=1.5):
    """Labels drawn from softmax(z); what is seen is z times the temperature."""
    random = np.random.default_rng(seed)
    truth = spread * random.normal(size=(rows, classes))
    labels = (truth + random.gumbel(size=truth.shape)).argmax(axis=1)
    return temperature * truth, labels


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 5])
def test_a_calibrated_model_is_left_as_it_is(classes):
    kept = [accepted_calibration(*drawn(seed, 200, classes)) for seed in range(20)]
    assert sum(one == IdentityScaling() for one in kept) >= 17
    logits, _ = drawn(0, 9, classes)
    expected = softmax(logits, axis=1)
    np.testing.assert_array_equal(calibrated_probabilities(IdentityScaling(), logits), expected)


@pytest.mark.parametrize(("classes", "kind"), [(2, PlattScaling), (5, TemperatureScaling)])
@pytest.mark.parametrize("temperature", [1 / 3, 3.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_calibrated(classes, kind, temperature):
    fitted = accepted_calibration(*drawn(1, 2000, classes, temperature))
    assert isinstance(fitted, kind)
    found = 1 / fitted.slope if classes == 2 else fitted.temperature
    assert found == pytest.approx(temperature, rel=0.1)


def test_it_is_the_gain_of_rows_that_were_not_fitted_to_that_decides():
    decided = set()
    for seed in range(30):
        logits, labels = drawn(seed, 60, 4, temperature=1.6)
        fold = folds_of_groups(labels, np.arange(60), 0)
        gains = np.zeros(60)
        for number in range(5):
            out = fold == number
            temperature = TemperatureScaling.fit(logits[~out], labels[~out]).temperature
            at = np.arange(out.sum()), labels[out]
            after = log_softmax(logits[out] / temperature, axis=1)[at]
            gains[out] = after - log_softmax(logits[out], axis=1)[at]
        helps = gains.mean() > gains.std(ddof=1) / np.sqrt(60)
        fitted = TemperatureScaling.fit(logits, labels)
        expected = fitted if helps and fitted.temperature != 1 else IdentityScaling()
        assert accepted_calibration(logits, labels) == expected
        decided.add(type(expected))
    assert decided == {IdentityScaling, TemperatureScaling}


def test_folds_hold_whole_groups_and_each_class():
    labels = np.repeat(np.arange(50) % 10 == 0, 3).astype(int)
    group = np.repeat(np.arange(50), 3)
    fold = folds_of_groups(labels, group, seed=3)
    assert all(len(set(fold[group == number])) == 1 for number in range(50))
    assert np.bincount(fold).tolist() == [30] * 5
    assert np.bincount(fold[labels == 1]).tolist() == [3] * 5
    assert not np.array_equal(fold, folds_of_groups(labels, group, seed=4))


def test_copies_of_rows_are_no_evidence():
    """Thirty rows that happen to look overconfident, each ten times."""
    seeds = range(40)
    copies = [tuple(np.repeat(part, 10, axis=0) for part in drawn(s, 30, 3)) for s in seeds]
    groups = np.repeat(np.arange(30), 10)
    alone = [accepted_calibration(*rows) != IdentityScaling() for rows in copies]
    together = [accepted_calibration(*rows, groups=groups) != IdentityScaling() for rows in copies]
    assert sum(together) < sum(alone) / 2


def test_rows_that_cannot_be_fitted_are_refused_as_by_the_fit():
    for fit in (fit_calibration, accepted_calibration):
        with pytest.raises(UserError, match="needs 10"):
            fit(np.zeros((9, 2)), np.arange(9) % 2)
        with pytest.raises(UserError, match="of one class"):
            fit(np.zeros((30, 2)), np.zeros(30, int))


def test_each_label_is_accepted_by_itself():
    seen, labels = drawn(2, 400, 2, temperature=4.0)
    known, truth = drawn(3, 400, 2)
    logits = np.stack([np.diff(seen)[:, 0], np.diff(known)[:, 0], np.ones(400)], axis=1)
    of_labels = np.stack([labels, truth, np.ones(400, int)], axis=1)
    fitted = accepted_labelwise(logits, of_labels)
    assert isinstance(fitted.labels[0], PlattScaling)
    assert fitted.labels[1:] == (IdentityScaling(), None)
    np.testing.assert_allclose(fitted.apply(logits)[:, 1], expit(logits[:, 1]))
    assert accepted_labelwise(logits[:8], of_labels[:8]) is None


# Platt scaling with a prior


def penalised(scores, labels, log_slope, intercept):
    margins = np.exp(log_slope) * scores + intercept
    penalty = 4 * np.log1p(abs(log_slope) / 0.5) + 3 * np.log1p(abs(intercept) / 0.5)
    return (np.logaddexp(0, margins) - labels * margins).sum() + penalty


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("bias", [0.0, 2.0])
@pytest.mark.parametrize("rows", [30, 300])
def test_the_fit_is_the_minimum(rows, bias, temperature):
    logits, labels = drawn(rows, rows, 2, temperature)
    scores = np.diff(logits)[:, 0] + bias
    fitted = fit_cautiously(scores, labels)
    at = np.log(fitted.slope), fitted.intercept
    grid = [(a, b) for a in np.linspace(-3, 3, 61) for b in np.linspace(-4, 4, 81)]
    best = min(grid, key=lambda pair: penalised(scores, labels, *pair))
    polished = minimize(lambda pair: penalised(scores, labels, *pair), best, method="Nelder-Mead")
    assert penalised(scores, labels, *at) <= polished.fun + 1e-3


def test_separated_classes_keep_a_finite_slope_above_zero():
    labels = np.repeat([0, 1], 25)
    for scores in (np.linspace(-1, 1, 50), np.linspace(1, -1, 50)):
        assert 0 < fit_cautiously(scores, labels).slope < 100


# The faults that this is for

TWELVE = Path(__file__).parents[2] / "../shared/faults"


def twelve(name):
    path = TWELVE / name
    if not path.exists():
        pytest.skip("the example is not here")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_an_easy_task_of_twelve_classes_is_not_made_worse():
    """Motif counts and logistic regression in place of the network: always right, rightly sure."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    parts = [twelve(f"twelve_easy{end}") for end in (".csv.gz", "_val.csv", "_test.csv")]
    count = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True)
    features = count.fit_transform([row["sequence"] for row in parts[0]])
    model = LogisticRegression(C=10).fit(features, [row["label"] for row in parts[0]])
    logits, labels = [], []
    for rows in parts[1:]:
        found = count.transform([row["sequence"] for row in rows])
        logits.append(model.decision_function(found))
        labels.append(np.searchsorted(model.classes_, [row["label"] for row in rows]))
    fitted = accepted_calibration(logits[0], labels[0])
    before = evaluate(labels[1], softmax(logits[1], axis=1), bootstrap=0)
    after = evaluate(labels[1], calibrated_probabilities(fitted, logits[1]), bootstrap=0)
    assert after["accuracy"] == before["accuracy"]
    assert after["ece"]["value"] <= before["ece"]["value"]


# Simulations at length


def changes(classes, temperature, rows, sets, spread=1.0):
    """Mean change of the log loss of new rows, what the true temperature gains, and the fits."""
    new = spread * np.random.default_rng(0).normal(size=(2000, classes))
    truth = softmax(new, axis=1)

    def loss(probabilities):
        return -(truth * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1).mean()

    before, best = loss(softmax(temperature * new, axis=1)), loss(truth)
    found, temperatures = [], []
    for seed in range(sets):
        seeds = [classes, rows, seed, round(10 * temperature)]
        fitted = accepted_calibration(*drawn(seeds, rows, classes, temperature, spread))
        found.append(loss(calibrated_probabilities(fitted, temperature * new)) - before)
        if isinstance(fitted, PlattScaling):
            temperatures.append(1 / fitted.slope)
        elif isinstance(fitted, TemperatureScaling):
            temperatures.append(fitted.temperature)
    return np.mean(found), best - before, np.array(temperatures)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4, 10, 30])
class TestSimulated:
    @pytest.mark.parametrize("rows", [20, 50, 200])
    def test_a_calibrated_model_is_hardly_changed(self, classes, rows):
        change, _, _ = changes(classes, 1.0, rows, sets=200)
        assert change <= 0.002

    @pytest.mark.parametrize("temperature", [1 / 3, 3.0])
    def test_most_of_what_there_is_to_gain_is_gained(self, classes, temperature):
        change, possible, _ = changes(classes, temperature, 200, sets=100)
        assert change <= 0.8 * possible < 0

    @pytest.mark.parametrize("temperature", [1 / 3, 3.0])
    def test_many_rows_find_the_temperature(self, classes, temperature):
        change, possible, found = changes(classes, temperature, 2000, sets=12)
        assert len(found) == 12
        assert change <= 0.95 * possible
        assert np.exp(np.log(found).mean()) == pytest.approx(temperature, rel=0.1)
