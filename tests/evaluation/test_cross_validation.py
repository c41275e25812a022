"""What folds show together: beside a computation by hand, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from scipy.stats import t as student_t
from sklearn.metrics import matthews_corrcoef

from ntjax.errors import UserError
from ntjax.evaluation.cross_validation import against_published, cross_validated
from ntjax.metrics.classification import evaluate
from ntjax.metrics.significance import corrected_resampled_t
from ntjax.runs.results import Results


def fold(labels, probabilities, groups):
    both = np.stack([1 - probabilities, probabilities], axis=1)
    predictions = pd.DataFrame(
        {"name": "row", "label": labels.astype(str), "probability": probabilities}
    )
    predictions = {name: predictions[name].tolist() for name in predictions}
    predictions["probability"] = np.asarray(probabilities)
    splits = {"part": ["test"] * len(labels), "group": list(map(str, groups))}
    return Results(
        config={"classes": ["0", "1"]},
        description={"task": {"kind": "classification"}, "classes": ["0", "1"]},
        metrics=evaluate(labels, both, groups=groups, bootstrap=200),
        history=[],
        reliability={},
        predictions=predictions,
        splits=splits,
        baselines={},
    )


def rows_of(random, rows=300, groups=150, folds=5):
    labels = random.integers(0, 2, rows)
    group = random.integers(0, groups, rows)
    effect = random.normal(0, 0.5, groups)[group]
    scores = [labels + effect + random.normal(0, 1, rows) for _ in range(folds)]
    return labels, [1 / (1 + np.exp(-(score - 0.5))) for score in scores], group


@pytest.mark.slow
def test_official_folds_beside_a_bootstrap_by_hand():
    random = np.random.default_rng(0)
    labels, probabilities, groups = rows_of(random)
    found = cross_validated([fold(labels, p, groups) for p in probabilities], "official")
    calls = [p > 0.5 for p in probabilities]
    each = [matthews_corrcoef(labels, call) for call in calls]
    mcc = found["metrics"]["mcc"]
    np.testing.assert_allclose(mcc["of_folds"], each)
    np.testing.assert_allclose([mcc["value"], mcc["sd"]], [np.mean(each), np.std(each, ddof=1)])
    assert (found["n"], found["groups"]) == (300, len(np.unique(groups)))

    numbers, members = np.unique(groups), {g: np.flatnonzero(groups == g) for g in groups}
    means = {"mcc": [], "auroc": []}
    for _ in range(2000):
        rows = np.concatenate([members[g] for g in random.choice(numbers, len(numbers))])
        own = labels[rows]
        # Of two classes the MCC is Pearson's correlation, and the AUROC is Mann and Whitney's U.
        means["mcc"].append(np.mean([np.corrcoef(own, call[rows])[0, 1] for call in calls]))
        ranks = [rankdata(p[rows])[own == 1].mean() for p in probabilities]
        positive = own.sum()
        means["auroc"].append((np.mean(ranks) - (positive + 1) / 2) / (len(own) - positive))
    for metric, drawn in means.items():
        of_metric = found["metrics"][metric]
        by_hand = np.percentile(drawn, [2.5, 97.5])
        np.testing.assert_allclose([of_metric["low"], of_metric["high"]], by_hand, atol=0.012)


def test_pooled_folds_beside_the_formula():
    random = np.random.default_rng(1)
    folds = []
    for _ in range(10):
        labels, [probabilities], groups = rows_of(random, 100, 60, folds=1)
        folds.append(fold(labels, probabilities, groups))
    found = cross_validated(folds, "pooled")
    each = np.array([one.metrics["auroc"]["value"] for one in folds])
    half = student_t.ppf(0.975, 9) * np.sqrt((1 / 10 + 1 / 9) * each.var(ddof=1))
    auroc = found["metrics"]["auroc"]
    ends = each.mean() - half, each.mean() + half
    np.testing.assert_allclose((auroc["low"], auroc["high"]), ends)
    assert found["n"] == 1000
    assert found["groups"] == sum(len(np.unique(one.splits["group"])) for one in folds)


def test_a_metric_undefined_in_a_fold_has_no_mean():
    random = np.random.default_rng(2)
    labels, probabilities, groups = rows_of(random, folds=2)
    alike = fold(np.ones_like(labels), probabilities[0], groups)
    found = cross_validated([fold(labels, probabilities[1], groups), alike], "pooled")
    auroc = found["metrics"]["auroc"]
    assert (auroc["value"], auroc["low"]) == (None, None)
    assert auroc["interval"] == "it is not defined in fold 1"


def test_equal_folds_have_an_interval_of_their_test_rows_and_none_of_their_spread():
    labels, [probabilities], groups = rows_of(np.random.default_rng(6), folds=1)
    folds = [fold(labels, probabilities, groups)] * 3
    official = cross_validated(folds, "official")["metrics"]["mcc"]
    assert official["low"] < official["value"] < official["high"]
    assert "interval" not in official
    pooled = cross_validated(folds, "pooled")["metrics"]["mcc"]
    assert (pooled["value"], pooled["low"]) == (official["value"], None)
    assert pooled["interval"] == "it is the same in every fold, which shows no spread"


def test_official_folds_must_share_their_test_rows():
    random = np.random.default_rng(3)
    folds = [
        fold(labels, p, groups)
        for labels, [p], groups in (rows_of(random, folds=1) for _ in range(2))
    ]
    with pytest.raises(UserError, match="fold 1 was not scored on the test rows of fold 0"):
        cross_validated(folds, "official")
    with pytest.raises(UserError, match="two or more"):
        cross_validated(folds[:1], "pooled")


@pytest.mark.parametrize(
    ("low", "high", "published", "verdict"),
    [
        (0.81, 0.85, 0.80, "outperforms"),
        (0.70, 0.79, 0.80, "falls short"),
        (0.79, 0.82, 0.80, "matches"),
        (0.70, 0.85, 0.80, "not told apart"),
        (None, None, 0.80, "not told apart"),
        (0.79, 0.82, None, "no figure"),
    ],
)
def test_beside_a_published_figure(low, high, published, verdict):
    assert against_published({"value": 0.8, "low": low, "high": high}, published) == verdict


@pytest.mark.slow
def test_the_interval_over_pooled_folds_covers():
    """A classifier of two normal classes, cross-validated, beside its accuracy on new rows."""
    random, folds, rows, sets = np.random.default_rng(4), 10, 200, 600
    held = 0
    for _ in range(sets):
        labels = np.tile([0, 1], rows // 2)
        values = random.normal(size=(rows, 5)) + 0.4 * labels[:, None]
        scores, truths = [], []
        for number in range(folds):
            test = np.arange(rows) % (2 * folds) // 2 == number
            means = [values[~test & (labels == label)].mean(axis=0) for label in (0, 1)]
            direction, middle = means[1] - means[0], (means[1] + means[0]) / 2
            called = (values[test] - middle) @ direction > 0
            scores.append((called == labels[test]).mean())
            new = random.integers(0, 2, 2000)
            drawn = random.normal(size=(2000, 5)) + 0.4 * new[:, None]
            truths.append((((drawn - middle) @ direction > 0) == new).mean())
        interval = corrected_resampled_t(scores, np.zeros(folds), folds - 1, 1)
        held += interval.low <= np.mean(truths) <= interval.high
    assert held / sets >= 0.93
