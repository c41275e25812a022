"""Train on all devices of this process in several ways; the results go to an .npz file.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python on_devices.py OUT.npz
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
from tiny import hyperparameters, named, padded_batch, parameters, problem, step_config, trainable

from ntjax.training.loop import LoopConfig, MemberRun, Trainer
from ntjax.training.placement import new_member, replicated_sharding, spread
from ntjax.training.prediction import predict
from ntjax.training.step import DEVICES, DeviceBatch, compile_train_step, summed_gradients

STEPS, BATCH_SIZE = 10, 12  # 12 rows: not a multiple of 8 devices, nor of 2 devices × 4 passes
LENGTHS = (7, 10)
# Accumulation steps tried on each number of devices; every one costs a compilation.
ACCUMULATIONS = {
    1: {"ia3": (1,), "lora": (1, 2, 4), "full": (1,)},
    2: {"ia3": (4,), "lora": (2,), "full": (4,)},
    8: {"ia3": (2,), "lora": (1, 4), "full": (1,)},
}


def slots(accumulation):
    passes = jax.local_device_count() * accumulation
    return -(-BATCH_SIZE // passes) * passes


def batch(step, accumulation):
    rows = padded_batch(problem(), BATCH_SIZE, step, slots(accumulation))
    return spread(rows, accumulation)


def trained(kind, accumulation):
    params, config = parameters(), step_config(use_dropout=kind == "lora")
    member, hyper = new_member(config, trainable(kind, params)), hyperparameters()
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


def looped():
    """The same through `Trainer`, with sequences of two lengths; nothing but the head."""
    params, config = parameters(), step_config()
    member, data = new_member(config, trainable("head", params)), problem(lengths=LENGTHS)
    unseen = problem(13, seed=2, lengths=LENGTHS)
    loop = LoopConfig(STEPS, BATCH_SIZE, accumulation=2, evaluate_every=STEPS, select="loss")
    with TemporaryDirectory() as folder:
        one = MemberRun(member, hyperparameters(), data, unseen, Path(folder))
        trainer = Trainer(config, loop, params, [one], Path(folder))
        [fitted] = trainer.fit(progress=False)
    logits = predict(trainer.predict, params, fitted.trainable, unseen)
    return named(fitted.trainable) | {"logits": logits}


def main():
    chosen = ACCUMULATIONS[jax.local_device_count()]
    cases = {f"{kind}/{n}": trained(kind, n) for kind in ("ia3", "lora") for n in chosen[kind]}
    cases |= {f"full/{n}": full_gradient(n) for n in chosen["full"]} | {"head/2": looped()}
    arrays = {f"{case}/{name}": a for case, leaves in cases.items() for name, a in leaves.items()}
    np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
