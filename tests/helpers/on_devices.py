"""Train on all devices of this process in several ways; the results go to an .npz file.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python on_devices.py OUT.npz
"""

import sys

import jax
import numpy as np
from tiny import (
    CLS,
    FIRST_KMER,
    MODEL,
    hyperparameters,
    labelled_run,
    named,
    padded_batch,
    parameters,
    problem,
    step_config,
    trainable,
)

from ntjax.adapters import Adapter, Full
from ntjax.datasets.masking import MaskedBatches, Masking
from ntjax.inference.devices import DEVICES, replicated_sharding
from ntjax.inference.forward import Trainable
from ntjax.inference.predict import predict
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.training.loop import LoopConfig, Trainer
from ntjax.training.members import DeviceBatch, new_member, spread
from ntjax.training.step import compile_train_step, summed_gradients

STEPS, BATCH_SIZE = 10, 12  # 12 rows: not a multiple of 8 devices, nor of 2 devices × 4 passes
LENGTHS = (7, 10)
# Accumulation steps tried on each number of devices; every one costs a compilation.
ACCUMULATIONS = {
    1: {"ia3": (1,), "lora": (1, 2, 4), "full": (1,), "masked": (1, 3)},
    2: {"ia3": (4,), "lora": (2,), "full": (4,), "masked": (2,)},
    8: {"ia3": (2,), "lora": (1, 4), "full": (1,), "masked": (1,)},
}


def slots(accumulation):
    passes = jax.local_device_count() * accumulation
    return -(-BATCH_SIZE // passes) * passes


def batch(step, accumulation):
    rows = padded_batch(problem(), BATCH_SIZE, step, slots(accumulation))
    return spread(rows, accumulation)


def trained(kind, accumulation):
    drops = {"use_dropout": kind == "lora", "use_backbone_dropout": kind != "full"}
    params, config = parameters(), step_config(**drops)
    member = new_member(config.optimizer, trainable(kind, params))
    hyper = hyperparameters(backbone_dropout=0.2)
    step = compile_train_step(config)
    for number in range(STEPS):
        member, _ = step(params, member, hyper, np.int32(number), batch(number, accumulation))
    return named(member.trainable)


def full_gradient(accumulation):
    params, config = parameters(), step_config()

    def summed(params, trainable, hyper, rows: DeviceBatch):
        sums = summed_gradients(config, params, trainable, hyper, np.int32(0), rows)
        return jax.lax.psum(sums, DEVICES)

    axes = {"in_axes": (None, None, None, 0), "out_axes": None}
    mapped = jax.pmap(summed, axis_name=DEVICES, **axes)
    start = jax.device_put(trainable("full", params), replicated_sharding())
    loss, weight, gradient = mapped(params, start, hyperparameters(), batch(0, accumulation))
    return named(gradient) | {"loss": np.array(loss), "weight": np.array(weight)}


class Windows:
    """Rows of nucleotide tokens, as a genome gives them."""

    def rows(self, step, count):
        random = np.random.default_rng(step)
        ids = random.integers(FIRST_KMER, MODEL.vocabulary_size, (count, 21)).astype(np.int32)
        ids[:, 0] = CLS
        return ids


def masked_gradient(accumulation):
    """Sums over a batch of masked windows, and the batch itself."""
    params, config = parameters(), step_config(head=None)
    tokenizer = Tokenizer.for_vocabulary_size(MODEL.vocabulary_size, MODEL.k_for_kmers)
    masking = Masking(tokenizer)
    rows = MaskedBatches(Windows(), masking, BATCH_SIZE, slots(accumulation), seed=3).batch(5)

    def summed(trainable, hyper, rows: DeviceBatch):
        sums = summed_gradients(config, {}, trainable, hyper, np.int32(0), rows)
        return jax.lax.psum(sums, DEVICES)

    axes = {"in_axes": (None, None, 0), "out_axes": None}
    mapped = jax.pmap(summed, axis_name=DEVICES, **axes)
    start = Trainable(Adapter(Full(), params), {})
    loss, weight, gradient = mapped(start, hyperparameters(), spread(rows, accumulation))
    leaves = named(jax.tree.map(lambda leaf: leaf / weight, gradient))
    seen = {"tokens": rows.tokens[:BATCH_SIZE], "positions": rows.positions[:BATCH_SIZE]}
    return leaves | seen | {"loss": np.array(loss / weight), "weight": np.array(weight)}


def looped():
    """The same through `Trainer`, with sequences of two lengths; nothing but the head."""
    params, config = parameters(), step_config()
    member, data = new_member(config.optimizer, trainable("head", params)), problem(lengths=LENGTHS)
    unseen = problem(13, seed=2, lengths=LENGTHS)
    loop = LoopConfig(STEPS, BATCH_SIZE, accumulation=2, evaluate_every=STEPS, select="loss")
    one = labelled_run(config, loop, params, member, hyperparameters(), data, unseen)
    [fitted] = Trainer(config, loop, params, [one]).fit()
    logits = predict(config.forward, params, fitted.trainable, unseen)
    return named(fitted.trainable) | {"logits": logits}


def main():
    chosen = ACCUMULATIONS[jax.local_device_count()]
    cases = {f"{kind}/{n}": trained(kind, n) for kind in ("ia3", "lora") for n in chosen[kind]}
    cases |= {f"full/{n}": full_gradient(n) for n in chosen["full"]} | {"head/2": looped()}
    cases |= {f"masked/{n}": masked_gradient(n) for n in chosen["masked"]}
    arrays = {f"{case}/{name}": a for case, leaves in cases.items() for name, a in leaves.items()}
    np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
