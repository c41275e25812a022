"""Runs over the reference checkpoints with adapters and heads way off their start."""

from functools import partial

import jax
import numpy as np

from ntjax import adapters
from ntjax.adapters import IA3, Adapter, Full, HeadOnly, LoRA
from ntjax.inference.forward import Trainable
from ntjax.models.heads import head_from_dict
from ntjax.runs.run import Run
from ntjax.tasks import Classification, MultiLabel, Regression

ADAPTERS = {
    "ia3": IA3(),
    "lora": LoRA(rank=4, alpha=8.0, targets=("query", "value", "fc1")),
    "head": HeadOnly(),
    "full": Full(),
}
TASKS = {
    "two": Classification(("0", "1")),
    "three": Classification(("none", "weak", "strong")),
    "labels": MultiLabel(("TATA", "GC")),
    "value": Regression(("expression",), mean=3.0, spread=2.5),
}

# What each head has beside its outputs. 81 letters are 28 tokens at most.
HEADS = {
    "cls": {},
    "mean": {},
    "tokens": {"tokens": 40, "bottleneck": 0, "bases": 0},
    "attention": {"queries": 2, "positions": 10},
}

_RANDOM = np.random.default_rng(17)


def random_dna(letters, alphabet="ACGT"):
    return "".join(_RANDOM.choice(list(alphabet), letters))


# 81 letters are 13 6-mers and 3 single letters, or 27 3-mers; N splits what it stands in. Two
# lengths in tokens, each of which is compiled once.
SEQUENCES = [
    random_dna(81),
    "AAAAAATTTTTTACACAC" + random_dna(63).lower(),
    random_dna(16) + "NN" + random_dna(4) + "N" + random_dna(6),
]


def small_run(model, kind="lora", task="two", pooling="mean", seed=0):
    """A run of a kind of adapter on `model`, drawn with NumPy."""
    config, random = ADAPTERS[kind], np.random.default_rng(seed)

    def near(leaf):
        centre = np.asarray(leaf) if isinstance(leaf, jax.Array) else kind == "ia3"
        return (centre + 0.2 * random.standard_normal(leaf.shape)).astype(np.float32)

    if kind == "full":
        tree = adapters.init(config, model.config, model.params, None).parameters
    else:
        start = partial(adapters.init, config, model.config, model.params)
        tree = jax.eval_shape(start, jax.random.key(0)).parameters
    head = head_from_dict(
        {"pooling": pooling, "outputs": len(TASKS[task].outputs)} | HEADS[pooling]
    )
    start = partial(head.init, model.config.embed_dim)
    parameters = jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape).astype(np.float32),
        jax.eval_shape(start, jax.random.key(0)),
    )
    adapter = Adapter(config, jax.tree.map(near, tree))
    return Run(model, head, Trainable(adapter, parameters), TASKS[task], None)
