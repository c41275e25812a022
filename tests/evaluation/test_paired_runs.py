"""Two runs on the same test rows: paired intervals, what is claimed, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from written_runs import write_run

from ntjax.errors import UserError
from ntjax.evaluation.paired_runs import METRICS, NOT_TOLD_APART, compare
from ntjax.metrics.bootstrap import multiplicities, numbered_groups
from ntjax.metrics.significance import holm
from ntjax.runs.results import read_results

KINDS = ("two", "three", "labels", "value")


def results(folder, kind="two", name="run", **options):
    folder = folder / f"{kind}-{name}"
    return read_results(write_run(folder, kind, baselines=False, calibrated=False, **options))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def pair(folder):
    weak = results(folder, name="weak", rows=400, signal=0.4, seed=1)
    strong = results(folder, name="strong", rows=400, signal=0.9, seed=2)
    return {"weak": weak, "strong": strong}


@pytest.mark.parametrize("kind", KINDS)
def test_values_differ_as_the_runs_own_metrics_do(folder, kind):
    runs = {name: results(folder, kind, name, rows=100, seed=n) for n, name in enumerate("abc")}
    found = compare(runs, resamples=50)
    assert list(found.differences) == ["b", "c"]
    for name, differences in found.differences.items():
        assert tuple(differences) == METRICS[found.runs["a"].kind]
        for metric, one in differences.items():
            own, first = (runs[run].metrics[metric]["value"] for run in (name, "a"))
            assert one["value"] == pytest.approx(own - first, abs=1e-9), metric
    assert (found.rows, found.groups) == (100, 50)


def test_the_interval_equals_one_recomputed_row_by_row(pair):
    resamples, seed = 60, 5
    found = compare(pair, resamples=resamples, seed=seed).differences["strong"]
    labels = (np.array(pair["weak"].predictions["label"]) == "reverse").astype(int)
    p = {name: run.numbers("probability") for name, run in pair.items()}
    groups = numbered_groups(400, np.arange(400) // 2)
    [weights] = multiplicities(groups, 200, resamples, np.random.default_rng(seed))
    scores = {
        "auroc": sk.roc_auc_score,
        "accuracy": lambda y, q: sk.accuracy_score(y, q > 0.5),
        "mcc": lambda y, q: sk.matthews_corrcoef(y, q > 0.5),
        "brier": sk.brier_score_loss,
    }
    for metric, score in scores.items():
        drawn = []
        for counts in weights.astype(int):
            rows = np.repeat(np.arange(400), counts)
            assert (counts[0::2] == counts[1::2]).all()  # related rows go together
            drawn.append(
                score(labels[rows], p["strong"][rows]) - score(labels[rows], p["weak"][rows])
            )
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert (found[metric]["low"], found[metric]["high"]) == pytest.approx((low, high), abs=1e-9)


def test_what_is_claimed_is_corrected_for_the_number_of_comparisons(pair, folder):
    runs = pair | {"same": results(folder, name="same", rows=400, signal=0.4, seed=3)}
    found = compare(runs)
    every = [one for of_run in found.differences.values() for one in of_run.values()]
    assert found.comparisons == len(every) == 8
    corrected = holm([one["p"] for one in every])
    assert [one["corrected"] for one in every] == pytest.approx(corrected.tolist())
    for of_run in found.differences.values():
        for metric, one in of_run.items():
            if one["low"] <= 0 <= one["high"] or one["corrected"] >= 0.05:
                assert one["verdict"] == NOT_TOLD_APART
            else:
                higher = one["value"] > 0
                assert one["verdict"] == ("better" if higher != (metric == "brier") else "worse")
    assert found.differences["strong"]["auroc"]["verdict"] == "better"
    assert found.differences["same"]["auroc"]["verdict"] == NOT_TOLD_APART


def test_many_comparisons_can_still_be_told(pair):
    many = pair | {f"copy{n}": pair["strong"] for n in range(9)}
    found = compare(many)
    assert found.comparisons == 40
    assert found.resamples == 4000
    assert found.differences["copy8"]["auroc"]["verdict"] == "better"


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_not_told_from_itself(folder, kind):
    run = results(folder, kind, "itself", rows=400)
    for one in compare({"a": run, "b": run}, resamples=100).differences["b"].values():
        assert (one["value"], one["low"], one["high"], one["p"]) == (0, 0, 0, 1)
        assert one["verdict"] == NOT_TOLD_APART


def test_calls_by_a_threshold_are_those_of_the_run(folder):
    runs = {name: results(folder, name=f"cut-{name}", seed=n) for n, name in enumerate("ab")}
    path = folder / "two-cut-b" / "adapter.json"
    described = json.loads(path.read_text())
    described["task"]["threshold"] = 2.0
    path.write_text(json.dumps(described))
    runs["b"] = read_results(path.parent)
    labels = np.array(runs["b"].predictions["label"]) == "reverse"
    right = (runs["b"].numbers("logit") > 2.0) == labels
    found = compare(runs, resamples=10).differences["b"]["accuracy"]["value"]
    assert found == pytest.approx(right.mean() - runs["a"].metrics["accuracy"]["value"])


def test_too_few_rows_have_no_interval(folder):
    runs = {
        name: results(folder, name=f"few-{name}", rows=60, seed=n) for n, name in enumerate("ab")
    }
    for one in compare(runs).differences["b"].values():
        assert one["low"] is one["high"] is one["p"] is one["corrected"] is None
        assert one["verdict"] == NOT_TOLD_APART
        assert "it needs 50 groups of related rows of either class" in one["interval"]


def test_nearly_faultless_runs_have_no_interval(folder):
    """Most resamples hold no error at all: an interval would be far too narrow."""
    runs = {
        name: results(folder, name=f"good-{name}", rows=400, signal=5.0, seed=n)
        for n, name in enumerate("ab")
    }
    for one in compare(runs).differences["b"].values():
        assert one["low"] is None
        assert one["verdict"] == NOT_TOLD_APART
        assert "it needs 10 groups of related rows that either run calls wrongly" in one["interval"]


def test_other_test_rows_are_refused(folder, pair):
    first = pair["weak"]
    changed = {
        "it has 200 test rows, not 400": results(folder, name="fewer"),
        "it predicts none, weak, strong": results(folder, "three", "other", rows=400),
        "the column name of predictions.csv differs": results(
            folder, name="names", rows=400, names=[f"x{n}" for n in range(400)]
        ),
        "the SHA-256 of sequences and groups differs": results(
            folder, name="sequences", rows=400, sha256="other"
        ),
    }
    for problem, other in changed.items():
        with pytest.raises(UserError, match="was not scored on the test rows of first") as error:
            compare({"first": first, "second": other})
        assert problem in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="give two folders or more"):
        compare({"first": first})


def test_labels_in_another_order_are_refused(folder, pair):
    other = results(folder, name="order", rows=400)
    other.predictions["label"][:] = other.predictions["label"][::-1]
    with pytest.raises(UserError, match=r"the column label of predictions\.csv differs"):
        compare({"first": pair["weak"], "second": other})


def test_without_groups_rows_count_singly_and_that_is_said(folder):
    runs = {}
    for number, name in enumerate("ab"):
        run = write_run(folder / f"old-{name}", rows=200, seed=number)
        frame = pd.read_csv(run / "splits.csv").drop(columns="group")
        frame.to_csv(run / "splits.csv", index=False)
        runs[name] = read_results(run)
    found = compare(runs, resamples=50)
    assert found.groups == found.rows == 200
    assert any("count single rows" in note for note in found.notes)
