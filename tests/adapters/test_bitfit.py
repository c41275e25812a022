"""BitFit: the exact tree, the merge, and gradients against PyTorch with only biases trainable."""

from functools import partial

import jax
import numpy as np
import pytest
from adapted_models import MODELS, random_parameters, run
from esm_models import LAYERS, PAD, VOCABULARY, classifier, token_ids, torch
from peft_models import HEAD, LINEAR

import ntjax
from ntjax import adapters
from ntjax.adapters import Adapter, BitFit
from ntjax.inference.forward import ForwardConfig, Trainable, head_outputs
from ntjax.models.heads import Cls
from ntjax.tasks import Classification
from ntjax.training.members import DeviceBatch, Hyperparameters
from ntjax.training.optimizers import OptimizerConfig, decayed
from ntjax.training.step import StepConfig, summed_gradients

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROWS = 6
SHAPES = {
    "learned": {
        "query": (3, 12),
        "key": (3, 12),
        "value": (3, 12),
        "mha_output": (3, 8),
        "fc1": (3, 14),
        "fc2": (3, 8),
    },
    # Without biases in the feed-forward layers there is nothing to train in them.
    "gated": {"query": (3, 12), "key": (3, 12), "value": (3, 12), "mha_output": (3, 8)},
}


def drawn(model, seed=1):
    """An adapter off its start."""
    start = adapters.init(BitFit(), model, {}, jax.random.key(0))
    random = np.random.default_rng(seed)
    shifts = {
        name: (0.3 * random.standard_normal(zeros.shape)).astype(np.float32)
        for name, zeros in start.parameters.items()
    }
    return start, Adapter(BitFit(), shifts)


@pytest.mark.parametrize("name", MODELS)
def test_the_tree_begins_with_zeros(name):
    start, _ = drawn(MODELS[name])
    assert {key: leaf.shape for key, leaf in start.parameters.items()} == SHAPES[name]
    assert all((leaf == 0).all() and leaf.dtype == np.float32 for leaf in start.parameters.values())


@pytest.mark.parametrize("name", MODELS)
def test_nothing_changes_at_the_start_and_the_merge_is_exact(name):
    model, params = MODELS[name], random_parameters(MODELS[name])
    start, shifted = drawn(model)
    plain, same = run(model, params), run(model, params, start)
    for key, expected in plain.items():
        np.testing.assert_array_equal(same[key], expected)
    found = run(model, params, shifted)
    merged = run(model, adapters.merge(shifted, params))
    assert np.abs(found["logits"] - plain["logits"]).max() > 0.05
    for key, expected in merged.items():
        np.testing.assert_allclose(found[key], expected, rtol=1e-5, atol=2e-6)


def test_biases_do_not_decay():
    _, shifted = drawn(MODELS["learned"])
    head = {"dense": {"w": np.zeros((2, 2)), "b": np.zeros(2)}}
    mask = decayed(Trainable(shifted, head))
    assert not any(jax.tree.leaves(mask.adapter))
    assert mask.head == {"dense": {"w": True, "b": False}}


def their_biases(model):
    """`{our name: parameters of the layers}` of PyTorch's model, which alone are trainable."""
    layers = model.esm.encoder.layer
    assert len(layers) == LAYERS
    return {
        ours: [layer.get_submodule(theirs).bias for layer in layers]
        for ours, theirs in LINEAR.items()
    }


def stacked(tensors):
    return np.stack([tensor.detach().numpy() for tensor in tensors])


def test_logits_and_gradients_equal_pytorch(tmp_path):
    model = classifier(position_embedding_type="rotary", layer_norm_eps=1e-5)
    model.save_pretrained(tmp_path)
    backbone = ntjax.load_pretrained(tmp_path)
    head = {
        ours: {
            "w": model.classifier.get_submodule(theirs).weight.detach().numpy().T.copy(),
            "b": model.classifier.get_submodule(theirs).bias.detach().numpy().copy(),
        }
        for ours, theirs in HEAD.items()
    }
    _, shifted = drawn(backbone.config)
    for weights in model.parameters():
        weights.requires_grad_(False)
    for name, biases in their_biases(model).items():
        for bias, shift in zip(biases, shifted.parameters[name], strict=True):
            bias.copy_(bias + torch.tensor(shift))
            bias.requires_grad_(True)
    ids = token_ids(ROWS, masked=0.05, seed=0)
    labels = (ids[:, 1] > VOCABULARY // 2).astype(np.int32)
    mask = torch.tensor(ids != PAD, dtype=torch.long)
    logits = model.train()(torch.tensor(ids, dtype=torch.long), attention_mask=mask).logits
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels, dtype=torch.long))
    loss.backward()

    forward = ForwardConfig(backbone.config, Cls(2))
    config = StepConfig(forward, OptimizerConfig(10), Classification.loss)
    ours = Trainable(shifted, head)
    found = jax.jit(partial(head_outputs, forward))(backbone.params, ours, ids)
    np.testing.assert_allclose(found, logits.detach(), rtol=0, atol=1e-5)
    one = DeviceBatch(ids[None], labels[None], np.ones((1, ROWS), np.float32), None)
    rates = map(np.float32, (0.1, 0.1, 0, 0))
    hyper = Hyperparameters(*rates, jax.random.key(0))
    total, rows, gradients = jax.jit(partial(summed_gradients, config))(
        backbone.params, ours, hyper, np.int32(0), one
    )
    assert float(total / rows) == pytest.approx(loss.item(), rel=1e-5)
    for name, biases in their_biases(model).items():
        expected = stacked([bias.grad for bias in biases])
        if name == "key":
            # The same shift of all keys changes no softmax, but for rotary positions.
            assert np.abs(expected).max() > 1e-7
        error = np.linalg.norm(gradients.adapter.parameters[name] / rows - expected)
        assert error < 1e-4 * np.linalg.norm(expected), name
