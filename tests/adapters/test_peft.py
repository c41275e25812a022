"""PEFT trains the same classifier to the same losses.

A random `EsmForSequenceClassification`, with the same adapter and head in PEFT and here, on the
same padded batches, dropout 0. Where the two meet:

- LoRA: both scale the branch with alpha / r; PEFT's A is [r, inputs] and B [outputs, r], ours are
  their transposes.
- IA³: PEFT multiplies a layer's output after its bias, or, of a `feedforward_modules` layer, its
  input. Named for key, value and `output.dense`, that is the paper's l_k, l_v and l_ff, and ours:
  l_k before rotary positions, l_ff after the activation. (Named for `intermediate.dense`, it would
  scale what goes into the block instead.)
- AdamW: PyTorch's and optax's agree in their defaults (0.9, 0.999, 1e-8). Matrices are decayed,
  biases and IA³ vectors are not; gradients are clipped by their global norm.

Agreement reached on x86-64 (relative): gradients 2e-6; losses of twenty steps 4e-6 (IA³) to 1e-4
(LoRA on every layer, once the loss is 0.01); adapter and head after them 5e-6.
"""

from functools import partial

import jax
import numpy as np
import pytest
from esm_models import PAD, VOCABULARY, classifier, token_ids, torch
from numpy_adamw import expected_factor
from peft_models import ADAPTERS, ARCHITECTURES, adapted, to_ours, to_theirs, trained

import ntjax
from ntjax.datasets.batching import TokenisedSet, make_batch
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import ForwardConfig, head_outputs
from ntjax.models.heads import Cls
from ntjax.tasks import Classification
from ntjax.training.members import DeviceBatch, Hyperparameters, new_member, spread
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.step import StepConfig, compile_train_step, summed_gradients

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    # PEFT 0.21 asks transformers 5 for a property by its name of old.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

STEPS, BATCHES, ROWS, RATE = 20, 4, 8, 0.01
OPTIMIZER = OptimizerConfig(STEPS, "linear", 4, weight_decay=0.1, gradient_clip=1.0)


def batch(step):
    """Rows of 2 to 20 tokens; class 1 where the second token is of the vocabulary's upper half.

    Four batches come round again and again: few enough to be learned in twenty steps.
    """
    ids = token_ids(ROWS, masked=0.05, seed=step % BATCHES)
    return ids, (ids[:, 1] > VOCABULARY // 2).astype(np.int32)


@pytest.fixture(scope="module", params=ADAPTERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def folder(name, tmp_path_factory):
    """The classifier without an adapter, as transformers writes it."""
    folder = tmp_path_factory.mktemp("classifier")
    classifier(**ARCHITECTURES[name]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbone(folder):
    return ntjax.load_pretrained(folder, sharding=replicated_sharding())


@pytest.fixture(scope="module")
def config(backbone):
    return StepConfig(ForwardConfig(backbone.config, Cls(2)), OPTIMIZER, Classification.loss)


def their_logits(model, ids):
    mask = torch.tensor(ids != PAD, dtype=torch.long)
    return model(torch.tensor(ids, dtype=torch.long), attention_mask=mask).logits


def their_loss(model, ids, labels):
    return torch.nn.functional.cross_entropy(
        their_logits(model, ids), torch.tensor(labels, dtype=torch.long)
    )


def weights_of(model):
    return {name: leaf.detach().numpy() for name, leaf in trained(model).items()}


def distance(found, expected):
    """Norm of the difference over the norm, of each leaf by its path."""
    expected = dict(jax.tree_util.tree_leaves_with_path(expected))
    return {
        jax.tree_util.keystr(path): np.linalg.norm(leaf - expected[path])
        / np.linalg.norm(expected[path])
        for path, leaf in jax.tree_util.tree_leaves_with_path(found)
    }


def test_logits_and_gradients(name, backbone, config):
    model = adapted(name)
    ours = to_ours(ADAPTERS[name], weights_of(model))
    ids, labels = batch(0)
    assert (ids == PAD).any()
    loss = their_loss(model, ids, labels)
    loss.backward()
    expected = to_ours(ADAPTERS[name], {path: w.grad.numpy() for path, w in trained(model).items()})

    logits = jax.jit(partial(head_outputs, config.forward))(backbone.params, ours, ids)
    np.testing.assert_allclose(logits, their_logits(model, ids).detach(), rtol=0, atol=1e-5)

    one = DeviceBatch(ids[None], labels[None], np.ones((1, ROWS), np.float32), None)
    rates = map(np.float32, (RATE, RATE, 0, 0))
    hyper = Hyperparameters(*rates, jax.random.key(0))
    total, rows, gradients = jax.jit(partial(summed_gradients, config))(
        backbone.params, ours, hyper, np.int32(0), one
    )
    assert float(total / rows) == pytest.approx(loss.item(), rel=1e-5)
    errors = distance(jax.tree.map(lambda g: np.asarray(g) / ROWS, gradients), expected)
    assert len(errors) == {"ia3": 3, "lora": 4, "lora-every-layer": 12}[name] + 4
    assert max(errors.values()) < 1e-4, errors


def test_our_numbers_do_the_same_in_peft(name, backbone, config):
    model = adapted(name, seed=5)
    before = to_ours(ADAPTERS[name], weights_of(model))
    ours = jax.tree.map(lambda leaf: np.float32(leaf[::-1] * 1.1), before)
    to_theirs(ours, model)
    ids, _ = batch(1)
    found = jax.jit(partial(head_outputs, config.forward))(backbone.params, ours, ids)
    again = their_logits(model, ids).detach().numpy()
    assert np.abs(again - their_logits(adapted(name, seed=5), ids).detach().numpy()).max() > 0.05
    np.testing.assert_allclose(found, again, rtol=0, atol=1e-5)


def their_losses(model):
    """Twenty steps of PyTorch's AdamW; the weights end up in `model`."""
    parameters = trained(model)
    decays = {path: leaf.ndim == 2 and "ia3_l" not in path for path, leaf in parameters.items()}
    groups = [
        {
            "params": [leaf for path, leaf in parameters.items() if decays[path] == decay],
            "weight_decay": OPTIMIZER.weight_decay if decay else 0.0,
        }
        for decay in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    # As transformers' get_linear_schedule_with_warmup, whose first step changes nothing.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: expected_factor("linear", step, STEPS, OPTIMIZER.warmup_steps)
    )
    losses, norms = [], []
    for step in range(STEPS):
        loss = their_loss(model, *batch(step))
        optimizer.zero_grad()
        loss.backward()
        norms.append(
            torch.nn.utils.clip_grad_norm_(parameters.values(), OPTIMIZER.gradient_clip).item()
        )
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, norms


def our_losses(backbone, config, start):
    """The same steps by the function that training runs."""
    step, member = compile_train_step(config), new_member(config.optimizer, start)
    rates = map(np.float32, (RATE, RATE, 0, 0))
    hyper = Hyperparameters(*rates, jax.random.key(0))
    hyper = jax.device_put(hyper, replicated_sharding())
    losses, norms = [], []
    for number in range(STEPS):
        ids, labels = batch(number)
        rows = make_batch(TokenisedSet.create(ids, labels), np.arange(ROWS), ROWS, ids.shape[1])
        member, values = step(
            backbone.params, member, hyper, np.int32(number), spread(rows, accumulation=1)
        )
        losses.append(float(values["loss"]))
        norms.append(float(values["gradient_norm"]))
    return losses, norms, member.trainable


@pytest.mark.compiled
def test_twenty_steps_of_adamw(name, backbone, config):
    model = adapted(name)
    start = to_ours(ADAPTERS[name], weights_of(model))
    losses, norms, end = our_losses(backbone, config, start)
    expected, expected_norms = their_losses(model)
    assert len(losses) == STEPS
    assert np.mean(expected[-BATCHES:]) < np.mean(expected[:BATCHES]) - 0.1, "nothing learned"
    assert max(expected_norms) > OPTIMIZER.gradient_clip > min(expected_norms), "clip both ways"
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    np.testing.assert_allclose(norms, expected_norms, rtol=1e-3)
    moved = distance(jax.tree.map(np.asarray, end), start)
    assert min(moved.values()) > 0.01, moved
    errors = distance(jax.tree.map(np.asarray, end), to_ours(ADAPTERS[name], weights_of(model)))
    assert max(errors.values()) < 1e-3, errors
