"""Files scored in chunks: the same as all rows at once, one by one, and by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_task import MODEL
from small_runs import small_run
from tiers import first_by_default

from ntjax import load_pretrained
from ntjax.calibration import (
    LabelwiseCalibration,
    PlattScaling,
    PredictionInterval,
    TemperatureScaling,
)
from ntjax.errors import UserError
from ntjax.io import row_stream
from ntjax.io.parts import Parts
from ntjax.io.row_stream import RowStream
from ntjax.runs.predict_file import predict_file
from ntjax.runs.strands import Strands
from ntjax.runs.training_rows import TrainingRows

CALIBRATIONS = {
    "two": (PlattScaling(0.7, -0.2), (0.5, 0.5), 0.03),
    "three": (TemperatureScaling(2.0), (0.2, 0.3, 0.5), {"none": 0.9, "weak": 0.05}),
    "labels": (LabelwiseCalibration((PlattScaling(0.7, 0.1), None)), (0.4, 0.1), {"TATA": 0.01}),
    "value": (PredictionInterval(0.9, 1.5), None, None),
}


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def model():
    return load_pretrained(MODEL)


def run_of(model, task):
    calibration, shares, _ = CALIBRATIONS[task]
    rows = TrainingRows((40, 60), (0.2, 0.8), 0.0)
    run = small_run(model, task=task)
    return replace(run, calibration=calibration, calibration_shares=shares, training_rows=rows)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """23 rows in chunks of 7, the same in whichever order the tests run."""
    random = np.random.default_rng(8)
    monkeypatch.setattr(row_stream, "MOST_ROWS", 7)
    lengths = [41, 41, 59, 30, 41, 59, *random.choice([41, 59, 80], 17)]
    rows = [("".join(random.choice(list("ACGT"), n)), f'x,"{i}"') for i, n in enumerate(lengths)]
    table = pd.DataFrame(rows, columns=["sequence", "more"])
    table["id"] = ["same"] * len(table)
    path = tmp_path / "rows.csv"
    table.to_csv(path, index=False)
    return path, table


@pytest.mark.parametrize("task", first_by_default(list(CALIBRATIONS)))
def test_the_same_as_run_predict(model, table, tmp_path, task):
    path, rows = table
    run, sequences = run_of(model, task), rows["sequence"].tolist()
    prior = CALIBRATIONS[task][2]
    out = tmp_path / "scores.csv"
    done = predict_file(run, RowStream(path, name_column="id"), Parts(out, {}), prior=prior)
    found = pd.read_csv(out, keep_default_na=False)
    assert done.rows == len(found) == len(rows)
    assert found["name"].tolist() == rows["id"].tolist()
    assert found["more"].tolist() == rows["more"].tolist()
    assert list(found)[:2] == ["name", "more"]
    values = run.predict(sequences)
    one_by_one = np.concatenate([run.predict([sequence]) for sequence in sequences[:4]])
    np.testing.assert_allclose(one_by_one, values[:4], atol=1e-5)
    if task == "value":
        np.testing.assert_allclose(found["prediction"], values, rtol=1e-5)
        np.testing.assert_allclose(found["high"] - found["prediction"], 1.5, rtol=1e-6)
        np.testing.assert_allclose(found["prediction"] - found["low"], 1.5, rtol=1e-6)
    else:
        shifted = run.predict(sequences, calibrated=True, prior=prior)
        for name, wanted in {"probability": values, "calibrated_probability": shifted}.items():
            columns = [name] if task == "two" else [f"{name}[{c}]" for c in run.classes]
            expected = wanted[:, 1:] if task == "two" else wanted
            np.testing.assert_allclose(found[columns], expected, atol=1e-5)
    if task in ("two", "three"):
        called = np.array(run.classes)[shifted.argmax(axis=1)]
        assert found["call"].astype(str).tolist() == called.tolist()
    notes = [len(s) > 60 or len(s) < 40 for s in sequences]
    assert (found["note"] != "").tolist() == notes
    assert done.unlike == sum(notes)


def test_going_on_gives_the_same_bytes(model, table, tmp_path):
    path, _ = table
    run, first, second = run_of(model, "two"), tmp_path / "a.csv", tmp_path / "b.csv"
    predict_file(run, RowStream(path), Parts(first, {}))
    predict_file(run, RowStream(path), Parts(second, {}))
    again = Parts(tmp_path / "c.csv", {})
    original, calls = Parts.write, []

    def stops(self, number, frame):
        if number == 2 and 2 not in calls:
            calls.append(number)
            raise KeyboardInterrupt
        calls.append(number)
        original(self, number, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            predict_file(run, RowStream(path), again)
        assert not again.out.exists()
        predict_file(run, RowStream(path), Parts(again.out, {}, resume=True))
    assert calls == [0, 1, 2, 2, 3]
    assert first.read_bytes() == second.read_bytes() == again.out.read_bytes()


def test_columns_that_the_table_has_itself(model, table, tmp_path):
    path, rows = table
    rows.assign(probability=1).to_csv(path, index=False)
    with pytest.raises(UserError, match="'probability', which the predictions have too"):
        predict_file(run_of(model, "two"), RowStream(path), Parts(tmp_path / "a.csv", {}))
    assert not (tmp_path / "a.csv.parts").exists()


def test_a_row_that_is_too_long(model, table, tmp_path):
    path, rows = table
    rows.loc[9, "sequence"] = "ACGT" * 5000
    rows.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"rows\.csv: row 11 has .* tokens, more than the model's"):
        predict_file(run_of(model, "two"), RowStream(path), Parts(tmp_path / "a.csv", {}))


def test_a_calibration_of_other_strands(model, table, tmp_path):
    path, _ = table
    run = replace(run_of(model, "two"), strands=Strands("same", average=True))
    with pytest.raises(UserError, match="calibrated on outputs of both strands"):
        predict_file(
            run, RowStream(path), Parts(tmp_path / "a.csv", {}), prior=0.1, average_strands=False
        )
    predict_file(run, RowStream(path), Parts(tmp_path / "a.csv", {}), average_strands=False)
    found = pd.read_csv(tmp_path / "a.csv")
    assert found["calibrated_probability"].isna().all()
    assert found["probability"].notna().all()


def test_a_run_of_an_earlier_version_has_no_notes(model, table, tmp_path):
    path, _ = table
    run = replace(run_of(model, "two"), training_rows=None)
    done = predict_file(run, RowStream(path), Parts(tmp_path / "a.csv", {}))
    assert done.unlike is None
    assert "note" not in pd.read_csv(tmp_path / "a.csv")
