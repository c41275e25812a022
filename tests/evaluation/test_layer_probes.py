"""Probes beside scikit-learn by hand, and by simulation where nothing is to be found."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, matthews_corrcoef, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from ntjax.errors import UserError
from ntjax.evaluation.layer_probes import SETTINGS, nested_folds, probes
from ntjax.evaluation.probe_summary import Features, Rows, summary


def made(random, rows=240, dim=12, effect=1.0):
    labels = np.tile([0, 1], rows // 2)
    features = random.normal(size=(rows, dim))
    features[:, 0] += effect * labels
    return features, labels, np.arange(rows) // 2 * 1, np.arange(rows) // 2 % 4


def test_nested_logistic_regression_by_hand():
    features, labels, groups, of_row = made(np.random.default_rng(0))
    folds = nested_folds(labels, groups, of_row, seed=3)
    found = list(probes(features, labels, folds, ["logistic"]))
    for fold, one in enumerate(found):
        train, test = np.flatnonzero(of_row != fold), np.flatnonzero(of_row == fold)
        split = StratifiedGroupKFold(3, shuffle=True, random_state=3)
        losses = {}
        for penalty in SETTINGS["logistic"]:
            own = []
            for fit, held in split.split(train, labels[train], groups[train]):
                fit, held = train[fit], train[held]
                scale = StandardScaler().fit(features[fit])
                model = LogisticRegression(C=penalty).fit(
                    scale.transform(features[fit]), labels[fit]
                )
                predicted = model.predict_proba(scale.transform(features[held]))
                own.append(log_loss(labels[held], predicted))
            losses[penalty] = np.mean(own)
        best = min(losses, key=losses.get)
        assert one.setting == best
        assert one.inner_loss == pytest.approx(losses[best], abs=1e-6)
        scale = StandardScaler().fit(features[train])
        model = LogisticRegression(C=best).fit(scale.transform(features[train]), labels[train])
        by_hand = model.predict_proba(scale.transform(features[test]))
        np.testing.assert_allclose(one.probabilities, by_hand, atol=1e-4)


def test_related_rows_stay_together():
    _, labels, groups, of_row = made(np.random.default_rng(0))
    for fold in nested_folds(labels, groups, of_row, seed=0):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        for fit, held in fold.inner:
            assert not set(groups[fit]) & set(groups[held])
            assert set(fit) | set(held) <= set(fold.train)


def rows_and_probes(random, layers, kinds=("logistic",)):
    _, labels, groups, of_row = made(random)
    rows = Rows(labels, groups, nested_folds(labels, groups, of_row, seed=0))
    found = {
        Features("net", layer, "mean"): list(probes(features, labels, rows.folds, kinds))
        for layer, features in layers(labels).items()
    }
    return rows, found


def test_the_layer_that_knows_is_chosen_and_the_numbers_are_those_of_its_predictions():
    random = np.random.default_rng(1)

    def layers(labels):
        noise = {layer: random.normal(size=(len(labels), 12)) for layer in range(4)}
        noise[2][:, 0] += 2.0 * labels
        return noise

    rows, found = rows_and_probes(random, layers, ("logistic", "mlp"))
    result = summary(found, rows)
    assert [one["layers"] for one in result["chosen"]] == [[2, 2, 2, 2]] * 2
    first = result["results"][2]
    assert (first["layer"], first["probe"], first["n"], first["groups"]) == (
        2,
        "logistic",
        240,
        120,
    )
    by_hand = [
        (
            matthews_corrcoef(rows.labels[fold.test], own.probabilities[:, 1] > 0.5),
            roc_auc_score(rows.labels[fold.test], own.probabilities[:, 1]),
        )
        for fold, own in zip(rows.folds, found[Features("net", 2, "mean")][:4], strict=True)
    ]
    for metric, values in zip(("mcc", "auroc"), np.transpose(by_hand), strict=True):
        np.testing.assert_allclose(first["metrics"][metric]["of_folds"], values)
        assert first["metrics"][metric]["value"] == pytest.approx(values.mean())
    difference = result["chosen"][0]["chosen_minus_last"]
    assert difference["low"] > 0
    others = result["chosen"][0]["layers_minus_last"]
    assert others["2"]["corrected"] < 0.05 < others["0"]["corrected"]


def test_one_test_set_has_intervals_of_its_rows():
    features, labels, _, _ = made(np.random.default_rng(2), rows=600, effect=1.5)
    of_row = np.repeat([-1, 0], 300)
    groups = np.arange(600)
    rows = Rows(labels, groups, nested_folds(labels, groups, of_row, seed=0))
    weak = np.random.default_rng(3).normal(size=features.shape)
    found = {
        Features("net", layer, "mean"): list(probes(values, labels, rows.folds, ["logistic"]))
        for layer, values in ((0, weak), (1, features))
    }
    result = summary(found, rows)
    assert result["results"][1]["n"] == 300
    mcc = result["results"][1]["metrics"]["mcc"]
    assert mcc["low"] < mcc["value"] < mcc["high"]
    assert result["chosen"][0]["layers"] == [1]
    assert result["chosen"][0]["chosen_minus_last"]["interval"] == "the last layer is chosen"
    assert result["chosen"][0]["layers_minus_last"]["0"]["high"] < 0


def test_sparse_counts_are_read_as_dense_ones_are():
    features, labels, groups, of_row = made(np.random.default_rng(4))
    counts = np.rint(np.abs(features) * 2)
    folds = nested_folds(labels, groups, of_row, seed=0)
    one, other = (
        list(probes(matrix, labels, folds, ["logistic"]))
        for matrix in (csr_array(counts), csr_array(counts))
    )
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_a_class_of_too_few_groups_is_refused():
    labels = np.array([0] * 40 + [1] * 4)
    with pytest.raises(UserError, match="class 1 has 2 groups of related training rows"):
        nested_folds(labels, np.arange(44), np.arange(44) % 2, seed=0)


@pytest.mark.slow
def test_choosing_a_layer_of_noise_gains_nothing():
    """The best of five layers of noise, chosen by the test rows, would be well above 0.5."""
    random = np.random.default_rng(5)
    reached, best = [], []
    for _ in range(8):
        rows, found = rows_and_probes(
            random, lambda labels: {k: random.normal(size=(len(labels), 4)) for k in range(5)}
        )
        result = summary(found, rows)
        reached.append(result["chosen"][0]["metrics"]["auroc"]["value"])
        best.append(max(one["metrics"]["auroc"]["value"] for one in result["results"]))
    error = np.std(reached, ddof=1) / np.sqrt(len(reached))
    assert abs(np.mean(reached) - 0.5) < 3 * max(error, 0.01)
    assert np.mean(best) > np.mean(reached) + 0.02
