"""Attention salience, as the *E. coli* promoter report defines it, and what chance gives of it.

The attention that a token receives is the mean of the attention weights a[head, query, key] with
that token as the key, over the heads of the chosen layers (the last one, if none is named) and over
the queries: all tokens of the sequence, `<cls>` among them, as it is what a `cls` head reads.
`<pad>` asks for nothing and receives nothing. What `<cls>` receives is not given to any letter, and
what the other tokens receive is not scaled up for it: a row sums to less than one.

The report's salience of a letter is the attention that its token receives, divided by the count of
that letter in that token + 1e-6. All letters of one kind in a token have the same salience, and a
letter that stands there alone has three times that of one that stands there three times: the
division favours rare letters whatever the model looks at. Shuffling the attention among the tokens
of a sequence keeps this preference and loses the rest, and as the salience is linear in the
attention, its mean over all shuffles is the salience of the mean attention. That is the control,
without a draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, Backbone, backbone_of, encoded
from ntjax.inference.devices import EVALUATION_TOKENS, in_batches, over_devices, token_batches
from ntjax.inference.pretrained import PretrainedModel
from ntjax.interpret.letters import letter_places
from ntjax.models.config import TransformerConfig
from ntjax.sequences.tokenizer import Tokenizer

PSEUDO_COUNT = 1e-6

# Attention weights of a batch on one device: 256 MB. A single row's may be more.
_WEIGHTS_PER_BATCH = 1 << 26

Queries = Literal["all", "cls"]


@dataclass(frozen=True)
class AttentionSalience:
    """Both versions of the salience, float32 [sequences, letters]; 0 behind a sequence's end.

    Attributes:
        salience: the report's.
        shuffled: its mean over all ways to shuffle the attention among the nucleotide tokens.
    """

    salience: np.ndarray
    shuffled: np.ndarray

    @property
    def above_shuffled(self) -> np.ndarray:
        """The salience less the control: 0 where a token receives the mean attention."""
        return self.salience - self.shuffled


def attention_salience(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    *,
    adapter: Adapter | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    queries: Queries = "all",
    progress: str = "",
) -> AttentionSalience:
    """The salience of every letter.

    Arguments:
        model: a run, or a bare model.
        sequences: of A, C, G, T and N; N has a salience like any other letter.
        adapter: to run a bare model with.
        layers: counted from 1; None for the last.
        heads: counted from 0, as they stand in `attention_L`; None for all.
        queries: "all" tokens, or "cls" for what `<cls>` alone looks at.
        progress: name of the progress bar; "" for none.

    Raises:
        UserError: sequences that the model cannot read, a layer or head that does not exist.
    """
    backbone = backbone_of(model, adapter)
    cleaned, ids = encoded(backbone.model, sequences)
    received = _received_attention(backbone, ids, layers, heads, queries, progress)
    places = letter_places(backbone.model.tokenizer, cleaned, ids)
    nucleotides = ids != Tokenizer.pad_id
    nucleotides[:, 0] = False
    mean = np.mean(received, axis=1, where=nucleotides, keepdims=True, dtype=np.float64)
    divisor = places.count + PSEUDO_COUNT
    shuffled = np.where(places.exists, mean / divisor, 0)
    return AttentionSalience(
        (places.spread(received) / divisor).astype(np.float32), shuffled.astype(np.float32)
    )


def received_attention(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    *,
    adapter: Adapter | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    queries: Queries = "all",
    progress: str = "",
) -> np.ndarray:
    """The attention that each token receives, float32 [sequences, tokens], 0 at `<pad>`.

    Column 0 is `<cls>`. Arguments and errors as of `attention_salience`.
    """
    backbone = backbone_of(model, adapter)
    _, ids = encoded(backbone.model, sequences)
    return _received_attention(backbone, ids, layers, heads, queries, progress)


def _received_attention(
    backbone: Backbone,
    ids: np.ndarray,
    layers: Sequence[int] | None,
    heads: Sequence[int] | None,
    queries: Queries,
    progress: str,
) -> np.ndarray:
    model = backbone.model
    config = model.config
    chosen = _chosen("layer", layers, range(1, config.num_layers + 1), [config.num_layers])
    some_heads = _chosen(
        "head", heads, range(config.attention_heads), range(config.attention_heads)
    )
    if queries not in ("all", "cls"):
        raise UserError(f"queries={queries!r} is not known: give 'all' or 'cls'")
    compiled = _compiled(config, model.dtype, chosen, some_heads, queries)
    weights_per_token = len(chosen) * config.attention_heads * ids.shape[1]
    most = max(ids.shape[1], min(EVALUATION_TOKENS, _WEIGHTS_PER_BATCH // weights_per_token))
    received = np.zeros(ids.shape, np.float32)
    batches = token_batches(TokenisedSet.unlabelled(ids), most)
    for rows, values in in_batches(compiled, model.params, backbone.adapter, batches, progress):
        received[rows, : values.shape[1]] = values
    return received


def _chosen(
    what: str, given: Sequence[int] | None, known: range, default: Sequence[int]
) -> tuple[int, ...]:
    chosen = tuple(sorted(set(default if given is None else given)))
    unknown = [number for number in chosen if number not in known]
    if unknown or not chosen:
        raise UserError(
            f"{what} {', '.join(map(str, unknown)) or '(none)'} does not exist: the model's "
            f"{what}s count from {known[0]} to {known[-1]}"
        )
    return chosen


@lru_cache(maxsize=64)
def _compiled(
    config: TransformerConfig,
    dtype: str,
    layers: tuple[int, ...],
    heads: tuple[int, ...],
    queries: Queries,
) -> Any:
    return over_devices(partial(_received, config, dtype, layers, heads, queries), dtype)


def _received(
    config: TransformerConfig,
    dtype: str,
    layers: tuple[int, ...],
    heads: tuple[int, ...],
    queries: Queries,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
) -> jax.Array:
    """Mean attention to each key, float32 [rows, tokens]."""
    outputs = forward(config, dtype, params, tokens, adapter, logits=False, attention_layers=layers)
    # One layer's map [rows, heads, queries, keys] at a time.
    maps = [outputs[f"attention_{layer}"][:, list(heads)].mean(axis=1) for layer in layers]
    by_query = sum(maps) / len(maps)
    if queries == "cls":
        return by_query[:, 0]
    asks = (tokens != Tokenizer.pad_id)[..., None]
    return jnp.where(asks, by_query, 0).sum(axis=1) / asks.sum(axis=1)
