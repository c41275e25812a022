"""Embeddings of parts of sequences, and the likelihoods of single masked tokens, in batches."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.adapters import Adapter
from ntjax.datasets.batching import TokenisedSet
from ntjax.inference.backbones import Backbone
from ntjax.inference.devices import (
    EVALUATION_TOKENS,
    RowBatch,
    in_batches,
    over_devices,
    token_batches,
)
from ntjax.inference.forward import (
    ForwardConfig,
    last_embeddings,
    local_attention,
    masked_logits,
)
from ntjax.models.heads import mean_over_nucleotides
from ntjax.sequences.tokenizer import Tokenizer


def span_embeddings(
    backbone: Backbone, ids: np.ndarray, spans: np.ndarray, buckets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average the last layer's embeddings over all tokens of bases, and over some of them.

    They are those after the final layer norm.

    Arguments:
        backbone: the model and its adapter.
        ids: int [rows, tokens], padded.
        spans: int [rows, 2], first token of a part and the token behind its last one.
        buckets: int [buckets], numbers of tokens that rows are padded to; the last is the longest.

    Returns:
        float32 [rows, dim] over all tokens, and the same over the parts.
    """
    compiled = _compiled_means(_config(backbone))
    means = np.empty((2, len(ids), backbone.model.config.embed_dim), np.float32)
    batches = _batches(ids, (spans.astype(np.int32),), buckets)
    params, adapter = backbone.model.params, backbone.adapter
    for rows, (whole, part) in in_batches(compiled, params, adapter, batches):
        means[:, rows] = whole, part
    return means[0], means[1]


def masked_token_likelihoods(
    backbone: Backbone,
    ids: np.ndarray,
    positions: np.ndarray,
    targets: np.ndarray,
    buckets: np.ndarray,
) -> np.ndarray:
    """Mask one token of each row and read how likely some tokens are there.

    Arguments:
        backbone: the model and its adapter.
        ids: int [rows, tokens], padded.
        positions: int [rows], of the token that is masked.
        targets: int [rows, targets], ids whose likelihoods are wanted.
        buckets: as of `span_embeddings`.

    Returns:
        log p in nats over the whole vocabulary, float32 [rows, targets].
    """
    masked = ids.copy()
    masked[np.arange(len(ids)), positions] = Tokenizer.mask_id
    compiled = _compiled_likelihoods(_config(backbone))
    likelihoods = np.empty(targets.shape, np.float32)
    others = positions.astype(np.int32), targets.astype(np.int32)
    params, adapter = backbone.model.params, backbone.adapter
    for rows, values in in_batches(compiled, params, adapter, _batches(masked, others, buckets)):
        likelihoods[rows] = values
    return likelihoods


def _config(backbone: Backbone) -> ForwardConfig:
    model = backbone.model
    attention = local_attention(model.config, model.dtype)
    return ForwardConfig(model.config, dtype=model.dtype, attention=attention)


def _batches(
    ids: np.ndarray, others: tuple[np.ndarray, ...], buckets: np.ndarray
) -> list[RowBatch]:
    """Batches of token ids with other arrays [rows, ...] of the same rows."""
    return token_batches(TokenisedSet.unlabelled(ids), EVALUATION_TOKENS, buckets, others)


@lru_cache(maxsize=16)
def _compiled_means(config: ForwardConfig) -> Callable:
    return over_devices(partial(_means, config), config.dtype, in_axes=(None, None, 0, 0))


@lru_cache(maxsize=16)
def _compiled_likelihoods(config: ForwardConfig) -> Callable:
    return over_devices(partial(_likelihoods, config), config.dtype, in_axes=(None, None, 0, 0, 0))


def _means(
    config: ForwardConfig,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
    spans: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Means [rows, dim] over the tokens of bases, and over those of spans [rows, 2]."""
    embeddings = last_embeddings(config, params, adapter, tokens)
    index = jnp.arange(tokens.shape[1])
    inside = ((index >= spans[:, :1]) & (index < spans[:, 1:]))[..., None]
    part = (embeddings * inside).sum(axis=1) / inside.sum(axis=1)
    return mean_over_nucleotides(embeddings, tokens), part


def _likelihoods(
    config: ForwardConfig,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
    positions: jax.Array,
    targets: jax.Array,
) -> jax.Array:
    """Log p [rows, targets] of ids [rows, targets] at positions [rows]."""
    logits = masked_logits(config, params, adapter, tokens, positions[:, None])
    return jnp.take_along_axis(jax.nn.log_softmax(logits[:, 0]), targets, axis=1)
