"""Dropout of the backbone while it is adapted, whatever the adapter.

What attention and feed-forward add to the residual stream is dropped, each number on its own, as in
the transformer of Vaswani et al. (2017, section 5.4). Where rows are few, all weights or a head on
all tokens learn them by heart after a few passes; published checkpoints were pre-trained on so many
tokens that they needed none.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ntjax.adapters.base import Binding
from ntjax.adapters.dropout import Dropout, drop
from ntjax.models.config import ROOT
from ntjax.models.transformer import Linear, no_hook

SITES = ("mha_output", "fc2")
"""Linear layers whose outputs are added to the residual stream."""

# Beyond the places that adapters draw for.
_FIRST_PLACE = 2**20


def with_backbone_dropout(binding: Binding, dropout: Dropout) -> Binding:
    """Drop what the backbone's blocks add, around whatever an adapter does there."""
    inner, rate = binding.hook or no_hook, dropout.backbone
    assert rate is not None

    def hook(layer: dict[str, Any], name: str, linear: Linear, x: jax.Array) -> jax.Array:
        added = inner(layer["adapter"], name, linear, x)
        if name not in SITES:
            return added
        place = _FIRST_PLACE + layer["number"] * len(SITES) + SITES.index(name)
        return drop(added, rate, dropout.keys, place)

    layers = len(binding.params[f"{ROOT}/layers/{SITES[0]}"]["w"])
    inputs = {"adapter": binding.per_layer, "number": jnp.arange(layers)}
    return Binding(binding.params, hook, inputs)
