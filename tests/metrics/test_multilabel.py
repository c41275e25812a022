"""Metrics of several labels a row against scikit-learn, and against those of each label alone."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from ntjax.errors import UserError
from ntjax.metrics import classification as metrics
from ntjax.metrics.multilabel import HIGHER_IS_BETTER, evaluate
from ntjax.metrics.proportions import wilson_interval

NAMES = ["tata", "gc", "rare"]


def drawn(seed=0, n=300, unknown=0.0):
    """Labels of different frequency and probabilities that know something of them."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, 3)) < [0.5, 0.3, 0.1]).astype(int)
    logits = 2.0 * labels - 1 + generator.normal(size=(n, 3))
    labels[generator.random((n, 3)) < unknown] = -1
    return labels, 1 / (1 + np.exp(-logits))


def test_averages_equal_scikit_learn():
    labels, probabilities = drawn()
    called = probabilities > 0.5
    result = evaluate(labels, probabilities, NAMES, bootstrap=0)
    options = {"average": "macro", "zero_division": np.nan}
    expected = {
        "accuracy": (labels == called).mean(),
        "mcc": np.mean([sk.matthews_corrcoef(labels[:, k], called[:, k]) for k in range(3)]),
        "sensitivity": sk.recall_score(labels, called, **options),
        "specificity": sk.recall_score(1 - labels, ~called, **options),
        "precision": sk.precision_score(labels, called, **options),
        "npv": sk.precision_score(1 - labels, ~called, **options),
        "f1": sk.f1_score(labels, called, **options),
        "auroc": sk.roc_auc_score(labels, probabilities, average="macro"),
        "auprc": sk.average_precision_score(labels, probabilities, average="macro"),
        "brier": ((labels - probabilities) ** 2).mean(),
        "micro_f1": sk.f1_score(labels, called, average="micro"),
        "subset_accuracy": sk.accuracy_score(labels, called),
    }
    found = {name: result[name]["value"] for name in expected}
    assert found == pytest.approx(expected, abs=1e-12)
    assert list(result) == [*HIGHER_IS_BETTER, "labels", "n"]
    assert result["n"] == 300


@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_each_label_is_a_classification_of_its_known_rows(unknown):
    labels, probabilities = drawn(1, unknown=unknown)
    result = evaluate(labels, probabilities, NAMES, bootstrap=0)
    assert list(result["labels"]) == NAMES
    for k, name in enumerate(NAMES):
        known = labels[:, k] >= 0
        p = probabilities[known, k]
        both = np.stack([1 - p, p], axis=1)
        assert result["labels"][name] == metrics.evaluate(labels[known, k], both, bootstrap=0)
    for name in metrics.HIGHER_IS_BETTER:
        values = [result["labels"][label][name]["value"] for label in NAMES]
        assert result[name]["value"] == pytest.approx(np.mean(values))


def test_unknown_labels_count_for_nothing():
    labels, probabilities = drawn(2, 50, unknown=0.4)
    result = evaluate(labels, probabilities, NAMES, bootstrap=0)
    known, called = labels >= 0, probabilities > 0.5
    assert result["micro_f1"]["value"] == pytest.approx(sk.f1_score(labels[known], called[known]))
    right = [(labels[i, known[i]] == called[i, known[i]]).all() for i in range(50)]
    assert result["subset_accuracy"]["value"] == pytest.approx(np.mean(right))


def test_an_average_is_as_wide_as_its_labels_are():
    labels, probabilities = drawn(3, 300, unknown=0.1)
    result = evaluate(labels, probabilities, NAMES)
    for name in metrics.HIGHER_IS_BETTER:
        for end in ("low", "high"):
            ends = [result["labels"][label][name][end] for label in NAMES]
            expected = None if None in ends else pytest.approx(np.mean(ends))
            assert result[name][end] == expected, name
    assert result["ece"]["interval"].startswith("tata: chance alone")
    called = (probabilities > 0.5) & (labels >= 0)
    both, either = (called & (labels == 1)).sum(), (called | (labels == 1)).sum()
    assert result["micro_f1"]["value"] == pytest.approx(2 * both / (both + either))
    # With n = rows with a label that applies or is called, of F1 = 2s / (1 + s).
    rows = (called | (labels == 1)).any(axis=1).sum()
    low, high = (2 * s / (1 + s) for s in wilson_interval(both / either * rows, rows))
    assert result["micro_f1"]["low"] == pytest.approx(low, abs=0.02)
    assert result["micro_f1"]["high"] == pytest.approx(high, abs=0.02)


def test_a_rare_label_leaves_the_average_without_an_interval():
    labels, probabilities = drawn(3, 80)
    labels[:, 2] = np.arange(80) < 4
    result = evaluate(labels, probabilities, NAMES)
    reason = "it needs 10 rows of either class and there are 4"
    assert result["labels"]["rare"]["auroc"]["interval"] == reason
    assert result["auroc"]["interval"] == f"rare: {reason}"
    assert result["labels"]["tata"]["auroc"]["low"] is not None
    assert result["accuracy"]["low"] < result["accuracy"]["value"] < result["accuracy"]["high"]


def test_a_label_of_which_nothing_is_known_or_one_value_only():
    labels, probabilities = drawn(4, 40)
    labels[:, 1], labels[:, 2] = -1, 0
    result = evaluate(labels, probabilities, NAMES, bootstrap=20)
    empty = {"value": None, "low": None, "high": None, "interval": "the label is known of no row"}
    assert all(result["labels"]["gc"][name] == empty for name in metrics.HIGHER_IS_BETTER)
    assert result["labels"]["gc"]["n"] == 0
    none = "it needs 10 rows of either class and there are 0"
    assert result["labels"]["rare"]["auroc"] == empty | {"interval": none}
    # The average is over the labels for which there is something to average.
    assert result["auroc"]["value"] == result["labels"]["tata"]["auroc"]["value"]
    assert result["auroc"]["interval"] == "gc: the label is known of no row"
    json.dumps(result, allow_nan=False)


def test_groups_are_drawn_whole():
    labels, probabilities = (np.repeat(part, 10, axis=0) for part in drawn(5, 150))
    groups = np.repeat(np.arange(150), 10)
    alone = evaluate(labels, probabilities, NAMES)["auroc"]
    together = evaluate(labels, probabilities, NAMES, groups=groups)["auroc"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_refused():
    labels, probabilities = drawn(6, 10)
    with pytest.raises(UserError, match="no rows to evaluate"):
        evaluate(np.empty((0, 3), int), np.empty((0, 3)), NAMES)
    with pytest.raises(UserError, match=r"1 of 10 rows \(first: row 4\)"):
        evaluate(labels, np.where(np.arange(10)[:, None] == 3, np.nan, probabilities), NAMES)
    with pytest.raises(ValueError, match="names 2"):
        evaluate(labels, probabilities, NAMES[:2])
    with pytest.raises(ValueError, match="0, 1 or -1"):
        evaluate(labels + 1, probabilities, NAMES)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        evaluate(labels, probabilities + 1, NAMES)
