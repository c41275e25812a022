"""`--folds`: a cross-validation as one population."""

import json

import numpy as np
import pandas as pd
import pytest
from planted_task import planted_rows, quick, write_csv

import ntjax
from ntjax.errors import UserError
from ntjax.finetune import Options, finetune

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("quick_compilation")]


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("folds")
    write_csv(folder / "rows.csv", planted_rows(300))
    return folder


@pytest.fixture(scope="module")
def folds(here):
    finetune(Options(quick(here / "rows.csv", folds=10), here / "folds", progress=False))
    return here / "folds"


def member(folder, fold):
    return folder / "members" / f"fold={fold}"


def test_ten_folds_as_a_population_equal_ten_single_runs(here, folds):
    for fold in range(10):
        alone = here / f"alone{fold}"
        finetune(Options(quick(here / "rows.csv", folds=10, fold=fold), alone, progress=False))
        ours, single = (
            pd.read_csv(folder / "predictions.csv") for folder in (member(folds, fold), alone)
        )
        assert ours["name"].tolist() == single["name"].tolist()
        for column in ("logit", "probability"):
            np.testing.assert_allclose(ours[column], single[column], atol=1e-4)


def test_the_folds_are_summed_up(folds, capsys):
    found = json.loads((folds / "folds.json").read_text())[""]
    assert (found["folds"], found["protocol"], found["n"]) == (10, "pooled", 300)
    tables = [pd.read_csv(member(folds, fold) / "predictions.csv") for fold in range(10)]
    correct = [((t["probability"] > 0.5) == (t["label"] == 1)).mean() for t in tables]
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(np.mean(correct))
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    page = (folds / "report.html").read_text()
    assert "Test metrics over the folds" in page
    assert "over folds" in page
    assert "seeds" not in page


def test_official_folds_share_their_test_rows(here, tmp_path, capsys):
    write_csv(tmp_path / "test.csv", planted_rows(90, seed=1))
    settings = quick(
        here / "rows.csv",
        test=str(tmp_path / "test.csv"),
        folds=3,
        fold_protocol="official",
        steps=10,
    )
    finetune(Options(settings, tmp_path / "out", progress=False))
    found = json.loads((tmp_path / "out/folds.json").read_text())[""]
    assert (found["folds"], found["protocol"], found["n"]) == (3, "official", 90)
    assert len(found["metrics"]["mcc"]["of_folds"]) == 3
    assert "mean over 3 official folds, 90 test rows of " in capsys.readouterr().out


def test_a_program_gets_a_run_of_each_fold():
    _, sequences, labels = zip(*planted_rows(120), strict=True)
    own = vars(quick("rows", folds=2, steps=2)) | {"train": (sequences, labels)}
    own = {name: own[name] for name in ("train", "folds", "steps", "batch_size", "head")}
    runs = ntjax.sweep("tests/golden/rotary_gelu", vary={}, **own)
    assert sum(run.metrics["n"] for run in runs) == 120


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"fold": 1}, "--fold 1 needs --folds"),
        ({"folds": 1}, "give 2 or more"),
        ({"folds": 3, "fold": 3}, "should be at most 2"),
        ({"folds": -1}, "should be at least 0"),
    ],
)
def test_settings_that_cannot_be(here, tmp_path, settings, problem):
    with pytest.raises(UserError, match=problem):
        finetune(Options(quick(here / "rows.csv", **settings), tmp_path / "out"))


def test_one_call_trains_one_fold():
    with pytest.raises(UserError, match=r"say which with --fold, or train all of them with"):
        ntjax.fine_tune("mini", "simulated_sigma70", folds=3)
