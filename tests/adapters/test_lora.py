"""Where LoRA's branches act, their number and scale, their dropout, and that they merge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_models import MODELS, TOKENS, random_parameters, run
from reference_transformer import reference_forward

from ntjax import adapters
from ntjax.adapters import Adapter, Dropout, LoRA
from ntjax.adapters.lora import PROJECTIONS, make_hook
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.errors import UserError
from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compilation")

ALL_TARGETS = LoRA(rank=3, alpha=5.0, targets=PROJECTIONS)
SOME_TARGETS = LoRA(rank=2, alpha=1.0, targets=("key", "fc1"))


def random_branches(config, model, seed=1):
    random = np.random.default_rng(seed)
    shapes = parameter_shapes(model)
    branches = {}
    for name in config.targets:
        layers, inputs, outputs = shapes[f"nucleotide_transformer/layers/{name}"]["w"]
        branches[name] = {
            "a": random.normal(size=(layers, inputs, config.rank)) / inputs**0.5,
            "b": random.normal(size=(layers, config.rank, outputs)) / 4,
        }
    return jax.tree.map(lambda array: array.astype(np.float32), branches)


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


# Tree and start


def test_the_tree_at_the_reports_size():
    model = SIZES["500M_1000G"]
    config = LoRA(rank=1, alpha=32, targets=("query", "value"))
    key = jax.random.key(0)
    adapter = jax.eval_shape(lambda: adapters.init(config, model, {}, key))
    branch = {"a": (24, 1280, 1), "b": (24, 1, 1280)}
    assert jax.tree.map(lambda leaf: leaf.shape, adapter.parameters) == {
        "query": branch,
        "value": branch,
    }
    leaves = jax.tree.leaves(adapter)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    assert sum(leaf.size for leaf in leaves) == 122_880


def test_the_tree_of_all_targets(model):
    adapter = adapters.init(ALL_TARGETS, model, {}, jax.random.key(0))
    expected = jax.tree.map(np.shape, random_branches(ALL_TARGETS, model))
    assert jax.tree.map(np.shape, adapter.parameters) == expected
    gates = 2 if model.use_glu_in_ffn else 1
    assert expected["fc1"] == {"a": (3, 8, 3), "b": (3, 3, 14 * gates)}
    assert expected["mha_output"] == {"a": (3, 12, 3), "b": (3, 3, 8)}


def test_a_is_uniform_within_one_over_root_inputs_and_b_is_zero():
    config = LoRA(rank=200, targets=("query", "fc2"))
    model = MODELS["learned"]
    start = adapters.init(config, model, {}, jax.random.key(0)).parameters
    for name, inputs in (("query", 8), ("fc2", 14)):
        a, bound = np.asarray(start[name]["a"]), inputs**-0.5
        assert abs(a).max() <= bound
        assert a.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert abs(a.mean()) < 0.03 * bound
        assert not np.array_equal(a[0], a[1])
        assert not start[name]["b"].any()


def test_a_target_starts_the_same_whatever_the_other_targets():
    key, model = jax.random.key(7), MODELS["learned"]
    alone = adapters.init(LoRA(targets=("value",)), model, {}, key).parameters
    among = adapters.init(LoRA(targets=PROJECTIONS), model, {}, key).parameters
    np.testing.assert_array_equal(alone["value"]["a"], among["value"]["a"])
    assert not np.array_equal(among["value"]["a"], among["query"]["a"])
    other = adapters.init(LoRA(targets=("value",)), model, {}, jax.random.key(8)).parameters
    assert not np.array_equal(alone["value"]["a"], other["value"]["a"])


# Branches


@pytest.mark.parametrize("config", [ALL_TARGETS, SOME_TARGETS], ids=["all", "some"])
def test_branches_act_beside_their_layers(config, model):
    params, branches = random_parameters(model), random_branches(config, model)
    got = run(model, params, Adapter(config, branches))
    scale = config.alpha / config.rank
    expected = reference_forward(model, params, TOKENS, branches=branches, scale=scale)
    bare = reference_forward(model, params, TOKENS)
    for name, value in got.items():
        assert abs(expected[name] - bare[name]).max() > 0.01
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_merged_equals_unmerged(model):
    params, branches = random_parameters(model), random_branches(ALL_TARGETS, model)
    merged = adapters.merge(Adapter(ALL_TARGETS, branches), params)
    assert jax.tree.map(np.shape, merged) == parameter_shapes(model)
    expected = reference_forward(model, params, TOKENS, branches=branches, scale=5 / 3)
    for name, value in run(model, merged).items():
        error = np.linalg.norm(value - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-5, name


def test_merging_changes_the_targets_alone(model):
    params, branches = random_parameters(model), random_branches(SOME_TARGETS, model)
    before = jax.tree.map(np.copy, params)
    merged = adapters.merge(Adapter(SOME_TARGETS, branches), params)
    jax.tree.map(np.testing.assert_array_equal, params, before)
    changed = {
        f"{module}/{name}"
        for module in params
        for name in params[module]
        if not np.array_equal(params[module][name], merged[module][name])
    }
    layers = "nucleotide_transformer/layers"
    assert changed == {f"{layers}/key/w", f"{layers}/fc1/w"}


# Dropout


def dropped_branch(x, rate, keys, *, layer=0, name="query", alpha=6.0):
    """A branch with A = B = 1 beside a layer that gives 0: (alpha / rank) · dropout(x)."""
    size = x.shape[-1]
    branch = {"a": jnp.eye(size), "b": jnp.eye(size)}
    config = LoRA(rank=size, alpha=alpha, targets=PROJECTIONS)
    inputs = {"number": jnp.asarray(layer), "parameters": {name: branch}}
    return np.asarray(make_hook(config, rate, keys)(inputs, name, jnp.zeros_like, x))


X = jnp.asarray(np.random.default_rng(2).uniform(1, 2, (4, 5, 3)), jnp.float32)
KEYS = jax.random.split(jax.random.key(3), 4)


def test_dropout_zeroes_or_rescales_the_branchs_input():
    got = dropped_branch(X, 0.4, KEYS)
    kept = got != 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(got, np.where(kept, 2 * np.asarray(X) / 0.6, 0), rtol=1e-6)


def test_rate_zero_drops_nothing_at_all():
    np.testing.assert_array_equal(dropped_branch(X, 0.0, KEYS), dropped_branch(X, None, None))
    np.testing.assert_allclose(dropped_branch(X, None, None), 2 * X, rtol=1e-6)


def test_dropout_leaves_the_expectation_as_it_is():
    rate, many = 0.3, 20_000
    x = jnp.broadcast_to(X[:1], (many, 5, 3))
    got = dropped_branch(x, rate, jax.random.split(jax.random.key(4), many))
    expected = dropped_branch(X[:1], None, None)[0]
    # A draw has a standard deviation of sqrt(rate / (1 - rate)) of its mean: five of the mean's.
    tolerance = 5 * (rate / (1 - rate) / many) ** 0.5
    np.testing.assert_allclose(got.mean(0), expected, rtol=tolerance)
    assert (got == 0).mean() == pytest.approx(rate, abs=0.005)


def test_masks_differ_between_examples_layers_and_targets():
    same = jnp.ones((4, 8, 8))
    draws = [
        dropped_branch(same, 0.5, KEYS, layer=layer, name=name)
        for layer in range(3)
        for name in PROJECTIONS
    ]
    masks = [example.tobytes() for draw in draws for example in draw]
    assert len(set(masks)) == len(masks)
    np.testing.assert_array_equal(dropped_branch(same, 0.5, KEYS, layer=0, name="query"), draws[0])


def test_draws_are_threefrys():
    """`jax.random.split` gives both random words of a counter from 0: those of the first place."""
    rate, x = 0.4, jnp.ones((4, 5, 10))
    for key, got in zip(KEYS, dropped_branch(x, rate, KEYS), strict=True):
        words = np.asarray(jax.random.key_data(jax.random.split(key, 5 * 3)), np.uint32)
        halves = words.view(np.uint16).reshape(5, 3, 4)  # low half first
        draws = np.moveaxis(halves, 2, 1).reshape(5, 12)[:, :10]
        np.testing.assert_array_equal(got != 0, draws >= round(rate * 65536))


def test_a_dropped_number_tells_nothing_of_others():
    """Neighbours in examples, tokens, dimensions, quarters of the dimensions, targets, layers."""
    rate, x = 0.3, jnp.ones((8, 64, 64))
    keys = jax.random.split(jax.random.key(6), 8)
    targets = ("query", "value")
    draws = [
        [dropped_branch(x, rate, keys, layer=layer, name=name) for name in targets]
        for layer in (0, 1)
    ]
    kept = (np.stack(draws) != 0) - (1 - rate)  # [layers, targets, examples, tokens, dim]
    quarters = np.moveaxis(kept.reshape(*kept.shape[:-1], 4, 16), -2, 0)
    pairs = [(np.delete(kept, 0, axis), np.delete(kept, -1, axis)) for axis in range(5)]
    pairs += [(quarters[first], quarters[second]) for second in range(4) for first in range(second)]
    for one, other in pairs:
        correlation = (one * other).mean() / (rate * (1 - rate))
        assert abs(correlation) < 5 / one.size**0.5
    shares = quarters.mean(axis=tuple(range(1, quarters.ndim)))
    assert abs(shares).max() < 5 * (rate * (1 - rate) / quarters[0].size) ** 0.5


def test_padding_changes_no_draw():
    x = jnp.ones((4, 9, 6))
    np.testing.assert_array_equal(
        dropped_branch(x, 0.5, KEYS)[:, :7], dropped_branch(x[:, :7], 0.5, KEYS)
    )


def test_members_differ_in_rate_and_keys():
    rates, keys = jnp.asarray([0.1, 0.6]), jnp.stack([KEYS, KEYS[::-1]])

    def member(rate, keys):
        branch = {"a": jnp.eye(3), "b": jnp.eye(3)}
        inputs = {"number": jnp.asarray(1), "parameters": {"value": branch}}
        config = LoRA(rank=3, alpha=6.0, targets=("value",))
        return make_hook(config, rate, keys)(inputs, "value", jnp.zeros_like, X)

    together = jax.vmap(member)(rates, keys)
    for got, rate, own in zip(together, rates, keys, strict=True):
        np.testing.assert_allclose(
            got, dropped_branch(X, rate, own, layer=1, name="value"), rtol=1e-6
        )


def adapted(model):
    return random_parameters(model), Adapter(ALL_TARGETS, random_branches(ALL_TARGETS, model))


def test_rate_zero_equals_no_dropout(model):
    params, adapter = adapted(model)
    without = run(model, params, adapter)
    keys = jax.random.split(jax.random.key(5), 2)
    for name, value in run(model, params, adapter, Dropout(jnp.float32(0), keys)).items():
        np.testing.assert_allclose(value, without[name], rtol=0, atol=1e-5, err_msg=name)


def test_an_examples_mask_depends_on_its_own_key_only(model):
    params, adapter = adapted(model)
    keys = jax.random.split(jax.random.key(5), 3)

    def logits(rows, of_keys):
        dropout = Dropout(jnp.float32(0.4), keys[jnp.asarray(of_keys)])
        return run(model, params, adapter, dropout, TOKENS[list(rows)])["logits"]

    first = logits((0, 1), (0, 1))
    # Another place in the batch, another neighbour with another key.
    np.testing.assert_allclose(logits((1, 0), (2, 0))[1], first[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits((1, 0), (1, 0)), first[::-1], rtol=0, atol=1e-5)
    assert abs(logits((0, 1), (2, 1))[0] - first[0]).max() > 1e-3


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ("query", "querry")}, "LoRA target querry is not"),
        ({"targets": ()}, r"LoRA target \(none\)"),
        ({"rank": 0}, "rank 0"),
        ({"rank": -1}, "rank -1"),
        ({"alpha": 0.0}, "alpha 0"),
        ({"alpha": -2.0}, "alpha -2"),
        ({"alpha": float("nan")}, "alpha nan"),
    ],
)
def test_what_is_no_lora_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        LoRA(**options)


def test_targets_may_come_as_a_list_and_the_configuration_is_hashable():
    assert hash(LoRA(targets=["key"])) == hash(LoRA(targets=("key",)))
