"""The null of what pre-training taught: the same architecture with random weights."""

from dataclasses import replace

import jax

from ntjax.adapters.apply import random_parameters
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.pretrained import PretrainedModel, place_parameters
from ntjax.models.kmer_initialisation import with_composed_kmers


def untrained_like(model: PretrainedModel, seed: int = 0) -> PretrainedModel:
    """Draw the weights that pre-training of a model's architecture would begin with.

    Embeddings of k-mers are composed of those of their bases, as `ntjax.pretrain` begins.

    Arguments:
        model: whose architecture, vocabulary and type are taken.
        seed: of the weights.
    """
    params = random_parameters(model.config, jax.random.key(seed))
    params = with_composed_kmers(params, model.tokenizer, seed)
    return replace(
        model,
        name=f"{model.name}, untrained",
        params=place_parameters(params, dtype=model.dtype, sharding=replicated_sharding()),
        source={"weights": f"random weights, seed {seed}"},
        notice="",
    )
