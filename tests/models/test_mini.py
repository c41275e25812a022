import jax
import numpy as np
import pytest

import ntjax


@pytest.fixture(scope="module")
def mini():
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
    np.testing.assert_allclose(table[0, :3], PINNED_EMBEDDING, atol=1e-5)
    np.testing.assert_allclose(query[5, 0, :3], PINNED_QUERY, atol=1e-6)


PINNED_EMBEDDING = [0, 0, 0]
PINNED_QUERY = [0, 0, 0]
