"""Train the tiny LoRA in a folder, from its newest checkpoint; how often it starts is no matter.

python run_to_the_end.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from tiny import (
    fit,
    hyperparameters,
    labelled_run,
    named,
    parameters,
    problem,
    step_config,
    trainable,
)

from ntjax.reports import command_line
from ntjax.training.loop import LoopConfig
from ntjax.training.members import new_member

STEPS = 60
LOOP = LoopConfig(STEPS, batch_size=7, accumulation=2, evaluate_every=5, log_every=1, select="loss")


def main():
    folder = Path(sys.argv[1])
    config, params = step_config(use_dropout=True), parameters()
    member = new_member(config.optimizer, trainable("lora", params))
    rows, unseen = problem(), problem(16, seed=1)
    one = labelled_run(config, LOOP, params, member, hyperparameters(), rows, unseen)
    [fitted] = fit(config, LOOP, params, [one], folder)
    np.savez(folder / "best.npz", step=fitted.step, **named(fitted.trainable))


if __name__ == "__main__":
    command_line.run(main)
