"""Dropout of what the backbone's blocks add: where it acts, its draws, and that it is off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_models import MODELS, TOKENS, random_parameters, run

import ntjax
from ntjax import adapters
from ntjax.adapters import IA3, Adapter, Dropout, LoRA
from ntjax.adapters.backbone_dropout import SITES, with_backbone_dropout
from ntjax.adapters.base import Binding
from ntjax.adapters.lora import PROJECTIONS
from ntjax.errors import UserError
from ntjax.models.config import ROOT

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = MODELS["learned"]
KEYS = jax.random.split(jax.random.key(3), 4)
EVERY_SITE = LoRA(rank=8, alpha=8.0, targets=PROJECTIONS)


def added(x, rate, keys=KEYS, layer=0, name="fc2"):
    """What a linear layer that changes nothing adds to the residual stream."""
    params = {f"{ROOT}/layers/{site}": {"w": np.zeros((3, 1, 1))} for site in SITES}
    bound = with_backbone_dropout(Binding(params), Dropout(None, keys, rate))
    inputs = jax.tree.map(lambda leaf: leaf[layer], bound.per_layer)
    return np.asarray(bound.hook(inputs, name, lambda x: x, x))


def test_only_what_is_added_to_the_residual_stream_is_dropped():
    x = jnp.ones((4, 16, 32))
    for name in PROJECTIONS:
        dropped = added(x, 0.4, name=name)
        if name in SITES:
            assert (dropped == 0).mean() == pytest.approx(0.4, abs=0.05)
            np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.6, rtol=1e-6)
        else:
            np.testing.assert_array_equal(dropped, x)


def test_the_expectation_stays():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 6)).astype(np.float32))
    many = jnp.broadcast_to(x, (20_000, 5, 6))
    got = added(many, 0.3, jax.random.split(jax.random.key(4), len(many)))
    error = (0.3 / 0.7 / len(many)) ** 0.5
    np.testing.assert_allclose(got.mean(0), x[0], rtol=5 * error)


def test_layers_and_sites_draw_independently_and_not_as_a_branch_does():
    x = jnp.ones((4, 8, 8))
    draws = [added(x, 0.5, layer=layer, name=name) for layer in range(3) for name in SITES]
    branches = {name: {"a": jnp.eye(8)[None], "b": jnp.eye(8)[None]} for name in PROJECTIONS}
    branch = EVERY_SITE.bind(branches, {}, Dropout(0.5, KEYS))
    inputs = jax.tree.map(lambda leaf: leaf[0], branch.per_layer)
    draws += [np.asarray(branch.hook(inputs, name, jnp.zeros_like, x)) for name in PROJECTIONS]
    masks = [(example != 0).tobytes() for draw in draws for example in draw]
    assert len(set(masks)) == len(masks)


@pytest.mark.parametrize("config", [None, IA3(), LoRA(targets=("query", "fc2"))])
def test_the_adapter_goes_on_and_rate_zero_drops_nothing(config):
    params = random_parameters(MODEL)
    adapter = None
    if config is not None:
        tree = adapters.init(config, MODEL, params, jax.random.key(1)).parameters
        shift = np.random.default_rng(2)
        near = jax.tree.map(lambda leaf: leaf + 0.3 * shift.normal(size=leaf.shape), tree)
        adapter = Adapter(config, jax.tree.map(np.float32, near))
    without = run(MODEL, params, adapter)
    keys = jax.random.split(jax.random.key(5), 2)
    nothing = run(MODEL, params, adapter, Dropout(None, keys, jnp.float32(0)))
    for name, value in nothing.items():
        np.testing.assert_allclose(value, without[name], rtol=0, atol=1e-5, err_msg=name)
    much = run(MODEL, params, adapter, Dropout(None, keys, jnp.float32(0.4)))
    assert abs(much["logits"] - without["logits"]).max() > 1e-2


def test_an_examples_mask_depends_on_its_own_key_only():
    params, keys = random_parameters(MODEL), jax.random.split(jax.random.key(5), 3)

    def logits(rows, of_keys):
        dropout = Dropout(None, keys[jnp.asarray(of_keys)], jnp.float32(0.4))
        return run(MODEL, params, None, dropout, TOKENS[list(rows)])["logits"]

    first = logits((0, 1), (0, 1))
    np.testing.assert_allclose(logits((1, 0), (2, 0))[1], first[0], rtol=0, atol=1e-5)
    assert abs(logits((0, 1), (2, 1))[0] - first[0]).max() > 1e-3


@pytest.mark.end_to_end
def test_a_run_trains_with_it_and_predicts_without(tmp_path):
    random = np.random.default_rng(0)
    sequences = ["".join(row) for row in random.choice(list("ACGT"), (240, 60))]
    rows = (sequences, [int(seq.count("A") > 15) for seq in sequences])
    parts = [tuple(column[a:b] for column in rows) for a, b in ((0, 120), (120, 180), (180, 240))]
    settings = {"steps": 6, "batch_size": 16, "evaluate_every": 3, "baselines": False}
    swept = ntjax.sweep(
        "mini", *parts, vary={"backbone_dropout": [0.0, 0.2, 0.4]}, adapter="full", **settings
    )
    first = [one.record.history[0]["loss"] for one in swept]
    assert len(set(first)) == 3
    plain = ntjax.fine_tune("mini", *parts, adapter="full", **settings)
    for one, without in zip(swept[0].record.history, plain.record.history, strict=True):
        assert one["loss"] == pytest.approx(without["loss"], abs=1e-4)
    swept[2].save(tmp_path / "run")
    again = ntjax.load_run(tmp_path / "run").logits(sequences[:9])
    np.testing.assert_allclose(again, swept[2].logits(sequences[:9]), atol=1e-5)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(UserError, match=r"--backbone-dropout is .* below 1"):
        ntjax.fine_tune("mini", (["ACGT"], [0]), backbone_dropout=rate)
