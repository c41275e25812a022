"""Parity with the official model's outputs, of every reference checkpoint in tests/golden."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_checkpoints import GOLDEN_NAMES
from reference_transformer import reference_forward

LAYERS = (1, 2, 3)
NAMES = ["logits", *(f"{kind}_{n}" for kind in ("embeddings", "attention") for n in LAYERS)]


@pytest.fixture(scope="module")
def outputs(golden, golden_model):
    """`outputs(name, dtype)`: everything the model can compute from the reference inputs."""

    @cache
    def run(name, dtype="float32"):
        nt = golden_model(name, dtype)
        tokens = golden(name).expected["tokens"]
        out = nt.apply(nt.params, tokens, embeddings_layers=LAYERS, attention_layers=LAYERS)
        assert all(value.dtype == jnp.float32 for value in out.values())
        return jax.tree.map(np.asarray, out)

    return run


def at_real_tokens(name, array, real):
    """[..., dim] of queries that are not `<pad>`, batch and tokens flattened."""
    if name.startswith("attention"):
        array = array.transpose(0, 2, 1, 3)  # [batch, queries, heads, keys]
    return array[real]


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_tokens_are_the_official_ones(name, golden, golden_model):
    reference = golden(name)
    ids = golden_model(name).tokenizer.encode(reference.sequences, length=reference.fixed_length)
    for row, column in reference.masked:
        ids[row, column] = 2
    np.testing.assert_array_equal(ids, reference.expected["tokens"])
    assert ids.dtype == np.int32


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_float32_equals_the_official_outputs(name, golden, outputs):
    reference = golden(name)
    for output in NAMES:
        got = at_real_tokens(output, outputs(name)[output], reference.real)
        expected = at_real_tokens(output, reference.expected[output], reference.real)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5, err_msg=output)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_bfloat16_is_near_the_official_outputs(name, golden, outputs):
    reference = golden(name)
    for output in NAMES:
        got = at_real_tokens(output, outputs(name, "bfloat16")[output], reference.real)
        expected = at_real_tokens(output, reference.expected[output], reference.real)
        error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
        assert 0 < error <= 3e-2, output


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_logits_at_padding_are_zero(name, dtype, golden, outputs):
    real = golden(name).real
    logits = outputs(name, dtype)["logits"]
    assert not real.all()
    assert (logits[~real] == 0).all()
    assert (logits[real] != 0).any(-1).all()


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_attention_leaves_padding_out_and_adds_up_to_one(name, golden, outputs):
    real = golden(name).real
    for number in LAYERS:
        maps = outputs(name)[f"attention_{number}"]
        assert (maps.transpose(0, 3, 1, 2)[~real] == 0).all()  # keys that are <pad>
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_the_numpy_reference_equals_the_official_outputs(name, golden, golden_model):
    # Other tests lean on this reference where there are no official outputs.
    reference, nt = golden(name), golden_model(name)
    rows = slice(0, 3)
    out = reference_forward(nt.config, nt.params, reference.expected["tokens"][rows])
    for output in NAMES:
        got = at_real_tokens(output, out[output], reference.real[rows])
        expected = at_real_tokens(output, reference.expected[output][rows], reference.real[rows])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5, err_msg=output)
