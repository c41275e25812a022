"""The forward pass of a trained model: backbone, adapter and head, without anything of a step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import optax

from ntjax.adapters import Adapter, Dropout
from ntjax.adapters.apply import forward
from ntjax.inference.devices import over_devices
from ntjax.models.attention import Attention, attention_on
from ntjax.models.config import TransformerConfig
from ntjax.models.heads import HeadConfig


class Trainable(NamedTuple):
    """What is differentiated: adapter and head, float32 master weights."""

    adapter: Adapter
    head: Any


@dataclass(frozen=True)
class ForwardConfig:
    """What is compiled into a forward pass.

    Attributes:
        model: sizes of the backbone.
        head: its kind and outputs; None where the language model's own head is read.
        dtype: type of the computation.
        rematerialise: recompute activations in the backward pass.
        attention: the form of it, as `attention_on` chooses it for the devices; rows shorter than
            `CUDNN_TOKENS` take the plain one.
    """

    model: TransformerConfig
    head: HeadConfig | None = None
    dtype: str = "float32"
    rematerialise: bool = False
    attention: Attention = "plain"


def local_attention(model: TransformerConfig, dtype: str) -> Attention:
    """Choose the attention of programs that run on this machine's devices."""
    return attention_on(jax.local_devices()[0], dtype, model.key_dim)


def head_outputs(
    config: ForwardConfig,
    params: Any,
    trainable: Trainable,
    tokens: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """Return the head's outputs [rows, outputs] for token ids [rows, tokens]."""
    if config.head is None:
        raise ValueError("this configuration has no head: read the logits")
    # What is recomputed on the way back is computed in whole layers.
    whole = config.rematerialise or _weights_are_trained(trainable.adapter)
    first = None if whole else config.head.first_tokens
    embeddings = last_embeddings(config, params, trainable.adapter, tokens, dropout, first)
    return config.head.apply(trainable.head, embeddings, tokens)


def _weights_are_trained(adapter: Adapter) -> bool:
    return adapter.config.trains_backbone and bool(adapter.parameters)


def last_embeddings(
    config: ForwardConfig,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
    dropout: Dropout | None = None,
    first_tokens: int | None = None,
) -> jax.Array:
    """Return the last layer's embeddings [rows, tokens, dim], after the final layer norm.

    With `first_tokens` those of so many first tokens alone, [rows, first_tokens, dim].
    """
    last = config.model.num_layers
    outputs = forward(
        config.model,
        config.dtype,
        params,
        tokens,
        adapter,
        dropout,
        logits=False,
        embeddings_layers=(last,),
        first_tokens=first_tokens,
        rematerialise=config.rematerialise,
        attention=config.attention,
    )
    return outputs[f"embeddings_{last}"]


def masked_logits(
    config: ForwardConfig,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
    positions: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """Return the logits [rows, chosen, vocabulary] at positions [rows, chosen]."""
    return forward(
        config.model,
        config.dtype,
        params,
        tokens,
        adapter,
        dropout,
        positions=positions,
        rematerialise=config.rematerialise,
        attention=config.attention,
    )["logits"]


def masked_scores(
    config: ForwardConfig,
    params: Any,
    trainable: Trainable,
    tokens: jax.Array,
    positions: jax.Array,
    targets: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the loss in nats and whether the likeliest token is right, both [rows, chosen]."""
    logits = masked_logits(config, params, trainable.adapter, tokens, positions)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses, logits.argmax(axis=-1) == targets


@lru_cache(maxsize=64)
def compile_predict(config: ForwardConfig) -> Callable:
    """`predict(params, trainable, tokens [devices, rows, tokens])` -> [devices, rows, outputs]."""
    return over_devices(partial(head_outputs, config), config.dtype)


@lru_cache(maxsize=64)
def compile_masked_scores(config: ForwardConfig) -> Callable:
    """`masked_scores` of arrays [devices, rows, ...]."""
    in_axes = (None, None, 0, 0, 0)
    return over_devices(partial(masked_scores, config), config.dtype, in_axes=in_axes)
