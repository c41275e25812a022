"""The ledger says of a claim what the numbers say."""

import json

import pytest
from committed_study import copy_results

from experiments.promoters.claims import ledger
from experiments.promoters.claims.claims import CLAIMS
from experiments.promoters.claims.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    below,
    by_difference,
    by_intervals,
    by_two_errors,
)
from experiments.promoters.study import Study


def metric(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.03, HOLDS), (-0.03, -0.01, FAILS), (-0.01, 0.03, OPEN), (0.0, 0.03, OPEN)],
)
def test_more_is_what_the_interval_of_a_difference_says(low, high, verdict):
    assert by_difference(metric(low, high)) == verdict


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (metric(0.8, 0.9), metric(0.6, 0.7), HOLDS),
        (metric(0.6, 0.7), metric(0.8, 0.9), FAILS),
        (metric(0.6, 0.8), metric(0.7, 0.9), OPEN),
    ],
)
def test_more_of_two_intervals(one, other, verdict):
    assert by_intervals(one, other) == verdict


def test_what_was_not_run_is_said(tmp_path):
    study = Study(out=tmp_path)
    lines = {line["claim"]: line for line in ledger.run(study, ledger.records_of(study))["claims"]}
    assert len(lines) == len(CLAIMS)
    line = lines["the model is well calibrated"]
    assert line["detail"] == "not run: calibration"
    assert line["verdict"] == line["number"] == "–"


def test_a_corrected_p_value_can_only_take_a_verdict_back():
    assert by_difference(metric(0.01, 0.03), p=0.04) == HOLDS
    assert by_difference(metric(0.01, 0.03), p=0.05) == OPEN
    assert by_difference(metric(-0.01, 0.03), p=0.01) == OPEN


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.01, 0.04, HOLDS), (0.06, 0.09, FAILS), (0.04, 0.06, OPEN)]
)
def test_less_than_a_bound(low, high, verdict):
    assert below(metric(low, high), 0.05) == verdict


def test_two_shares_are_apart_by_two_standard_errors():
    # Of 0.5 the standard error of a difference is 0.1 with 50 rows each.
    assert by_two_errors(0.55, 0.45, 50) == OPEN
    assert by_two_errors(0.65, 0.35, 50) == HOLDS
    assert by_two_errors(0.35, 0.65, 50) == FAILS


@pytest.mark.parametrize("size", ["reduced", "full"])
def test_the_committed_ledger_is_what_the_committed_results_say(tmp_path, size):
    committed = copy_results(size, tmp_path)
    study = Study(full=size == "full", out=tmp_path)
    ledger.run(study, ledger.records_of(study))
    before, after = (json.loads((f / "ledger.json").read_text()) for f in (committed, tmp_path))
    assert after["result"] == before["result"]
    shown = (committed / "report.md").read_text()
    assert not [line for line in before["result"]["claims"] if line["detail"] not in shown]
