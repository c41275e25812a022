"""Rows that weigh more in the loss."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight
from tiny import batch_of, hyperparameters, parameters, problem, step_config, trainable

import ntjax
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.training.class_weights import row_weights
from ntjax.training.members import new_member
from ntjax.training.step import compile_train_step

RANDOM = np.random.default_rng(1)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.95, 0.05), (0.7, 0.2, 0.1)])
def test_balanced_as_in_scikit_learn(shares):
    labels = RANDOM.choice(len(shares), 200, p=shares)
    classes = tuple("abc"[: len(shares)])
    found = row_weights("balanced", classes, labels)
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels), rtol=1e-6)


def test_weights_by_name():
    labels = np.array([0, 1, 2, 1])
    assert row_weights("none", ("a", "b", "c=d"), labels) is None
    found = row_weights("b=3, c=d=0.5", ("a", "b", "c=d"), labels)
    assert found.tolist() == [1, 3, 0.5, 3]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("promotor=2", "'promotor=2' should be CLASS=WEIGHT; classes are no, promoter"),
        ("even", "'even' should be CLASS=WEIGHT"),
        ("promoter=0", "'0' should be a number above 0"),
        ("promoter=much", "'much' should be a number above 0"),
        ("promoter=inf", "'inf' should be a number above 0"),
    ],
)
def test_weights_that_make_no_sense(text, problem):
    with pytest.raises(UserError, match=problem):
        row_weights(text, ("no", "promoter"), np.array([0, 1]))


@pytest.mark.compiled
def test_a_row_that_weighs_two_is_a_row_that_stands_there_twice():
    once = problem(rows=6)
    weights = np.array([2, 1, 1, 1, 1, 1], np.float32)
    twice = TokenisedSet(*(column[[0, *range(6)]] for column in columns_of(once)))
    params, config = parameters(), step_config()
    step, found = compile_train_step(config), []
    for data in (replace(once, weights=weights), twice):
        member = new_member(config.optimizer, trainable("ia3", params))
        batch = batch_of(data, 0, rows=len(data))
        _, metrics = step(params, member, hyperparameters(), np.int32(0), batch)
        found.append([float(metrics[name]) for name in ("loss", "gradient_norm")])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def columns_of(data):
    return data.tokens, data.lengths, data.labels


@pytest.mark.slow
def test_weights_move_what_is_called():
    sequences = ["".join(RANDOM.choice(list("ACGT"), 60)) for _ in range(120)]
    labels = ["rich" if s.count("A") > 14 else "poor" for s in sequences]
    rows = (sequences, labels)
    options = {"steps": 10, "batch_size": 32, "adapter": "head", "head": "mean"}
    share = {
        weights: np.mean(
            ntjax.fine_tune("mini", rows, rows, rows, class_weights=weights, **options)
            .predict(sequences)
            .argmax(axis=1)
        )
        for weights in ("rich=50", "poor=50")
    }
    assert share["rich=50"] > 0.9
    assert share["poor=50"] < 0.1
    with pytest.raises(UserError, match="--class-weights balanced is for --task classification"):
        ntjax.fine_tune("mini", rows, task="regression", class_weights="balanced")
