"""Paired intervals hold the true difference, and equal methods are seldom told apart."""

import numpy as np
import pytest
from scipy.special import softmax

from ntjax.metrics import classification, multilabel, regression
from ntjax.metrics.paired import (
    LEAST_OF_A_DIFFERENCE,
    LEAST_WRONG,
    paired_differences,
    too_few_for_a_difference,
    too_few_wrong,
)

SETS = 300


def classes(random, signals, count=2, each=50):
    labels = np.repeat(np.arange(count), each)
    shared = random.normal(size=(len(labels), count))
    probabilities = [
        softmax(
            s * np.eye(count)[labels] + 0.8 * shared + 0.6 * random.normal(size=shared.shape), 1
        )
        for s in signals
    ]
    return labels, probabilities


def values(random, noises, rows=50):
    observed, shared = random.normal(size=(2, rows))
    return observed, [
        observed + n * (0.7 * shared + 0.7 * random.normal(size=rows)) for n in noises
    ]


def covered(draw, statistic, metrics, signals, **options):
    """Share of simulated sets whose interval holds the true difference, by metric."""
    random = np.random.default_rng(0)
    labels, predicted = draw(random, signals, **{name: 400 * n for name, n in options.items()})
    whole = [statistic(labels, one)(np.ones((1, len(labels)))) for one in predicted]
    truth = {m: float(whole[0][m][0] - whole[1][m][0]) for m in metrics}
    held, intervals = dict.fromkeys(metrics, 0), 0
    for number in range(SETS):
        labels, predicted = draw(random, signals, **options)
        if predicted[0].ndim == 2:
            wrong = [p.argmax(axis=1) != labels for p in predicted]
            if too_few_wrong(wrong[0] | wrong[1]):
                continue
        intervals += 1
        statistics = dict(zip("ab", (statistic(labels, one) for one in predicted), strict=True))
        found = paired_differences(
            statistics, "b", metrics, len(labels), resamples=400, seed=number
        )["a"]
        for m in metrics:
            held[m] += found[m]["low"] <= truth[m] <= found[m]["high"]
    assert intervals > 50
    return {m: held[m] / intervals for m in metrics}, 3 * np.sqrt(0.93 * 0.07 / intervals)


@pytest.mark.slow
@pytest.mark.parametrize("signals", [(2.5, 2.2), (2.0, 1.6), (1.2, 0.9)])
def test_intervals_of_classes_hold_the_true_difference(signals):
    metrics = ("auroc", "mcc", "accuracy", "brier")
    found, error = covered(classes, classification.statistic, metrics, signals, each=50)
    for metric, share in found.items():
        assert share > 0.93 - error, metric


@pytest.mark.slow
@pytest.mark.parametrize("noises", [(0.5, 0.8), (0.5, 0.5)])
def test_intervals_of_values_hold_the_true_difference(noises):
    metrics = ("r2", "pearson", "spearman", "rmse")
    found, error = covered(values, regression.statistic, metrics, noises, rows=50)
    for metric, share in found.items():
        assert share > 0.93 - error, metric


def test_every_row_counts_once_in_the_value():
    labels, (first, second) = classes(np.random.default_rng(1), (1.0, 0.5), count=3)
    statistics = {
        "first": classification.statistic(labels, first),
        "second": classification.statistic(labels, second),
    }
    found = paired_differences(statistics, "second", ["mcc", "auroc"], len(labels), resamples=20)
    assert list(found) == ["first"]
    own = [classification.evaluate(labels, p, bootstrap=0) for p in (first, second)]
    for metric, one in found["first"].items():
        assert one["value"] == pytest.approx(own[0][metric]["value"] - own[1][metric]["value"])


def test_statistics_are_those_of_evaluate():
    random = np.random.default_rng(2)
    labels = random.integers(-1, 2, (80, 2))
    p = random.random((80, 2))
    once = np.ones((1, 80))
    found = multilabel.statistic(labels, p, ["a", "b"])(once)
    expected = multilabel.evaluate(labels, p, ["a", "b"], bootstrap=0)
    for metric in multilabel.HIGHER_IS_BETTER:
        assert found[metric][0] == pytest.approx(expected[metric]["value"]), metric
    y, (predicted, _) = values(random, (0.5, 0.5), rows=80)
    found, expected = regression.statistic(y, predicted)(once), regression.evaluate(y, predicted)
    for metric in regression.HIGHER_IS_BETTER:
        assert found[metric][0] == pytest.approx(expected[metric]["value"])


def test_resampled_labels_equal_rows_that_are_repeated():
    random = np.random.default_rng(3)
    labels, p = random.integers(-1, 2, (60, 2)), random.random((60, 2))
    counts = random.integers(0, 3, 60)
    rows = np.repeat(np.arange(60), counts)
    found = multilabel.statistic(labels, p, ["a", "b"])(counts[None].astype(float))
    expected = multilabel.evaluate(labels[rows], p[rows], ["a", "b"], bootstrap=0)
    for metric in multilabel.HIGHER_IS_BETTER:
        assert found[metric][0] == pytest.approx(expected[metric]["value"]), metric


def test_what_an_interval_needs():
    sides = [np.arange(200) < n for n in (60, 140)]
    assert too_few_for_a_difference(sides) == ""
    few = too_few_for_a_difference([np.arange(200) < 30, np.arange(200) >= 30])
    assert few == f"it needs {LEAST_OF_A_DIFFERENCE} rows of either class and there are 30"
    groups = np.arange(200) // 2
    assert "groups of related rows" in too_few_for_a_difference(sides, groups)
    wrong = np.arange(200) < LEAST_WRONG
    assert too_few_wrong(wrong) == ""
    assert "there are 5" in too_few_wrong(wrong, groups)
    assert "there are 9" in too_few_wrong(np.stack([wrong, np.arange(200) < 9], axis=1))
    sentence = {"a": lambda w: {"x": w[:, 0]}, "b": lambda w: {"x": w[:, 1]}}
    found = paired_differences(sentence, "b", ["x"], 30, reasons={"a": "too few"})["a"]["x"]
    assert found == {"value": 0.0, "low": None, "high": None, "interval": "too few", "p": None}
