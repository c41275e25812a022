"""The bundled models: what their files hold, and that they have learnt something."""

import json
from importlib.resources import files

import jax
import ml_dtypes
import numpy as np
import pytest

import ntjax
from ntjax.adapters.apply import random_parameters
from ntjax.checkpoints import mini
from ntjax.genomes.windows import encode
from ntjax.models.config import parameter_shapes


@pytest.mark.parametrize("name", mini.NAMES)
def test_the_file_is_the_architecture_and_small(name):
    shapes = jax.tree.map(np.shape, mini.parameters(name))
    assert shapes == parameter_shapes(mini.CONFIG)
    assert mini.weights_file(name).stat().st_size <= 8_000_000
    for path, leaf in jax.tree_util.tree_leaves_with_path(mini.parameters(name)):
        is_matrix = path[-1].key in ("w", "embeddings")
        assert leaf.dtype == (ml_dtypes.bfloat16 if is_matrix else np.float32)


@pytest.mark.parametrize("name", mini.NAMES)
def test_the_card_belongs_to_the_weights(name):
    card = json.loads(mini.weights_file(name).with_suffix(".json").read_text())
    assert card["weights"] == mini.weights_id(name)
    assert (files("ntjax.checkpoints") / f"{name}.md").is_file()


@pytest.mark.parametrize("name", mini.NAMES)
def test_adapters_are_tied_to_these_weights(name):
    assert ntjax.load_pretrained(name).source == {"weights": mini.weights_id(name)}


def test_the_human_one_knows_more_of_unseen_sequence_than_how_frequent_kmers_are():
    human = json.loads(mini.weights_file(mini.HUMAN).with_suffix(".json").read_text())
    [found] = human["sets"].values()
    assert found["difference"]["unigram"]["high"] < 0
    assert mini.weights_id(mini.HUMAN) != mini.weights_id()


@pytest.mark.parametrize("seed", [0, 1])
def test_codons_are_not_random_letters(seed):
    """It finds a stretch of a gene likelier than the same letters in disorder."""
    # E. coli K-12 lacZ, coding strand from its start codon.
    gene = (
        "ATGACCATGATTACGGATTCACTGGCCGTCGTTTTACAACGTCGTGACTGGGAAAACCCTGGCGTTACCCAACTTAATCGCCTT"
        "GCAGCACATCCCCCTTTCGCCAGCTGGCGTAATAGCGAAGAGGCCCGCACCGATCGCCCTTCCCAACAGTTGCGCAGCCTGAAT"
        "GGCGAATGGCGCTTTGCCTGGTTTCCGGCACCAGAAGCGGTGCCGGAAAGCTGGCTGGAGTGCGATCTTCCTGAGGCCGATACT"
    )
    codes = np.array(["ATCG".index(letter) for letter in gene], np.uint8)
    shuffled = np.random.default_rng(seed).permutation(codes)
    assert masked_loss(codes) < masked_loss(shuffled) - 0.1


def masked_loss(codes):
    """Mean loss in nats, every k-mer masked in turn, a seventh of them at a time."""
    model = ntjax.load_pretrained("mini")
    ids = encode(codes[None], np.zeros(1, int), model.tokenizer)
    places = np.arange(1, ids.shape[1])
    rows = np.repeat(ids, 7, axis=0)
    rows[places % 7, places] = model.tokenizer.mask_id
    logits = np.asarray(model.apply(model.params, rows)["logits"])
    chosen = logits[places % 7, places]
    likelihood = chosen - np.log(np.exp(chosen).sum(axis=1, keepdims=True))
    return -likelihood[np.arange(len(places)), ids[0, places]].mean()


def test_random_weights_are_scaled_by_their_inputs():
    # A normal distribution cut at two standard deviations keeps 0.8796 of its standard deviation;
    # Haiku draws from one whose scale is not corrected for that.
    params = random_parameters(mini.CONFIG, jax.random.key(0))
    for name, inputs in (("query", 192), ("fc1", 192), ("fc2", 768)):
        module = params[f"nucleotide_transformer/layers/{name}"]
        assert float(module["w"].std()) == pytest.approx(0.8796 * inputs**-0.5, rel=0.01)
        assert not np.array_equal(module["w"][0], module["w"][1])
        assert not module["b"].any()
    norm = params["nucleotide_transformer/layers/final_layer_norm"]
    assert (norm["scale"] == 1).all()
    assert (norm["offset"] == 0).all()
