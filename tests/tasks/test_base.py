"""What a task makes of labels and outputs, and what chooses a checkpoint, against scikit-learn."""

import json
from functools import partial

import jax
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, softmax
from sklearn import metrics as sk

from ntjax.datasets.batching import TokenisedSet, make_batch
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.tasks import (
    HIGHER_IS_BETTER,
    TASKS,
    Classification,
    MultiLabel,
    Regression,
    check_select,
    task_from_dict,
)
from ntjax.training.members import spread


def table_of(*labels):
    n = len(labels)
    return SequenceTable(("x",) * n, ("ACGT",) * n, labels, "x.csv", tuple(range(2, n + 2)))


def outputs_and_targets(kind, rows=60, seed=0):
    random = np.random.default_rng(seed)
    match kind:
        case "classification":
            targets = random.integers(3, size=rows).astype(np.int32)
            outputs = random.normal(size=(rows, 3)) + 2 * np.eye(3)[targets]
        case "multilabel":
            targets = random.integers(2, size=(rows, 3)).astype(np.float32)
            outputs = random.normal(size=(rows, 3)) + 2 * targets - 1
            targets[random.random((rows, 3)) < 0.2] = -1
            targets[:, 0] = np.maximum(targets[:, 0], 0)
        case "regression":
            outputs = random.normal(size=(rows, 1))
            targets = (outputs[:, 0] + random.normal(size=rows)).astype(np.float32)
    return outputs.astype(np.float32), targets


def test_every_kind_has_a_loss_and_a_metric_to_choose_by():
    assert TASKS.keys() == {"classification", "multilabel", "regression"}
    for kind, task in TASKS.items():
        assert task.kind == kind
        assert task.select in task.selectable
        assert set(task.selectable) <= set(HIGHER_IS_BETTER)


@pytest.mark.parametrize("kind", TASKS)
def test_the_validation_loss_is_the_training_loss(kind):
    outputs, targets = outputs_and_targets(kind)
    scores = TASKS[kind].validation_scores(outputs, targets)
    assert tuple(scores) == TASKS[kind].selectable
    assert scores["loss"] == pytest.approx(
        float(TASKS[kind].loss(outputs, targets).mean()), rel=1e-5
    )


def test_losses_equal_scikit_learn():
    outputs, targets = outputs_and_targets("classification")
    loss = TASKS["classification"].validation_scores(outputs, targets)["loss"]
    assert loss == pytest.approx(sk.log_loss(targets, softmax(outputs.astype(float), axis=1)))
    outputs, targets = outputs_and_targets("multilabel")
    rows = [
        sk.log_loss(row[row >= 0], expit(logits[row >= 0].astype(float)), labels=[0, 1])
        for row, logits in zip(targets, outputs, strict=True)
    ]
    assert TASKS["multilabel"].validation_scores(outputs, targets)["loss"] == pytest.approx(
        np.mean(rows)
    )
    outputs, targets = outputs_and_targets("regression")
    loss = TASKS["regression"].validation_scores(outputs, targets)["loss"]
    assert loss == pytest.approx(sk.mean_squared_error(targets, outputs[:, 0]))


def test_unknown_labels_have_no_gradient():
    outputs, targets = outputs_and_targets("multilabel")
    gradients = jax.grad(lambda x: TASKS["multilabel"].loss(x, targets).sum())(outputs)
    assert (np.asarray(gradients)[targets < 0] == 0).all()
    assert (np.asarray(gradients)[targets >= 0] != 0).all()
    nothing_known = TASKS["multilabel"].loss(outputs, np.full_like(targets, -1))
    np.testing.assert_array_equal(nothing_known, 0)


@pytest.mark.parametrize("kind", TASKS)
def test_targets_reach_every_slot_of_a_batch(kind):
    _, targets = outputs_and_targets(kind, rows=8 * jax.local_device_count())
    ids = np.arange(2, 2 + 5 * len(targets)).reshape(len(targets), 5)
    data = TokenisedSet.create(ids, targets)
    assert data.labels.dtype == (np.int32 if kind == "classification" else np.float32)
    batch = make_batch(data, np.arange(len(targets)), len(targets), 5)
    device_batch = spread(batch, accumulation=4)
    devices = jax.local_device_count()
    assert device_batch.labels.shape == (devices, 4, 2, *targets.shape[1:])
    np.testing.assert_array_equal(
        device_batch.labels.reshape(targets.shape), targets[device_batch.slots.ravel()]
    )


def test_validation_metrics():
    outputs, targets = outputs_and_targets("multilabel")
    scores = TASKS["multilabel"].validation_scores(outputs, targets)
    known = targets >= 0
    expected = [
        sk.average_precision_score(targets[at, k], outputs[at, k]) for k, at in enumerate(known.T)
    ]
    assert scores["auprc"] == pytest.approx(np.mean(expected))
    outputs, targets = outputs_and_targets("regression")
    scores = TASKS["regression"].validation_scores(outputs, targets)
    assert scores["r2"] == pytest.approx(sk.r2_score(targets, outputs[:, 0]))
    assert scores["spearman"] == pytest.approx(stats.spearmanr(targets, outputs[:, 0]).statistic)


@pytest.mark.parametrize("kind", TASKS)
def test_a_metric_of_another_task_is_refused(kind):
    for name in TASKS[kind].selectable:
        check_select(kind, name)
    other = "accuracy" if kind == "regression" else "pearson"
    with pytest.raises(UserError, match=f"cannot select by '{other}'; known: loss, "):
        check_select(kind, other)


@pytest.mark.parametrize(
    "task",
    [Classification(("a", "b")), MultiLabel(("a", "b", "c")), Regression(("y",), -2.5, 0.125)],
    ids=lambda task: task.kind,
)
def test_saved_and_rebuilt(task):
    saved = json.loads(json.dumps(task.to_dict()))
    assert task_from_dict(saved, task.outputs) == task
    with pytest.raises(ValueError, match="not a saved task"):
        task_from_dict(saved | {"surplus": 1}, task.outputs)
    with pytest.raises(ValueError, match="not a saved task"):
        task_from_dict({"kind": "ranking"}, task.outputs)
    if task.kind != "multilabel":
        wrong = ("a",) if task.kind == "classification" else ("a", "b", "c")
        with pytest.raises(ValueError, match=f"not a saved task.* of {', '.join(wrong)}"):
            task_from_dict(saved, wrong)


@pytest.mark.parametrize(
    ("mean", "spread", "message"),
    [
        (0, 0, "spread is 0, not above 0"),
        (0, -1.0, "spread is -1, not above 0"),
        (0, np.inf, "spread is inf, not a finite number"),
        (np.nan, 1, "mean is nan, not a finite number"),
        ("x", 1, "mean is 'x', not a finite number"),
        ([0], 1, r"mean is \[0\], not a finite number"),
    ],
)
def test_a_mean_or_spread_that_no_rows_have(mean, spread, message):
    with pytest.raises(ValueError, match=message):
        task_from_dict({"kind": "regression", "mean": mean, "spread": spread}, ("y",))


@pytest.mark.parametrize("saved", [None, [], "regression"])
def test_what_is_no_task(saved):
    with pytest.raises(ValueError, match="not a saved task"):
        task_from_dict(saved, ("y",))


def test_values_are_standardised_and_come_back():
    table = table_of("10", "20", "60")
    task = Regression.of(table, ("expression",))
    labels = task.encode(table)
    task = task.fitted(labels, "x.csv")
    assert (task.mean, task.spread) == (30, pytest.approx(np.std([10, 20, 60])))
    targets = task.targets(labels)
    assert targets.dtype == np.float32
    np.testing.assert_allclose([targets.mean(), targets.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(task.values(targets[:, None]), labels, rtol=1e-6)


def test_strata_of_values_are_tenths():
    task = Regression(("y",))
    strata = task.strata(np.random.default_rng(0).permutation(1000.0 + np.arange(200)))
    assert np.bincount(strata).tolist() == [20] * 10
    assert len(np.unique(task.strata(np.array([0.0] * 50 + [1.0])))) <= 2


def test_strata_of_labels_are_combinations_and_the_rare_are_one():
    labels = np.array([[0, 0]] * 30 + [[1, 0]] * 25 + [[0, 1]] * 5 + [[1, 1]] * 4)
    strata = MultiLabel(("a", "b")).strata(labels)
    groups = {tuple(np.unique(strata[rows])) for rows in np.split(np.arange(64), [30, 55])}
    assert len(groups) == 3
    assert len(set(strata[55:])) == 1


def test_what_can_tell_models_apart():
    assert MultiLabel(("a", "b")).varies(np.array([[1, 0], [1, 1]]))
    assert not MultiLabel(("a", "b")).varies(np.array([[1, 0], [-1, 0]]))
    assert Regression(("y",)).varies(np.array([1.0, 2.0]))
    assert not Regression(("y",)).varies(np.array([1.0, 1.0]))
    assert not Classification(("a", "b")).varies(np.array([1, 1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(Regression.of, table_of("1", "high"), ("y",)), "x.csv: row 3: 'high' is not a"),
        (partial(Regression.of, table_of("2", "2"), ("y",)), "x.csv: all 2 rows have the value 2"),
        (
            partial(Regression.of, table_of("1", "1e20", "2", "3"), ("y",)),
            "x.csv: row 3: 1e+20 is too far from the other values (1 to 3)",
        ),
        (
            partial(Regression.of, table_of("1", "2", "3", "-1e20"), ("y",)),
            "x.csv: row 5: -1e+20 is too far from the other values (1 to 3)",
        ),
        (
            partial(MultiLabel.of, table_of("1,0", "0,0"), ("a", "b")),
            "no row has a 1 in column 'b'",
        ),
        (partial(MultiLabel.of, table_of("1,0", ","), ("a", "b")), "row 3: none of its labels"),
        (partial(Classification.of, table_of("a", "a"), ("label",)), "all 2 rows have the label"),
    ],
)
def test_unfit_labels(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert message in str(caught.value)
