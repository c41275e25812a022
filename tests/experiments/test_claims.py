"""Each verdict turns when the numbers that it should rest on are turned."""

import json
from copy import deepcopy
from functools import reduce

import pytest

from experiments.promoters.claims.claims import CLAIMS
from experiments.promoters.claims.headline import draw, sentences
from experiments.promoters.claims.of_contests import PASSES, contested
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
    return records | {PASSES: contest(DOWN, UP, DOWN, UP)}


def difference(ends):
    low, high = ends
    seeds = {"one": 3, "other": 3}
    return {
        "value": (low + high) / 2,
        "low": low,
        "high": high,
        "p": 0.01,
        "holm": 0.01,
        "seeds": seeds,
    }


def contest(cnn, pre_training, lora, dropout, clean=None):
    """Results of `passes` with these ends of differences; `clean`: others on the clean rows."""

    def arm(value, validation, ends):
        auroc = {"value": value, "low": value - 0.02, "high": value + 0.02}
        of_parts = {"matched validation": [validation], "test": [value] * 3}
        return {"test": {"auroc": auroc | {"difference": difference(ends)}}, "auroc": of_parts}

    def of_task(cnn, pre_training, lora, dropout):
        return {
            "arms": {
                "mini, all weights": arm(0.8, 0.79, cnn),
                # Ahead on test rows alone, which choose nothing.
                "mini, IA³": arm(0.9, 0.70, UP),
                "untrained, all weights": arm(0.7, 0.95, DOWN),
                "CNN": arm(0.83, 0.82, (0.0, 0.0)),
            },
            "misclassified": {},
            "pairs": {
                "pre-training": difference(pre_training),
                "LoRA on all six layers, against all weights": difference(lora),
                "LoRA on query and value, against all weights": difference(DOWN),
                "dropout": difference(dropout),
            },
        }

    genomic = of_task(cnn, pre_training, lora, dropout)
    others = of_task(*(clean or (cnn, pre_training, lora, dropout)))
    return {"passes": 14, "results": {"clean": others, "genomic": genomic}}


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
        assert verdict(records, "second stage") == expected


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
    ("ends", "expected", "lora"),
    [(UP, HOLDS, f"{HOLDS}: better"), (DOWN, FAILS, FAILS), (NONE, OPEN, OPEN)],
)
def test_the_contest_turns_its_claims(measured, ends, expected, lora):
    others = (NONE, NONE, NONE, NONE)
    contests = {
        "convolutional": contest(ends, *others[1:], clean=others),
        "transfer": contest(NONE, ends, NONE, NONE, clean=others),
        "LoRA performs": contest(NONE, NONE, ends, NONE, clean=others),
        "overfitting": contest(*others[1:], ends, clean=others),
    }
    for words, record in contests.items():
        said = verdict(measured | {PASSES: record}, words).removeprefix("dropout helps: ")
        wanted = lora if words == "LoRA performs" else expected
        # Said once where both tasks agree.
        both = OPEN if wanted == OPEN else f"genome: {wanted}; random bases: {OPEN}"
        assert said == both, words


def test_what_rests_on_one_seed_is_said(measured):
    record = contest(UP, UP, UP, UP)
    record["results"]["genomic"]["pairs"]["pre-training"]["seeds"]["other"] = 1
    records = measured | {PASSES: record}
    assert verdict(records, "transfer") == f"genome: {HOLDS}, of one seed; random bases: {HOLDS}"
    assert "of one seed" in sentences(records)[1]
    assert "of one seed" not in "".join(sentences(records)[:1])
    record["results"]["clean"]["arms"]["CNN"]["auroc"]["test"] = [0.8]
    [claim] = [claim for claim in CLAIMS if "convolutional" in claim.text]
    assert claim.finding(records).verdict.endswith(f"random bases: {HOLDS}, of one seed")
    assert "of one seed" in sentences(records)[0]


def test_a_corrected_p_value_takes_a_verdict_of_the_contest_back(measured):
    record = contest(UP, UP, DOWN, UP)
    for of_task in record["results"].values():
        for pair in of_task["pairs"].values():
            pair["holm"] = 0.2
    records = measured | {PASSES: record}
    for words in ("transfer", "LoRA performs"):
        assert verdict(records, words) == OPEN
    assert "makes no difference" in sentences(records)[1]


def test_a_contest_of_few_arms(measured):
    record = contest(UP, UP, UP, UP)
    for of_task in record["results"].values():
        of_task["pairs"] = {}
    records = measured | {PASSES: record}
    assert verdict(records, "transfer") == verdict(records, "LoRA performs") == "–"
    for of_task in record["results"].values():
        del of_task["arms"]["CNN"]
    assert verdict(records, "convolutional") == "–"
    assert len(sentences(records)) == 2


def test_validation_rows_choose_the_transformer(measured):
    [claim] = [claim for claim in CLAIMS if "convolutional" in claim.text]
    found = claim.finding(measured)
    assert "(mini, all weights)" in found.detail
    assert found.number == "AUROC 0.800, CNN 0.830"


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (UP, ("is ahead of", "pays", "LoRA is above")),
        (DOWN, ("is behind", "does harm", "LoRA is below")),
        (NONE, ("cannot be told from", "makes no difference", "LoRA is not told from")),
    ],
)
def test_the_words_of_the_headline_follow_the_numbers(measured, ends, words):
    said = sentences(measured | {PASSES: contest(ends, ends, ends, ends)})
    assert len(said) == 5
    for sentence, expected in zip(said, words, strict=False):
        assert expected in sentence
        others = {*sum(ALL_WORDS, ())} - {expected}
        assert not [other for other in others if other in sentence]
    assert "865 published test promoters 865" in said[3]


ALL_WORDS = (
    ("is ahead of", "is behind", "cannot be told from"),
    ("LoRA is above", "LoRA is below", "LoRA is not told from"),
)


def test_the_headline_without_sections_or_contest(measured):
    assert sentences({}) == []
    without = {name: one for name, one in measured.items() if name != PASSES}
    assert len(sentences(without)) == 2


def test_the_headline_is_drawn(measured, tmp_path):
    assert draw(contested(measured), tmp_path) == "headline.png"
    assert (tmp_path / "headline.png").stat().st_size > 10_000


def test_cells_of_the_ledger_are_short(measured):
    for claim in CLAIMS:
        found = claim.finding(measured)
        assert len(found.number) <= 40, claim.text
        assert len(found.verdict) <= 110, claim.text


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
    assert verdict(records, "best LoRA dropout") == HOLDS
    without["dropout 0.1"]["holm"] = 0.3
    assert verdict(records, "best LoRA dropout") == OPEN
    del against["dropout 0.9"]
    records = changed(
        measured, (("sweeps", "choice"), {"chosen": "dropout 0.9", "against": against})
    )
    assert verdict(records, "best LoRA dropout") == FAILS
