"""Classes of elements on blocks kept apart: against scikit-learn, and what noise gives."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from ntjax.evaluation.element_separability import (
    balanced_accuracy,
    block_parts,
    predicted_classes,
)


def test_blocks_are_in_one_part_each():
    groups = np.random.default_rng(1).integers(0, 100, 3_000)
    parts = block_parts(groups, (0.2, 0.4), seed=2)
    names = {part: set(groups[rows]) for part, rows in parts.items()}
    assert len(names["validation"]) == 20
    assert len(names["test"]) == 40
    assert len(set().union(*names.values())) == 100
    assert sum(len(own) for own in names.values()) == 100


def test_values_are_scikit_learns():
    random = np.random.default_rng(3)
    labels, predicted = random.integers(0, 4, 400), random.integers(0, 4, 400)
    found = balanced_accuracy(labels, predicted, np.arange(400) // 5)
    assert found["value"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["low"] < 0.25 < found["high"]
    assert found["groups"] == 80


def test_rare_classes_count_as_much_as_common_ones():
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1], [900, 60])
    features = random.normal(size=(960, 5)) + labels[:, None]
    groups = random.integers(0, 120, 960)
    parts = block_parts(groups, (0.2, 0.4), seed=1)
    found = predicted_classes(features, labels, parts)["test"]
    test = parts["test"]
    assert balanced_accuracy(labels[test], found, groups[test])["value"] > 0.8
    noise = predicted_classes(random.normal(size=(960, 5)), labels, parts)["test"]
    assert abs(balanced_accuracy(labels[test], noise, groups[test])["value"] - 0.5) < 0.17
