"""A run whose adapter is part of its weights: nothing is added in each forward pass."""

from dataclasses import replace

import jax

from ntjax import adapters
from ntjax.adapters import Adapter, HeadOnly
from ntjax.runs.run import Run


def merged_run(run: Run) -> Run:
    """Fold the adapter of a run into its weights, once for many sequences.

    Its outputs are the run's but for rounding. The weights of the run itself stay as they are, so
    that those that the adapter changes are in memory twice.
    """
    if run.adapter.trains_backbone or not jax.tree.leaves(run.trainable.adapter.parameters):
        return run
    params = adapters.merge(run.trainable.adapter, run.model.params)
    trainable = run.trainable._replace(adapter=Adapter(HeadOnly(), {}))
    return replace(run, model=replace(run.model, params=params), trainable=trainable)
