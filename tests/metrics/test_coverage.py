"""Intervals hold the true value in 93% of test sets or more, beyond simulation error."""

import numpy as np
import pytest
from interval_coverage import Cell, cells, simulate
from scipy.special import softmax

from ntjax.metrics import evaluate
from ntjax.metrics.classification_intervals import ScoredRows, classification_intervals
from ntjax.metrics.least_counts import LEAST
from ntjax.metrics.multilabel import evaluate as evaluate_multilabel
from ntjax.metrics.regression import evaluate as evaluate_regression

WANTED = 0.93


def require_coverage(held, given, what):
    """Not below 93% by more than three standard errors of so many simulated sets."""
    rate = held / given
    assert rate + 3 * np.sqrt(max(rate * (1 - rate), 0.002) / given) >= WANTED, (what, rate, given)


def test_the_script_knows_the_true_values():
    cell = Cell(prevalence=0.2, auroc=0.8, group_size=1, balanced=True)
    rows = cell.draw(60_000, np.random.default_rng(0))
    found, truth = classification_intervals(rows), cell.truth()
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        assert found[name].value == pytest.approx(value, abs=0.015), name


@pytest.mark.parametrize("positives", [10, 190])
def test_ten_rows_of_a_class_have_an_interval_of_auroc_and_accuracy(positives):
    labels = (np.arange(200) < positives).astype(int)
    p = np.random.default_rng(0).random(200)
    found = evaluate(labels, np.stack([1 - p, p], axis=1))
    for name in LEAST.keys() & found.keys():
        assert found[name]["low"] < found[name]["high"], name
    found = evaluate(labels[positives - 10 :], np.stack([1 - p, p], axis=1)[positives - 10 :])
    assert found["auroc"]["low"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("group_size", [1, 5])
def test_two_classes(group_size):
    for cell in cells():
        if cell.group_size != group_size:
            continue
        for name, of in simulate(cell, LEAST["auroc"].fewest, sets=200).items():
            if of.given >= 60:
                require_coverage(of.held, of.given, (cell, name))


def several(random, rows, classes, distance):
    labels = random.integers(classes, size=rows)
    logits = random.normal(size=(rows, classes)) + distance * np.eye(classes)[labels]
    return labels, softmax(distance * logits, axis=1)


def values_of(intervals):
    return {name: interval.value for name, interval in intervals.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "rows", "distance"), [(3, 60, 1.5), (3, 60, 4.0), (10, 200, 2.5)]
)
def test_several_classes(classes, rows, distance):
    """Also where almost nothing is called wrongly."""
    random, sets = np.random.default_rng(classes), 300
    many = several(random, 100_000, classes, distance)
    # Groups of a few thousand rows keep this quick; the values do not depend on them.
    truth = values_of(classification_intervals(ScoredRows.of(*many, np.arange(100_000) % 50, 0.95)))
    held, given = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for _ in range(sets):
        drawn = ScoredRows.of(*several(random, rows, classes, distance), np.arange(rows), 0.95)
        for name, of in classification_intervals(drawn).items():
            if of.groups >= LEAST[name].fewest:
                given[name] += 1
                held[name] += of.low <= truth[name] <= of.high
    assert given["accuracy"] == sets
    for name, count in given.items():
        if count >= 100:
            require_coverage(held[name], count, name)


@pytest.mark.slow
def test_several_labels():
    """Three labels of the same rows that are missed together."""

    def draw(random, rows):
        labels = (random.random((rows, 3)) < [0.5, 0.3, 0.2]).astype(int)
        common = random.normal(size=(rows, 1))
        logits = 2.0 * labels - 1 + common + 0.3 * random.normal(size=(rows, 3))
        return labels, 1 / (1 + np.exp(-logits))

    random, names = np.random.default_rng(0), ["a", "b", "c"]
    truth = evaluate_multilabel(*draw(random, 200_000), names, bootstrap=0)
    held = dict.fromkeys(("accuracy", "mcc", "auroc", "micro_f1", "subset_accuracy"), 0)
    given = dict(held)
    for _ in range(200):
        found = evaluate_multilabel(*draw(random, 80), names, bootstrap=1)
        for name in held:
            if found[name]["low"] is not None:
                given[name] += 1
                held[name] += found[name]["low"] <= truth[name]["value"] <= found[name]["high"]
    for name, count in given.items():
        assert count > 100, name
        require_coverage(held[name], count, name)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.3, 0.9])
def test_measured_values(correlation):
    random, rows, sets = np.random.default_rng(1), 20, 200

    def draw(count):
        targets, noise = random.normal(size=(2, count))
        slope, rest = correlation**2, correlation * np.sqrt(1 - correlation**2)
        return targets, slope * targets + rest * noise

    truth = evaluate_regression(*draw(200_000), bootstrap=0)
    held = dict.fromkeys(("pearson", "spearman", "r2", "rmse", "mae"), 0)
    for _ in range(sets):
        found = evaluate_regression(*draw(rows), bootstrap=400)
        for name in held:
            held[name] += found[name]["low"] <= truth[name]["value"] <= found[name]["high"]
    for name, count in held.items():
        require_coverage(count, sets, name)
