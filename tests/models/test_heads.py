import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntjax.models.heads import Attention, Cls, Mean, Tokens, head_from_dict

TOKENS = np.array([[3, 7, 8, 9, 1, 1], [3, 5, 1, 1, 1, 1], [3, 4, 5, 6, 7, 8]])
EMBEDDINGS = np.random.default_rng(0).normal(size=(3, 6, 8)).astype(np.float32)


def drawn(head, dim=8):
    """Weights in which nothing is zero."""
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: head.init(dim, key), jax.random.key(0))
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape), shapes)


def applied(head, parameters, embeddings=EMBEDDINGS, tokens=TOKENS):
    parameters = jax.tree.map(jnp.asarray, parameters)
    return head.apply(parameters, jnp.asarray(embeddings), jnp.asarray(tokens))


def shapes(head, dim=8):
    return jax.tree.map(lambda leaf: leaf.shape, head.init(dim, jax.random.key(0)))


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("kind", [Cls, Mean])
def test_the_tree_of_a_pooled_head(kind, outputs):
    head = kind(outputs).init(8, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, head) == {
        "dense": {"w": (8, 8), "b": (8,)},
        "output": {"w": (8, outputs), "b": (outputs,)},
    }
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(head))
    assert all(head[name]["w"].any() for name in head)
    assert not any(head[name]["b"].any() for name in head)


def test_the_trees_of_heads_that_keep_positions():
    assert shapes(Tokens(3, tokens=6)) == {"output": {"w": (48, 3), "b": (3,)}}
    assert shapes(Tokens(3, tokens=6, bottleneck=4)) == {
        "dense": {"w": (48, 4), "b": (4,)},
        "output": {"w": (4, 3), "b": (3,)},
    }
    assert shapes(Attention(3, queries=2, positions=5)) == {
        "query": (2, 8),
        "position": (2, 5),
        "output": {"w": (16, 3), "b": (3,)},
    }


def test_the_default_is_the_reports_head():
    # Dense 1280 -> 1280, tanh, dense 1280 -> 2; with LoRA's 122,880 the report's 1,765,122.
    head = jax.eval_shape(lambda key: Cls().init(1280, key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(head)) == 1_765_122 - 122_880


@pytest.mark.parametrize("head", [Cls(), Mean(), Tokens(tokens=6, bottleneck=4), Attention()])
def test_two_seeds_draw_two_heads(head):
    first, second = (head.init(8, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(first["output"]["w"], second["output"]["w"])
    if "dense" in first:
        assert not np.array_equal(first["dense"]["w"][:2, :2], first["output"]["w"][:2])


@pytest.mark.parametrize("kind", [Cls, Mean])
@pytest.mark.parametrize("outputs", [1, 3])
def test_pooling_and_layers_equal_numpy(kind, outputs):
    head = drawn(kind(outputs))
    pooled = []
    for embeddings, tokens in zip(EMBEDDINGS.astype(float), TOKENS, strict=True):
        nucleotides = [place for place, token in enumerate(tokens) if token not in (1, 3)]
        pooled.append(embeddings[0] if kind is Cls else embeddings[nucleotides].mean(0))
    hidden = np.tanh(np.stack(pooled) @ head["dense"]["w"] + head["dense"]["b"])
    expected = hidden @ head["output"]["w"] + head["output"]["b"]
    got = applied(kind(outputs), head)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("bottleneck", [0, 4])
@pytest.mark.parametrize("tokens", [6, 9])
def test_tokens_side_by_side_equal_numpy(tokens, bottleneck):
    config = Tokens(3, tokens, bottleneck)
    head = drawn(config)
    expected = []
    for embeddings, ids in zip(EMBEDDINGS.astype(float), TOKENS, strict=True):
        x = np.zeros((tokens, 8))
        x[: len(ids)][ids != 1] = embeddings[ids != 1]
        x = x.ravel()
        if bottleneck:
            x = np.tanh(x @ head["dense"]["w"] + head["dense"]["b"])
        expected.append(x @ head["output"]["w"] + head["output"]["b"])
    np.testing.assert_allclose(applied(config, head), expected, atol=1e-4)


@pytest.mark.parametrize("positions", [1, 3, 20])
def test_attention_equals_numpy(positions):
    config = Attention(3, queries=2, positions=positions)
    head = drawn(config)
    expected = []
    for embeddings, ids in zip(EMBEDDINGS.astype(float), TOKENS, strict=True):
        own = embeddings[ids != 1]
        bias = [head["position"][:, min(place, positions - 1)] for place in range(len(own))]
        weights = np.exp(own @ head["query"].T / np.sqrt(8) + np.array(bias))
        means = (weights / weights.sum(axis=0)).T @ own
        expected.append(means.ravel() @ head["output"]["w"] + head["output"]["b"])
    np.testing.assert_allclose(applied(config, head), expected, atol=1e-4)


@pytest.mark.parametrize(("queries", "positions"), [(1, 7), (4, 12), (12, 4)])
def test_queries_begin_side_by_side(queries, positions):
    head = Attention(2, queries, positions).init(8, jax.random.key(0))
    weights = np.exp(np.asarray(head["position"]))
    centres = weights @ np.arange(positions) / weights.sum(axis=1)
    assert (np.diff(centres) >= 0).all()
    # Every position is in the middle of some window.
    assert weights.max(axis=0).min() > 0.4


@pytest.mark.parametrize("head", [Mean(), Tokens(tokens=8), Attention()])
def test_padding_changes_nothing(head):
    parameters = drawn(head)
    widths = ((0, 0), (0, 2), (0, 0))
    longer = np.pad(EMBEDDINGS, widths, constant_values=7.0)
    tokens = np.pad(TOKENS, widths[:2], constant_values=1)
    np.testing.assert_allclose(
        applied(head, parameters, longer, tokens), applied(head, parameters), atol=1e-5
    )


@pytest.mark.parametrize("head", [Tokens(tokens=6), Attention()])
def test_positions_are_kept_where_the_mean_forgets_them(head):
    turned = EMBEDDINGS[2:, [0, 5, 4, 3, 2, 1]]
    moved = applied(head, drawn(head), turned, TOKENS[2:]) - applied(head, drawn(head))[2:]
    assert np.abs(moved).max() > 0.1
    still = applied(Mean(), drawn(Mean()), turned, TOKENS[2:]) - applied(Mean(), drawn(Mean()))[2:]
    assert np.abs(still).max() < 1e-5


@pytest.mark.parametrize("head", [Tokens(3, 6), Tokens(3, 9, 4), Attention(3, 2, 4), Mean(3)])
def test_coordinates_are_folded_into_the_weights(head):
    matrix = np.random.default_rng(2).normal(size=(8, 8))
    parameters = drawn(head)
    within = parameters | {"coordinates": matrix} if head.in_coordinates else parameters
    folded = head.folded(jax.tree.map(jnp.asarray, within))
    assert jax.tree.map(jnp.shape, folded) == shapes(head)
    turned = EMBEDDINGS @ matrix if head.in_coordinates else EMBEDDINGS
    expected = applied(head, parameters, turned.astype(np.float32))
    np.testing.assert_allclose(applied(head, within), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(applied(head, folded), expected, rtol=1e-4, atol=1e-3)


def test_coordinates_are_not_trained():
    head = Tokens(2, 6)
    within = jax.tree.map(jnp.asarray, drawn(head) | {"coordinates": np.eye(8)})
    gradient = jax.grad(lambda parameters: head.apply(parameters, EMBEDDINGS, TOKENS).sum())(within)
    assert not gradient["coordinates"].any()
    assert gradient["output"]["w"].any()


@pytest.mark.parametrize("head", [Cls(3), Mean(1), Tokens(2, 17, 8, 81), Attention(4, 2, 9)])
def test_a_head_is_rebuilt_from_what_is_saved(head):
    assert head_from_dict(head.to_dict()) == head


def test_numbers_that_no_head_has():
    with pytest.raises(ValueError, match="it can have 1 to 64 tokens"):
        Tokens(tokens=65)
    with pytest.raises(ValueError, match="needs at least 1 of both"):
        Attention(queries=0)
    with pytest.raises(ValueError, match="reads 3 tokens, not 6"):
        applied(Tokens(tokens=3), drawn(Tokens(tokens=3)))
