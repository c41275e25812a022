"""What probing all layers costs beside one fine-tuning run."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax

from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import parameter_shapes


def layer_weights(model: PretrainedModel) -> int:
    """Count the numbers in the matrices of all layers: each is multiplied once for a token."""
    shapes = parameter_shapes(model.config)
    leaves = jax.tree_util.tree_leaves_with_path(shapes, is_leaf=lambda one: isinstance(one, tuple))
    return sum(
        prod(shape)
        for path, shape in leaves
        if "/layers/" in path[0].key and len(shape) == 3  # [layers, inputs, outputs]
    )


def costs(
    model: PretrainedModel,
    sequences: Sequence[str],
    embedding: Mapping[str, Mapping[str, Any]],
    probing: float,
) -> dict[str, Any]:
    """Compare a pass over all rows with passes of IA³ training, in multiplications.

    A frozen weight is multiplied once for a token on the way forward and once on the way back, so
    that a pass of training costs two passes of embedding; attention, which costs both alike, and
    recomputation are left out.

    Arguments:
        model: what is probed.
        sequences: all rows.
        embedding: seconds by network, and whether they came from the cache.
        probing: seconds of all fits.
    """
    tokens = int(model.tokenizer.count_tokens(sequences).sum())
    forward = layer_weights(model) * tokens
    return {
        "tokens": tokens,
        "multiplications_embedding_once": forward,
        "multiplications_ia3_a_pass": 2 * forward,
        "seconds_embedding": {name: dict(one) for name, one in embedding.items()},
        "seconds_probes": probing,
    }
