"""What a command prints at its end."""

import pandas as pd
import pytest

from ntjax.io.tables import SequenceTable
from ntjax.reports.console import print_results, print_sweep
from ntjax.tasks import Classification

TASK = Classification(("0", "1"))
NOTE = "2 of 30 test rows are longer than the longest training row"


@pytest.fixture
def result():
    metrics = {metric: {"value": 0.5, "low": 0.4, "high": 0.6} for metric in TASK.shown}
    return {**metrics, "n": 30, "calibrated": None}


def test_notes_of_baselines_are_printed_once(result, capsys):
    noted = result | {"notes": [NOTE]}
    print_results({"mini": result, "gradient boosting": noted, "CNN": noted}, TASK)
    assert capsys.readouterr().out.count(f"note: {NOTE}\n") == 1
    print_results({"mini": result}, TASK)
    assert "note:" not in capsys.readouterr().out


def test_a_calibration_that_does_not_help_is_said_in_one_line(result, capsys):
    print_results(
        {"mini": result | {"calibrated": result, "calibration": {"method": "identity"}}}, TASK
    )
    out = capsys.readouterr().out
    assert "mini: its probabilities stay as they are; calibrating them did not help" in out
    assert "mini, calibrated" not in out


def test_a_missing_interval_is_explained(result, capsys):
    reason = "it needs 10 rows of either class and there are 4"
    few = {"value": 0.5, "low": None, "high": None, "interval": reason}
    print_results({"mini": result | {"mcc": few, "ece": few}}, TASK)
    out = capsys.readouterr().out
    assert out.count("note:") == 1
    assert f"note: no interval of mcc: {reason}\n" in out


def test_a_sweep_prints_them_too(result, capsys):
    noted = {"CNN": result | {"notes": [NOTE]}}
    table = pd.DataFrame({"member": ["seed=0"], "failure": ["is nan"]})
    rows = SequenceTable(("a",), ("ACGT",), ("0",), "rows.csv", (1,))
    print_sweep(table, "mcc", TASK, noted, [{"test": rows, "validation": rows}])
    assert capsys.readouterr().out.count(f"note: {NOTE}\n") == 1
