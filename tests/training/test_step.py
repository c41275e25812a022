"""One optimiser step: its gradient, its update, and that it is one member's of a population."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_adamw import LORA_DECAYS, NumpyAdamW, expected_factor
from tiny import (
    hyperparameters,
    named,
    padded_batch,
    parameters,
    problem,
    step_config,
    trainable,
)

from ntjax.adapters.apply import forward
from ntjax.inference.devices import DEVICES, replicated_sharding
from ntjax.models.heads import Cls
from ntjax.training.members import DeviceBatch, Hyperparameters, Member, new_member, spread
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.step import compile_train_step, summed_gradients, train_step

STEPS = 5


@pytest.fixture(scope="module")
def params():
    return parameters()


def batch_of(data, step, rows=6, filler=0):
    devices = jax.local_device_count()
    slots = -(-(rows + filler) // devices) * devices
    return spread(padded_batch(data, rows, step, slots), accumulation=1)


def mean_loss(model, params, trainable, tokens, labels):
    """Mean negative log-likelihood, from the model's embeddings alone."""
    outputs = forward(model, "float32", params, tokens, trainable.adapter, embeddings_layers=(2,))
    dense, output = trainable.head["dense"], trainable.head["output"]
    hidden = jnp.tanh(outputs["embeddings_2"][:, 0] @ dense["w"] + dense["b"])
    likelihoods = jax.nn.softmax(hidden @ output["w"] + output["b"])
    return -jnp.mean(jnp.log(likelihoods[jnp.arange(len(labels)), labels]))


def test_five_steps_against_numpy(params):
    optimizer = OptimizerConfig(STEPS, "cosine", 2, weight_decay=0.2, gradient_clip=0.5)
    config, start, data = step_config(optimizer=optimizer), trainable("lora", params), problem()
    expected = NumpyAdamW(named(start), LORA_DECAYS, weight_decay=0.2, clip=0.5)
    gradient = jax.jit(jax.value_and_grad(partial(mean_loss, config.forward.model, params)))
    step, member = compile_train_step(config), new_member(config.optimizer, start)
    hyper = jax.device_put(hyperparameters(0.02), replicated_sharding())
    norms = []
    for number in range(STEPS):
        weights = [leaf.astype(np.float32) for leaf in expected.weights.values()]
        weights = jax.tree.unflatten(jax.tree.structure(start), weights)
        rows = padded_batch(data, 6, number, 6)
        loss, gradients = gradient(weights, rows.tokens, rows.labels)
        rate = 0.02 * expected_factor("cosine", number, STEPS, 2)
        norms.append(expected.step(named(gradients), rate))
        batch = batch_of(data, number, filler=2)
        member, values = step(params, member, hyper, np.int32(number), batch)
        assert float(values["loss"]) == pytest.approx(float(loss), abs=1e-5)
        assert float(values["gradient_norm"]) == pytest.approx(norms[-1], rel=1e-5)
        assert float(values["learning_rate"]) == pytest.approx(rate, abs=1e-8)
        for name, leaf in named(member.trainable).items():
            np.testing.assert_allclose(leaf, expected.weights[name], atol=1e-5, rtol=0)
    assert max(norms) > 0.5, "nothing was clipped"


POPULATION = step_config(use_dropout=True)
HYPERPARAMETERS = ((0.01, 0.1, 0), (0.002, 0.0, 1), (0.03, 0.4, 2))


def members(params):
    """Member and hyper-parameters of three; adapter, rates, key and data of each its own."""
    for number, values in enumerate(HYPERPARAMETERS):
        member = new_member(POPULATION.optimizer, trainable("lora", params, seed=number))
        yield member, hyperparameters(*values), problem(seed=number)


def stack(trees):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def train_alone(params):
    """Each member's leaves and losses after five steps of its own."""
    step = compile_train_step(POPULATION)
    for member, hyper, data in members(params):
        losses = []
        for at in range(STEPS):
            member, values = step(params, member, hyper, np.int32(at), batch_of(data, at))
            losses.append(float(values["loss"]))
        yield named(member), losses


def train_together(params):
    """The same three in one program: leaves [members, ...] and losses [members, steps]."""
    everything = (Member(0, 0), Hyperparameters(0, 0, 0, 0, 0), None, DeviceBatch(0, 0, 0, 0))
    mapped = jax.vmap(partial(train_step, POPULATION), in_axes=(None, *everything))
    axes = {"in_axes": (None, None, None, None, 1), "out_axes": (None, None)}
    step = jax.pmap(mapped, axis_name=DEVICES, **axes)
    population, hyper, data = zip(*members(params), strict=True)
    population, hyper, losses = stack(population), stack(hyper), []
    for at in range(STEPS):
        batch = stack([batch_of(rows, at) for rows in data])
        population, values = step(params, population, hyper, np.int32(at), batch)
        losses.append(np.array(values["loss"]))
    return named(population), np.array(losses).T


@pytest.mark.compiled
def test_vmap_trains_many_members_at_once(params):
    alone, (together, losses) = list(train_alone(params)), train_together(params)
    for number, (leaves, expected) in enumerate(alone):
        np.testing.assert_allclose(losses[number], expected, atol=1e-5)
        for name, leaf in leaves.items():
            where = f"member {number}, {name}"
            np.testing.assert_allclose(together[name][number], leaf, atol=1e-5, err_msg=where)
    assert len({losses[-1] for _, losses in alone}) == 3, "the members were not different"


def gradients_of(**options):
    return jax.jit(partial(summed_gradients, step_config(**options)))


def single_device(rows, weights=None):
    weights = rows.weights if weights is None else weights
    slots = np.arange(len(rows.rows))
    return DeviceBatch(rows.tokens[None], rows.labels[None], weights[None], slots[None])


@pytest.mark.compiled
def test_rematerialisation_changes_no_gradient(params, monkeypatch):
    monkeypatch.setattr(Cls, "first_tokens", None)  # the same layers in both programs
    batch = single_device(padded_batch(problem(lengths=(6, 10)), 5, 0, 8))
    hyper = hyperparameters(backbone_dropout=0.3)
    arguments = (params, trainable("ia3", params), hyper, np.int32(0), batch)
    plain, again = (
        gradients_of(rematerialise=choice, use_backbone_dropout=True).trace(*arguments)
        for choice in (0, 1)
    )
    # Cheap values are recomputed in both; here whole layers are too.
    assert str(again.jaxpr).count("remat") > str(plain.jaxpr).count("remat")
    loss, weight, gradient = plain.lower().compile()(*arguments)
    loss_again, _, gradient_again = again.lower().compile()(*arguments)
    assert weight == 5
    assert float(loss) == pytest.approx(float(loss_again), abs=1e-6)
    for name, leaf in named(gradient).items():
        np.testing.assert_allclose(leaf, named(gradient_again)[name], atol=1e-6, err_msg=name)
        assert np.abs(leaf).max() > 1e-3, f"{name}: no gradient to compare"


@pytest.mark.parametrize(
    ("kind", "rate", "used"),
    [("lora", "dropout", "use_dropout"), ("head", "backbone_dropout", "use_backbone_dropout")],
)
def test_dropout_draws_by_seed_step_and_slot(kind, rate, used, params):
    start, gradients = trainable(kind, params), gradients_of(**{used: True})
    # One row in all slots: weighing one of them shows what that slot drew.
    rows = padded_batch(problem(), 1, 0, 8)

    def loss(dropout=0.3, seed=0, step=0, slot=0):
        batch = single_device(rows, np.eye(8, dtype=np.float32)[slot])
        hyper = hyperparameters(**{rate: dropout}, seed=seed)
        return float(gradients(params, start, hyper, np.int32(step), batch)[0])

    assert loss() == loss()
    assert len({loss(), loss(dropout=0.0), loss(seed=1), loss(step=1)}) == 4
    assert len({loss(slot=slot) for slot in range(8)}) == 8
    assert np.ptp([loss(dropout=0.0, slot=slot) for slot in range(8)]) < 1e-6


@pytest.mark.compiled
def test_bfloat16_learns_with_float32_masters():
    config = step_config(dtype="bfloat16")
    params = jax.tree.map(lambda w: w.astype("bfloat16") if w.ndim > 1 else w, parameters())
    member, data = new_member(config.optimizer, trainable("lora", params)), problem(rows=24)
    step, hyper = compile_train_step(config), hyperparameters(0.02)
    losses = []
    for number in range(60):
        batch = batch_of(data, number, rows=24)
        member, values = step(params, member, hyper, np.int32(number), batch)
        losses.append(float(values["loss"]))
    assert np.mean(losses[:3]) > 0.5
    assert losses[-1] < 0.1
    types = {name: str(leaf.dtype) for name, leaf in named(member).items()}
    assert {kind for name, kind in types.items() if "count" not in name} == {"float32"}
