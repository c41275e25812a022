"""Each verdict turns when the numbers that it should rest on are turned."""

import json
from copy import deepcopy
from functools import reduce

import pytest

from experiments.promoters.claims.claims import CLAIMS, PRETRAINING
from experiments.promoters.claims.verdicts import FAILS, HOLDS, OPEN
from experiments.promoters.study import HERE

RESULTS = HERE / "reduced"
pytestmark = pytest.mark.skipif(
    not (RESULTS / "ledger.json").exists(), reason="no results of the reduced study are committed"
)
CLEAN = ("protocols", "clean")
HIGH, LOW, BOTH = (0.90, 0.95), (0.50, 0.55), (0.52, 0.93)
UP, DOWN, NONE = (0.01, 0.03), (-0.03, -0.01), (-0.01, 0.03)


@pytest.fixture(scope="module")
def measured():
    records = {p.stem: json.loads(p.read_text())["result"] for p in RESULTS.glob("*.json")}
    records[PRETRAINING] = json.loads((HERE / PRETRAINING / f"{PRETRAINING}.json").read_text())[
        "results"
    ]
    return records


def verdict(records, words):
    [claim] = [claim for claim in CLAIMS if words in claim.text]
    return claim.finding(records).verdict


def changed(records, *changes):
    records = deepcopy(records)
    for (*path, last), value in changes:
        place = reduce(lambda found, key: found[key], path, records)
        if isinstance(value, tuple):
            place[last] |= dict(zip(("low", "high"), value, strict=True))
        else:
            place[last] = value
    return records


@pytest.mark.parametrize(
    ("added", "p", "expected"), [(UP, 0.01, HOLDS), (DOWN, 0.01, FAILS), (UP, 0.2, OPEN)]
)
def test_the_second_stage_is_judged_by_what_it_adds(measured, added, p, expected):
    total = max(measured["stages"]["protocols"]["clean"]["totals"], key=int)
    arms = ("stages", *CLEAN, "totals", total)
    against = (*arms, "test", "species, then E. coli", "accuracy", "difference")
    for other in (UP, DOWN):  # what the first stage adds has no say
        records = changed(
            measured,
            ((*arms, "second stage", "accuracy"), added),
            ((*arms, "p", "second stage"), p),
            (against, other),
        )
        assert verdict(records, "a second stage") == expected


@pytest.mark.parametrize(
    ("gain", "sd", "expected"),
    [
        (UP, 0.01, HOLDS),
        (DOWN, 0.01, FAILS),
        (NONE, 0.01, OPEN),
        (UP, None, f"{HOLDS}, of one seed"),
    ],
)
def test_more_steps_are_judged_where_both_were_trained(measured, gain, sd, expected):
    stages = ("stages", *CLEAN)
    low, high = gain
    found = {"accuracy": {"value": (low + high) / 2, "low": low, "high": high}}
    spread = {"sd": sd}
    records = changed(
        measured,
        (
            (*stages, "totals"),
            {"1000": {}, "10000": {"test": {"E. coli only": {"accuracy": spread}}}},
        ),
        ((*stages, "more steps"), {"E. coli only": found}),
    )
    assert verdict(records, "10,000 steps") == expected
    # The report's own numbers have no say then; where one length was trained, nothing else has.
    assert verdict(measured, "10,000 steps") == f"by its own numbers: {HOLDS}"


@pytest.mark.parametrize(
    ("difference", "expected"), [(UP, f"{HOLDS}: better"), (DOWN, FAILS), (NONE, OPEN)]
)
def test_lora_against_all_weights(measured, difference, expected):
    records = changed(measured, (("methods", *CLEAN, "lora_minus_full"), difference))
    assert verdict(records, "LoRA performs") == expected


@pytest.mark.parametrize(
    ("trained", "untrained", "expected"),
    [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (HIGH, BOTH, OPEN)],
)
def test_transfer_is_judged_in_three_ways(measured, trained, untrained, expected):
    runs = ("comparison", "runs")
    records = changed(
        measured,
        ((*runs, "mini, clean", "test", "accuracy"), trained),
        ((*runs, "mini, untrained, clean", "test", "accuracy"), untrained),
        *(
            ((PRETRAINING, "genomic", "methods", f"{name}, full", "auroc"), values)
            for name, values in (("mini", trained), ("untrained", untrained))
        ),
    )
    said = verdict(records, "transfer learning").split("; ")
    assert said[0] == f"LoRA: {expected}"
    assert said[2] == f"all weights, windows of the genome: {expected}"
    assert said[1] == verdict(measured, "transfer learning").split("; ")[1]


@pytest.mark.parametrize(
    ("output", "inputs", "expected"), [(HIGH, LOW, HOLDS), (LOW, HIGH, FAILS), (HIGH, BOTH, OPEN)]
)
def test_embeddings_before_fine_tuning(measured, output, inputs, expected):
    numbers = ("embeddings", "numbers")
    records = changed(
        measured,
        ((*numbers, "output, before fine-tuning", "linear_probe"), output),
        ((*numbers, "input: one-hot k-mers", "linear_probe"), inputs),
        ((*numbers, "input: bag of k-mers", "linear_probe"), inputs),
    )
    said = verdict(records, "output embeddings").split("; ")
    assert said[0] == f"before fine-tuning: {expected}"


@pytest.mark.parametrize(("probe", "expected"), [(HIGH, FAILS), (BOTH, OPEN)])
def test_counts_of_kmers(measured, probe, expected):
    place = ("embeddings", "numbers", "input: bag of k-mers", "linear_probe")
    assert verdict(changed(measured, (place, probe)), "presence of k-mers") == expected


@pytest.mark.parametrize(
    ("error", "expected"), [((0.01, 0.03), HOLDS), ((0.06, 0.09), FAILS), ((0.03, 0.07), OPEN)]
)
def test_calibration_here_and_where_promoters_are_rare(measured, error, expected):
    prior = next(iter(measured["calibration"]["priors"]))
    here = ("calibration", *CLEAN, "Platt", "ECE")
    rare = ("calibration", "priors", prior, "measures", "Platt, as it was fitted", "ECE")
    assert f"{expected} after Platt" in verdict(changed(measured, (here, error)), "calibrated")
    assert f"{expected} where" in verdict(changed(measured, (rare, error)), "calibrated")


@pytest.mark.parametrize(("above", "expected"), [(UP, HOLDS), (DOWN, FAILS), (NONE, OPEN)])
def test_salience_and_curated_promoters(measured, above, expected):
    place = ("salience", "planted", "precision", "attention (the report's)", "above_position_only")
    assert verdict(changed(measured, (place, above)), "salience").endswith(expected)
    records = changed(
        measured,
        (("curated", "test", "curated", "accuracy", "difference"), above),
        (("curated", "p", "curated"), 0.01),
    )
    assert verdict(records, "curated") == f"better: {expected}"


@pytest.mark.parametrize(
    ("precision", "expected"), [((0.3, 0.4), HOLDS), ((0.0, 0.001), FAILS), ((0.0, 0.4), OPEN)]
)
def test_a_scan_is_judged_against_chance(measured, precision, expected):
    model = measured["scan"]["model"]
    place = ("scan", "results", model, "test", "precision")
    records = changed(measured, (place, precision), (("scan", "chance"), 0.01))
    assert verdict(records, "along a genome").endswith(expected)


def test_the_dropout(measured):
    against = {
        f"dropout 0.{n}": {"difference": 0.1, "low": 0.05, "high": 0.15, "holm": 0.01}
        for n in range(1, 10)
    }
    without = {name: test for name, test in against.items() if name != "dropout 0.4"}
    choice = {"chosen": "dropout 0.4", "against": without}
    records = changed(measured, (("sweeps", "choice"), choice))
    assert verdict(records, "dropout") == HOLDS
    without["dropout 0.1"]["holm"] = 0.3
    assert verdict(records, "dropout") == OPEN
    del against["dropout 0.9"]
    records = changed(
        measured, (("sweeps", "choice"), {"chosen": "dropout 0.9", "against": against})
    )
    assert verdict(records, "dropout") == FAILS
