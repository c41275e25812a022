import jax
import numpy as np
import pytest

import ntjax

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def mini(quick_compilation):
    return ntjax.load_pretrained("mini")


def test_mini_has_the_stated_size(mini):
    assert sum(leaf.size for leaf in jax.tree.leaves(mini.params)) == 6_912_267
    assert (mini.tokenizer.k, mini.config.vocabulary_size) == (6, 4107)
    assert mini.config.use_rotary_embedding
    assert mini.config.positional_embedding is None


def test_mini_says_that_it_is_not_pretrained(mini):
    assert "not pre-trained" in mini.notice


def test_mini_is_the_same_every_time(mini):
    again = ntjax.load_pretrained("mini")
    jax.tree.map(np.testing.assert_array_equal, mini.params, again.params)
    # Pinned: the same in every process and, by JAX's promise for its keys, on every machine.
    table = np.asarray(mini.params["nucleotide_transformer/embed"]["embeddings"])
    query = np.asarray(mini.params["nucleotide_transformer/layers/query"]["w"])
    np.testing.assert_allclose(table[0, :3], [0.30664846, 0.36110154, -0.5874004], atol=1e-5)
    np.testing.assert_allclose(query[5, 0, :3], [0.0038163, 0.03081829, -0.02113388], atol=1e-6)


def test_weights_are_scaled_by_their_inputs(mini):
    # A normal distribution cut at two standard deviations keeps 0.8796 of its standard deviation;
    # Haiku draws from one whose scale is not corrected for that.
    for name, inputs in (("query", 256), ("fc1", 256), ("fc2", 1024)):
        module = mini.params[f"nucleotide_transformer/layers/{name}"]
        assert float(module["w"].std()) == pytest.approx(0.8796 * inputs**-0.5, rel=0.01)
        assert not np.array_equal(module["w"][0], module["w"][1])
        assert not module["b"].any()
    norm = mini.params["nucleotide_transformer/layers/final_layer_norm"]
    assert (norm["scale"] == 1).all()
    assert (norm["offset"] == 0).all()
