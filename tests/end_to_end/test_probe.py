"""`python -m ntjax.probe` on real files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from planted_task import MODEL, planted_rows, write_csv
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef
from sklearn.preprocessing import StandardScaler

import ntjax
from ntjax.errors import UserError
from ntjax.probe import Options, probe

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("quick_compilation")]


ROWS = 120


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    write_csv(folder / "rows.csv", planted_rows(ROWS))
    write_csv(folder / "test.csv", planted_rows(90, seed=1))
    return folder


def options(here, name, **given):
    settings = {"model": str(MODEL), "folds": 3, "probes": "logistic", "progress": False}
    return Options(train=str(here / "rows.csv"), out=here / name, **settings | given)


@pytest.fixture(scope="module")
def content(here):
    return probe(options(here, "first", probes="logistic,mlp"))


def test_every_layer_pooling_and_probe_has_its_rows(here, content):
    table = pd.read_csv(here / "first/probe.csv")
    layers = ntjax.load_pretrained(MODEL).config.num_layers + 1
    assert (
        len(table) == (2 * 2 * layers + 2) * 2 * 3
    )  # networks, poolings, baselines; probes; folds
    assert set(table["network"]) == {str(MODEL), f"{MODEL}, untrained", "sequence"}
    assert table.groupby(["network", "layer", "pooling", "probe"])["test_rows"].sum().eq(ROWS).all()
    assert (here / "first/probe.png").stat().st_size > 10_000
    assert not (here / "first.parts").exists()


def test_no_metric_without_rows_groups_and_interval(content):
    for one in content["results"] + content["chosen"]:
        assert one["n"] == ROWS
        assert 0 < one["groups"] <= ROWS
        for metric in one["metrics"].values():
            assert metric["low"] is not None or metric["interval"]


def test_a_fold_equals_scikit_learn_on_the_embeddings_of_the_model(here, content):
    table = pd.read_csv(here / "first/probe.csv")
    rows = planted_rows(ROWS)
    labels = np.array([int(label) for _, _, label in rows])
    model = ntjax.load_pretrained(MODEL)
    line = table[
        (table["network"] == str(MODEL))
        & (table["layer"] == 2)
        & (table["pooling"] == "mean")
        & (table["probe"] == "logistic")
    ]
    embeddings = model.embed([sequence for _, sequence, _ in rows], layer=2)
    folds = ntjax_folds(here, labels, rows)
    for _, one in line.iterrows():
        test = folds == one["fold"]
        scale = StandardScaler().fit(embeddings[~test])
        fitted = LogisticRegression(C=float(one["setting"]), max_iter=1000).fit(
            scale.transform(embeddings[~test]), labels[~test]
        )
        called = fitted.predict(scale.transform(embeddings[test]))
        assert one["mcc"] == pytest.approx(matthews_corrcoef(labels[test], called), abs=0.02)


def ntjax_folds(here, labels, rows):
    from ntjax.datasets.folds import grouped_folds

    return grouped_folds([sequence for _, sequence, _ in rows], labels, 3, seed=0)


def test_a_second_run_reads_the_embeddings_that_were_kept(here, content):
    again = probe(options(here, "again", baselines=False))
    for name, one in again["costs"]["seconds_embedding"].items():
        assert one["from_cache"]
        assert one["seconds"] < content["costs"]["seconds_embedding"][name]["seconds"]
    first = {
        (one["network"], one["layer"], one["pooling"]): one["metrics"]
        for one in content["results"]
        if one["probe"] == "logistic"
    }
    for one in again["results"]:
        assert one["metrics"] == first[one["network"], one["layer"], one["pooling"]]


def test_a_test_file_is_scored_once(here):
    found = probe(options(here, "tested", test=str(here / "test.csv"), untrained=False))
    assert found["protocol"] == "test set"
    assert {one["n"] for one in found["results"]} == {90}


def test_killed_and_resumed_it_gives_the_same(here, content):
    command = [
        *(sys.executable, "-m", "ntjax.probe", "--model", str(MODEL)),
        *("--train", str(here / "rows.csv"), "--folds", "3", "--probes", "logistic"),
        *("--no-progress", "--out", str(here / "killed")),
    ]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
    parts = here / "killed.parts"
    while running.poll() is None and len(list(parts.glob("*.npz"))) < 3:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npz")}
    assert len(kept) >= 3
    with pytest.raises(UserError, match="add --resume"):
        probe(options(here, "killed"))
    with pytest.raises(UserError, match="cannot resume: folds changed"):
        probe(options(here, "killed", folds=4, resume=True))
    assert {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npz")} == kept
    probe(options(here, "killed", resume=True))
    first, second = (pd.read_csv(here / name / "probe.csv") for name in ("first", "killed"))
    first = first[first["probe"] == "logistic"].reset_index(drop=True)
    first["setting"] = first["setting"].astype(float)  # beside the perceptron it was text
    columns = ["inner_log_loss", "mcc", "accuracy", "auroc"]
    keys = first.columns.difference(columns)
    pd.testing.assert_frame_equal(first[keys], second[keys])
    np.testing.assert_allclose(first[columns], second[columns], atol=1e-3)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"probes": "forest"}, "--probes forest: should be logistic or mlp"),
        ({"pooling": "max"}, "--pooling max: should be mean or cls"),
        ({"layers": "9"}, "layer 9 does not exist"),
        ({"folds": 1}, "--folds is 1: give 2 or more"),
        ({"folds": 150}, "too few to split|no row of class|no split"),
    ],
)
def test_what_cannot_be_probed(here, given, problem):
    with pytest.raises(UserError, match=problem):
        probe(options(here, "refused", **given))
    assert not (here / "refused").exists()


def test_a_misspelt_data_set_is_suggested(here):
    with pytest.raises(UserError, match="did you mean 'ecoli_promoters'"):
        probe(Options(train="ecoli_promotors", out=here / "refused"))


def test_results_command_line(here, content, capsys):
    saved = json.loads((here / "first/probe.json").read_text())
    assert saved["costs"]["multiplications_ia3_a_pass"] > 0
