"""Metrics against scikit-learn and against loops written out."""

import json
import math
import time

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics

from ntjax.errors import UserError
from ntjax.metrics.calibration_error import probability_bins
from ntjax.metrics.classification import (
    HIGHER_IS_BETTER,
    evaluate,
    expected_calibration_error,
    score,
)
from ntjax.metrics.confusion import (
    confusion_counts,
    confusion_rates,
    matthews_correlation,
    predicted_classes,
)
from ntjax.metrics.ranking import Ranking

NAMES = [
    "accuracy",
    "mcc",
    "sensitivity",
    "specificity",
    "precision",
    "npv",
    "f1",
    "auroc",
    "auprc",
    "brier",
    "ece",
]


def binary(positive_probabilities):
    positive = np.asarray(positive_probabilities, np.float64)
    return np.stack([1 - positive, positive], axis=1)


def simulate(seed, n, classes, *, decimals=None):
    """Labels `[n]` and informative probabilities `[n, classes]`, with ties where rounded."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.integers(classes, size=n - classes)])
    logits = generator.normal(size=(n, classes)) + 1.3 * np.eye(classes)[labels]
    probabilities = softmax(logits, axis=1)
    if decimals is not None:
        # Rounded down but for class 0, which takes what is left to make 1.
        probabilities = np.floor(probabilities * 10**decimals) / 10**decimals
        probabilities[:, 0] = np.round(1 - probabilities[:, 1:].sum(axis=1), decimals)
    return labels, probabilities


def values(labels, probabilities):
    result = evaluate(labels, probabilities, bootstrap=0)
    return {name: result[name]["value"] for name in NAMES}


def loop_calibration_error(believed, happened, bins=10):
    """Bin by bin, row by row; a bin holds its upper edge."""
    edges = np.linspace(0, 1, bins + 1)
    error = 0.0
    for b in range(bins):
        rows = [
            i
            for i, p in enumerate(believed)
            if (edges[b] < p or (b == 0 and p == 0)) and p <= edges[b + 1]
        ]
        if rows:
            gap = np.mean([believed[i] for i in rows]) - np.mean([happened[i] for i in rows])
            error += len(rows) / len(believed) * abs(gap)
    return error


def sklearn_binary(labels, probabilities):
    positive = probabilities[:, 1]
    predicted = positive > 0.5
    tn, fp, fn, _ = sklearn_metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel()
    return {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "mcc": sklearn_metrics.matthews_corrcoef(labels, predicted),
        "sensitivity": sklearn_metrics.recall_score(labels, predicted),
        "specificity": tn / (tn + fp),
        "precision": sklearn_metrics.precision_score(labels, predicted),
        "npv": tn / (tn + fn),
        "f1": sklearn_metrics.f1_score(labels, predicted),
        "auroc": sklearn_metrics.roc_auc_score(labels, positive),
        "auprc": sklearn_metrics.average_precision_score(labels, positive),
        "brier": sklearn_metrics.brier_score_loss(labels, positive),
        "ece": loop_calibration_error(positive, labels),
    }


def sklearn_multiclass(labels, probabilities):
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    rest = [
        sklearn_metrics.confusion_matrix(labels == k, predicted == k, labels=[False, True]).ravel()
        for k in range(classes)
    ]
    truth = np.eye(classes)[labels]
    return {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "mcc": sklearn_metrics.matthews_corrcoef(labels, predicted),
        "sensitivity": sklearn_metrics.recall_score(labels, predicted, average="macro"),
        "specificity": np.mean([tn / (tn + fp) for tn, fp, _, _ in rest]),
        "precision": sklearn_metrics.precision_score(labels, predicted, average="macro"),
        "npv": np.mean([tn / (tn + fn) for tn, _, fn, _ in rest]),
        "f1": sklearn_metrics.f1_score(labels, predicted, average="macro"),
        "auroc": sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "auprc": sklearn_metrics.average_precision_score(truth, probabilities, average="macro"),
        "brier": np.mean([sum((p - y) ** 2) for p, y in zip(probabilities, truth, strict=True)]),
        "ece": loop_calibration_error(probabilities.max(axis=1), predicted == labels),
    }


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("n", [20, 200])
@pytest.mark.parametrize("decimals", [None, 2])
def test_binary_equals_scikit_learn(seed, n, decimals):
    labels, probabilities = simulate(seed, n, 2, decimals=decimals)
    assert values(labels, probabilities) == pytest.approx(
        sklearn_binary(labels, probabilities), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("decimals", [None, 2])
def test_multiclass_equals_scikit_learn(seed, classes, decimals):
    labels, probabilities = simulate(seed, 150, classes, decimals=decimals)
    assert values(labels, probabilities) == pytest.approx(
        sklearn_multiclass(labels, probabilities), abs=1e-12
    )


def test_pinned_toy():
    labels = [1, 1, 1, 0, 0]
    result = values(labels, binary([0.9, 0.8, 0.3, 0.6, 0.1]))
    assert result == pytest.approx(
        {
            "accuracy": 3 / 5,
            "mcc": (2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2),
            "sensitivity": 2 / 3,
            "specificity": 1 / 2,
            "precision": 2 / 3,
            "npv": 1 / 2,
            "f1": 2 / 3,
            "auroc": 5 / 6,
            "auprc": (1 + 1 + 3 / 4) / 3,
            "brier": (0.01 + 0.04 + 0.49 + 0.36 + 0.01) / 5,
            "ece": (0.1 + 0.2 + 0.7 + 0.6 + 0.1) / 5,
        }
    )


def test_result_has_the_contract_and_is_json():
    labels, probabilities = simulate(0, 60, 2)
    result = evaluate(labels, probabilities.astype(np.float32), bootstrap=50)
    assert list(result) == [*NAMES, "calibration_error", "n"]
    assert list(HIGHER_IS_BETTER) == NAMES
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert type(result["n"]) is int
    for name in NAMES[:-1]:
        assert list(result[name]) == ["value", "low", "high"]
        assert all(type(number) is float for number in result[name].values())
        assert result[name]["low"] <= result[name]["value"] <= result[name]["high"]
    for name in ("ece", "calibration_error"):
        assert result[name]["value"] >= 0
        assert result[name]["low"] is result[name]["high"] is None
        assert result[name]["interval"]


def test_half_is_not_positive():
    assert predicted_classes(binary([0.5, 0.5 + 1e-9, 0.5 - 1e-9])).tolist() == [0, 1, 0]
    assert predicted_classes([[0.2, 0.4, 0.4]]).tolist() == [1]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_perfect_classifier_may_err_on_other_rows(classes):
    labels = np.arange(100) % classes
    result = evaluate(labels, np.eye(classes)[labels], bootstrap=20)
    for name in NAMES:
        best = 1.0 if HIGHER_IS_BETTER[name] else 0.0
        assert result[name]["value"] == best
        if name != "ece":
            assert abs(result[name]["low"] - result[name]["high"]) > 0.01
            assert best in (result[name]["low"], result[name]["high"])


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_in_labels(only):
    result = evaluate(np.full(30, only), binary(np.linspace(0.2, 0.9, 30)), bootstrap=50)
    for name in ("auroc", "auprc", "specificity" if only else "sensitivity"):
        assert result[name]["value"] is result[name]["low"] is result[name]["high"] is None
        assert result[name]["interval"].endswith("and there are 0")
    assert (result["mcc"]["value"], result["mcc"]["low"]) == (0.0, None)
    assert result["accuracy"]["low"] is not None
    json.dumps(result, allow_nan=False)


def test_never_predicted_positive():
    result = values([0, 1, 1, 0], binary([0.1, 0.4, 0.3, 0.2]))
    assert result["precision"] is None
    assert result["sensitivity"] == 0
    assert result["f1"] == 0
    assert result["mcc"] == 0
    assert result["auroc"] == 1


def test_a_class_without_rows_is_left_out_of_the_mean():
    labels, probabilities = simulate(3, 80, 3)
    with_spare = np.concatenate([probabilities, np.zeros((80, 1))], axis=1)
    expected, result = values(labels, probabilities), values(labels, with_spare)
    # The class that nobody has and nobody predicts is told from the rest without an error.
    for name in ("specificity", "npv"):
        expected[name] = (3 * expected[name] + 1) / 4
    assert result == pytest.approx(expected, abs=1e-12)


def test_a_class_never_predicted_has_no_precision():
    confusion = [[5, 1, 0], [2, 4, 0], [1, 1, 0]]
    rates = confusion_rates(confusion)
    assert rates["precision"] == pytest.approx((5 / 8 + 4 / 6) / 2)
    assert rates["sensitivity"] == pytest.approx((5 / 6 + 4 / 6 + 0) / 3)


def test_equal_scores_are_chance():
    result = values([0, 1, 1, 0, 1], binary(np.full(5, 0.7)))
    assert result["auroc"] == 0.5
    assert result["auprc"] == pytest.approx(0.6)


def test_one_row_has_values_and_no_interval():
    result = evaluate([1], binary([0.8]), bootstrap=100)
    assert result["n"] == 1
    assert result["accuracy"] == {
        "value": 1.0,
        "low": None,
        "high": None,
        "interval": "it needs 10 rows and there are 1",
    }
    assert result["brier"]["value"] == pytest.approx(0.04)
    assert result["auroc"]["value"] is None


def test_no_rows():
    with pytest.raises(UserError, match="no rows"):
        evaluate([], np.empty((0, 2)))
    with pytest.raises(UserError, match="no rows"):
        score(np.empty(0, int), np.empty((0, 3)), "mcc")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_probabilities_that_are_not_finite(bad):
    probabilities = binary([0.1, 0.2, 0.3])
    probabilities[1] = bad
    with pytest.raises(UserError, match=r"1 of 3 rows \(first: row 2\).*diverged"):
        evaluate([0, 1, 0], probabilities)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "labels are"),
        ([0, 1], [0.5, 0.5], "must be \\[n"),
        ([0], [[1.0]], "must be \\[n"),
        ([0, 2], binary([0.1, 0.2]), "0..1"),
        ([-1, 1], binary([0.1, 0.2]), "0..1"),
        ([0.0, 1.0], binary([0.1, 0.2]), "integers"),
        ([0, 1], [[1.2, -0.2], [0.5, 0.5]], "sum to 1"),
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
    ],
)
def test_broken_contract(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        evaluate(labels, probabilities)


@pytest.mark.parametrize("option", [{"bootstrap": -1}, {"confidence": 1.0}, {"groups": [1]}])
def test_broken_options(option):
    with pytest.raises(ValueError, match=r"groups|bootstrap"):
        evaluate([0, 1], binary([0.1, 0.9]), **option)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [None, 1])
def test_weighted_areas_equal_scikit_learn_on_resampled_rows(seed, decimals):
    generator = np.random.default_rng(seed)
    labels, probabilities = simulate(seed, 60, 2, decimals=decimals)
    scores = probabilities[:, 1]
    draws = generator.integers(60, size=(8, 60))
    weights = np.stack([np.bincount(draw, minlength=60) for draw in draws])
    auroc, auprc = Ranking.of(labels == 1, scores).areas(weights)
    for i, draw in enumerate(draws):
        explicit = labels[draw], scores[draw]
        assert auroc[i] == pytest.approx(sklearn_metrics.roc_auc_score(*explicit), abs=1e-12)
        assert auprc[i] == pytest.approx(
            sklearn_metrics.average_precision_score(*explicit), abs=1e-12
        )
        weighted = {"sample_weight": weights[i]}
        assert auroc[i] == pytest.approx(
            sklearn_metrics.roc_auc_score(labels, scores, **weighted), abs=1e-12
        )
        assert auprc[i] == pytest.approx(
            sklearn_metrics.average_precision_score(labels, scores, **weighted), abs=1e-12
        )


def test_areas_of_one_class_resamples_are_undefined():
    ranking = Ranking.of(np.array([True, False, True]), np.array([0.3, 0.2, 0.2]))
    auroc, auprc = ranking.areas([[1, 1, 1], [2, 0, 1], [0, 3, 0]])
    assert np.isnan(auroc).tolist() == [False, True, True]
    assert np.isnan(auprc).tolist() == [False, True, True]


def test_seed_and_confidence():
    labels, probabilities = simulate(1, 100, 2)
    first = evaluate(labels, probabilities, bootstrap=200, seed=1)
    assert first == evaluate(labels, probabilities, bootstrap=200, seed=1)
    other = evaluate(labels, probabilities, bootstrap=200, seed=2)
    assert first["calibration_error"]["p"] != other["calibration_error"]["p"]
    assert first["auroc"] == other["auroc"]
    narrow = evaluate(labels, probabilities, bootstrap=200, seed=1, confidence=0.5)
    assert narrow["auroc"]["low"] > first["auroc"]["low"]
    assert narrow["auroc"]["high"] < first["auroc"]["high"]
    none = evaluate(labels, probabilities, bootstrap=0)["auroc"]
    assert none == {"value": first["auroc"]["value"], "low": None, "high": None}


def test_coverage_of_the_accuracy_interval():
    """200 test sets of a classifier that is right 80% of the time."""
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        labels = generator.integers(2, size=150)
        right = generator.random(150) < 0.8
        result = evaluate(
            labels, binary(np.where(right == labels, 0.9, 0.1)), bootstrap=200, seed=seed
        )
        covered += result["accuracy"]["low"] <= 0.8 <= result["accuracy"]["high"]
    assert 0.90 <= covered / 200 <= 0.99


def test_groups_widen_the_interval_of_repeated_rows():
    labels, probabilities = simulate(4, 100, 2)
    repeated = np.repeat(labels, 9), np.repeat(probabilities, 9, axis=0)
    names = np.repeat([f"locus{i}" for i in range(100)], 9)

    def width(result, name):
        return result[name]["high"] - result[name]["low"]

    by_row = evaluate(*repeated)
    by_group = evaluate(*repeated, groups=names)
    once = evaluate(labels, probabilities)
    for name in ("accuracy", "mcc", "auroc", "auprc", "brier"):
        assert width(by_group, name) / width(by_row, name) == pytest.approx(3, rel=0.2)
        # Nine copies of a locus tell no more than one.
        assert width(by_group, name) == pytest.approx(width(once, name), rel=1e-9)


def test_one_group_has_no_interval():
    result = evaluate([0, 1, 1], binary([0.2, 0.7, 0.4]), groups=["a", "a", "a"])
    assert result["accuracy"]["value"] == pytest.approx(2 / 3)
    reason = "it needs 10 groups of related rows and there are 1"
    assert (result["accuracy"]["low"], result["accuracy"]["interval"]) == (None, reason)


@pytest.mark.parametrize("classes", [2, 3])
def test_score_equals_evaluate(classes):
    labels, probabilities = simulate(2, 70, classes)
    expected = values(labels, probabilities)
    assert {name: score(labels, probabilities, name) for name in NAMES} == expected
    assert score(np.ones(5, int), binary(np.full(5, 0.6)), "auroc") is None


def test_score_of_unknown_name():
    with pytest.raises(UserError, match="'acc': choose one of accuracy, mcc"):
        score([0, 1], binary([0.1, 0.9]), "acc")


def test_confusion_counts_are_scikit_learns():
    labels, probabilities = simulate(6, 50, 3)
    predicted = predicted_classes(probabilities)
    assert np.array_equal(
        confusion_counts(labels, predicted, 3), sklearn_metrics.confusion_matrix(labels, predicted)
    )
    assert confusion_counts([1, 1, 0], [1, 0, 0]).tolist() == [[1, 0], [1, 1]]


def test_matthews_correlation_is_vectorised_and_exact():
    stack = np.array([[[3, 0], [0, 7]], [[0, 3], [7, 0]], [[5, 0], [5, 0]]])
    assert matthews_correlation(stack).tolist() == [1, -1, 0]


def test_report_tools_are_reproduced():
    """CNNProm on the promoter test set: sensitivity 0.95 of 865, specificity 0.51 of 1,000."""
    confusion = [[510, 490], [43, 822]]
    rates = confusion_rates(confusion)
    assert rates["sensitivity"] == pytest.approx(0.95, abs=0.001)
    assert rates["specificity"] == pytest.approx(0.51)
    assert matthews_correlation(confusion) == pytest.approx(0.50, abs=0.01)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("bins", [5, 10, 15])
def test_calibration_error_equals_a_loop(classes, bins):
    labels, probabilities = simulate(7, 120, classes, decimals=2)
    if classes == 2:
        believed, happened = probabilities[:, 1], labels
    else:
        believed = probabilities.max(axis=1)
        happened = probabilities.argmax(axis=1) == labels
    assert expected_calibration_error(labels, probabilities, bins) == pytest.approx(
        loop_calibration_error(believed, happened, bins), abs=1e-12
    )


def test_bins_hold_their_upper_edge():
    assert probability_bins([0, 0.05, 0.1, 0.11, 0.5, 0.9, 0.95, 1]).tolist() == [
        0,
        0,
        0,
        1,
        4,
        8,
        9,
        9,
    ]


def test_a_thousand_resamples_are_quick():
    labels, probabilities = simulate(8, 1865, 2)
    start = time.perf_counter()
    evaluate(labels, probabilities, bootstrap=1000)
    # About 0.2 s on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - start < 5
