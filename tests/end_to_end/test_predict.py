"""The command `python -m ntjax.predict`: files, standard input, kills, bad input."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kill_and_resume import kill_and_resume, ntjax_command, random_rows
from planted_task import MODEL, planted_rows, write_csv
from small_runs import small_run

import ntjax
from ntjax.calibration import PlattScaling
from ntjax.errors import UserError
from ntjax.predict import Options, predict
from ntjax.runs.training_rows import TrainingRows

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("predict")
    write_csv(folder / "train.csv", planted_rows(300))
    rows = TrainingRows((36, 36), (0.1, 0.9), 0.0)
    run = small_run(ntjax.load_pretrained(MODEL), "ia3")
    run = replace(run, training_rows=rows, calibration_shares=(0.5, 0.5))
    replace(run, calibration=PlattScaling(0.8, 0.1)).save(folder / "run")
    return folder


def options(here, name, out, **others):
    return Options(here / "run", str(here / name), here / out, progress=False, **others)


def test_a_file(here, capsys):
    predict(options(here, "train.csv", "scores.csv", prior="0.1"))
    found = pd.read_csv(here / "scores.csv")
    rows = pd.read_csv(here / "train.csv")
    assert found["label"].tolist() == rows["label"].tolist()  # carried through
    model = ntjax.load_run(here / "run")
    expected = model.predict(rows["sequence"].tolist(), calibrated=True, prior=0.1)[:, 1]
    np.testing.assert_allclose(found["calibrated_probability"], expected, atol=1e-5)
    assert "scores.csv (300 rows)" in capsys.readouterr().out


def test_rows_unlike_the_training_rows_are_told(here, capsys):
    (here / "odd.fa").write_text(">a\nACGTACGTAC\n>b x\n" + "AN" * 18 + "\n")
    predict(options(here, "odd.fa", "odd.csv"))
    assert "2 rows of 2 are unlike all training rows" in capsys.readouterr().out
    found = pd.read_csv(here / "odd.csv")
    assert found["name"].tolist() == ["a", "b x"]
    assert found["note"][0].startswith("10 bp (training rows: 36)")
    assert "N 0.5 (0)" in found["note"][1]


@pytest.mark.end_to_end
def test_standard_input(here):
    out = here / "piped.csv"
    given = ["--run", here / "run", "--input", "-", "--out", out]
    with (here / "train.csv").open() as rows:
        subprocess.run(ntjax_command("predict", *given), stdin=rows, check=True)
    predict(options(here, "train.csv", "unpiped.csv"))
    # Compiled with other optimisations here: the last digits differ.
    found, expected = (pd.read_csv(path) for path in (out, here / "unpiped.csv"))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-4)
    assert not list(here.glob(".piped*"))
    bad = subprocess.run(
        ntjax_command("predict", *given[:-1], here / "bad.csv"),
        input="sequence\nACGT\nAXGT\n",
        capture_output=True,
        text=True,
    )
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: standard input: row 3")
    assert not (here / "bad.csv.parts").exists()


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ({"prior": "2"}, "between 0 and 1"),
        ({"prior": "yes=0.1"}, "names 0, 1"),
        ({"average_strands": True}, "one strand alone"),
        ({"sequence_column": "seq"}, "no column 'seq'"),
        ({"model": "no_such_model"}, "no_such_model"),
        ({"input": "-", "resume": True}, "cannot be read again"),
    ],
)
def test_what_is_refused(here, others, problem):
    given = {"input": str(here / "train.csv")} | others
    with pytest.raises(UserError) as caught:
        predict(Options(run=here / "run", out=here / "refused.csv", progress=False, **given))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(here.glob("refused*"))


@pytest.mark.end_to_end
def test_killed_and_completed(here):
    rows = random_rows(here / "many.csv", 60_000)
    command = ntjax_command(
        "predict", "--run", here / "run", "--input", rows, "--out", here / "k.csv"
    )
    [one] = kill_and_resume(command, here / "k.csv", kills=1, seed=5, shortest=0.5)
    assert one.same
    assert one.repeated == 0


@cache
def peak_memory(folder: Path, rows: int) -> int:
    """Peak resident memory, in bytes, of predicting so many rows with a model of no cost."""
    path, script = folder / f"{rows}.csv", Path(__file__).parents[1] / "helpers/stub_predict.py"
    random_rows(path, rows)
    done = subprocess.run(
        [sys.executable, script, path, path.with_suffix(".out.csv")],
        check=True,
        capture_output=True,
        text=True,
    )
    with path.with_suffix(".out.csv").open() as written:
        assert sum(1 for _ in written) == rows + 1
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_memory_does_not_grow_with_the_file(tmp_path):
    assert peak_memory(tmp_path, 2_000_000) < 1.05 * peak_memory(tmp_path, 200_000)
