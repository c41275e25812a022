"""The pages of the Nucleotide Transformer's evaluations: committed numbers, computed anew."""

import json
from pathlib import Path

import pytest

from experiments.nt_benchmark import deck, storage
from experiments.nt_benchmark.__main__ import SECTIONS, markdown
from ntjax.checkpoints.published_sizes import SIZES

HERE = Path(__file__).parents[2] / "experiments/nt_benchmark"
RESULTS = HERE / "results"


def committed(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def estimates(content, counts=frozenset()):
    """Every value with ends, and the counts that stand beside it or above it."""
    if isinstance(content, list):
        for one in content:
            yield from estimates(one, counts)
    if isinstance(content, dict):
        counts = counts | (content.keys() & {"n", "groups"})
        if {"value", "low", "high"} <= content.keys():
            yield content, counts
        for one in content.values():
            yield from estimates(one, counts)


def test_no_committed_metric_without_rows_groups_and_interval_or_reason():
    found = [one for path in RESULTS.glob("*.json") for one in estimates(committed(path.stem))]
    assert len(found) > 100
    for metric, counts in found:
        assert counts == {"n", "groups"}
        whole = metric["low"] is not None and metric["high"] is not None
        assert whole != bool(metric.get("interval"))


@pytest.mark.parametrize("name", ["tasks", "deck", "ledger"])
def test_committed_numbers_are_what_is_computed(name):
    assert json.loads(json.dumps(SECTIONS[name].run(RESULTS, RESULTS))) == committed(name)


def test_the_page_is_that_of_the_committed_numbers():
    assert markdown(RESULTS) == (HERE / "results.md").read_text()


def test_adapters_of_all_sizes_are_as_large_as_their_numbers():
    """IA³ has a number for each key, value and feed-forward unit of a layer (Liu et al. 2022)."""
    for name, config in SIZES.items():
        model = committed("storage")["models"][name]
        inner = config.attention_heads * (config.key_dim or 0)
        vectors = config.num_layers * (2 * inner + config.ffn_embed_dim)
        assert model["IA³"]["parameters"] == vectors
        head = config.embed_dim * (config.embed_dim + 1) + 2 * (config.embed_dim + 1)
        assert model["head_parameters"] == head
        for adapter in storage.ADAPTERS:
            of = model[adapter]
            assert 0 < of["bytes_without_head"] - 4 * of["parameters"] < 3_000
            both = of["parameters"] + head
            assert 0 < of["bytes_with_head"] - 4 * both < 4_000


def test_files_are_written_anew_with_the_committed_sizes():
    found = storage._of_model(SIZES["50M_multi_species_v2"])
    assert json.loads(json.dumps(found)) == committed("storage")["models"]["50M_multi_species_v2"]


def test_published_counts_of_parameters():
    models = committed("storage")["models"]
    assert models["250M_multi_species_v2"]["parameters"] == pytest.approx(235e6, rel=0.01)
    assert models["500M_multi_species_v2"]["parameters"] == pytest.approx(498e6, rel=0.01)
    assert models["2B5_multi_species"]["model_bytes"] == pytest.approx(10.19e9, rel=0.001)


def test_sums_of_the_tables_of_the_deck():
    found = deck.run(RESULTS, RESULTS)
    assert (found["species"], found["nucleotides_billion"]) == (849, 173.9)
    assert (found["people"], found["population_rows"], found["populations"]) == (3_202, 27, 26)
    assert found["tokens_at_peak"]["500M"] == pytest.approx(
        8 * 86_400 * 312e12 / 6 / 486e6, rel=0.01
    )
    lines = {one.claim: one for one in deck.claims(found)}
    assert lines["850 species"].verdict == "does not hold"
    assert lines["29,597 promoters, 3,065 of them with a TATA box"].number == "29,598 and 3,065"
