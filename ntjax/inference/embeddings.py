"""Sequences as points: as a model sees them, and as they are before any model has read them."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, backbone_of, encoded
from ntjax.inference.devices import EVALUATION_TOKENS, in_batches, over_devices, token_batches
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import TransformerConfig
from ntjax.models.heads import mean_over_nucleotides
from ntjax.sequences.alphabet import given_sequences
from ntjax.sequences.tokenizer import Tokenizer

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Pooling = Literal["mean", "cls"] | None


def embed(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    layers: Sequence[int] | None = None,
    pooling: Pooling = "mean",
    *,
    adapter: Adapter | None = None,
    progress: str = "",
) -> dict[int, Any]:
    """Embed sequences at one or more layers, in one pass.

    The last layer's embeddings are those after the final layer norm, the others' are not normed.

    Arguments:
        model: a run (as its adapter made it), or a bare model.
        sequences: of A, C, G, T and N.
        layers: counted from 1; 0 for what enters the first; None for the last.
        pooling: "mean" over the tokens of bases (`<cls>` and padding are left out), "cls" for the
            embedding of `<cls>`, None for every token of bases.
        adapter: to run a bare model with.
        progress: name of the progress bar; "" for none.

    Returns:
        By layer float32 [sequences, dim]; with `pooling=None` a list of [tokens, dim].

    Raises:
        UserError: sequences that the model cannot read, a layer or a pooling that does not exist.
    """
    chosen = (backbone_of(model).model.config.num_layers,) if layers is None else layers
    found = embed_poolings(model, sequences, chosen, (pooling,), adapter=adapter, progress=progress)
    return {layer: values for (layer, _), values in found.items()}


def embed_poolings(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    layers: Sequence[int],
    poolings: Sequence[Pooling],
    *,
    adapter: Adapter | None = None,
    progress: str = "",
    buckets: np.ndarray | None = None,
) -> dict[tuple[int, Pooling], Any]:
    """Embed sequences at several layers and in several ways, in one pass.

    The arguments are those of `embed`. `buckets`: numbers of tokens that sequences are padded to,
    where they are part of a stream; None for those that suit them.

    Returns:
        What `embed` gives, by layer and pooling.
    """
    backbone = backbone_of(model, adapter)
    chosen, ways = tuple(layers), tuple(poolings)
    check_layers(backbone.model, chosen)
    for pooling in ways:
        if pooling not in ("mean", "cls", None):
            raise UserError(f"pooling={pooling!r} is not known: give 'mean', 'cls' or None")
    _, ids = encoded(backbone.model, sequences)
    data = TokenisedSet.unlabelled(ids)
    compiled = _compiled(backbone.model.config, backbone.model.dtype, chosen, ways)
    # What no pooling makes smaller fills the memory. A batch has one row at least.
    share = EVALUATION_TOKENS // (len(chosen) if None in ways else 1)
    batches = token_batches(data, share, buckets)
    keys = [(layer, pooling) for layer in chosen for pooling in ways]
    points: dict[tuple[int, Pooling], list] = {key: [None] * len(ids) for key in keys}
    for rows, values in in_batches(
        compiled, backbone.model.params, backbone.adapter, batches, progress
    ):
        for key, own in zip(keys, values, strict=True):
            for row, value in zip(rows, own, strict=True):
                points[key][row] = value if key[1] else value[1 : data.lengths[row]]
    return {key: np.stack(own) if key[1] else own for key, own in points.items()}


def named_layers(text: str, model: PretrainedModel) -> list[int]:
    """Read layers as a user writes them: `3,6,last`, or `all`, with 0 for what enters the first.

    Raises:
        UserError: something else, or a layer that the model does not have.
    """
    last = model.config.num_layers
    if text == "all":
        return list(range(last + 1))
    try:
        layers = [last if word.strip() == "last" else int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"layers {text}: give numbers, last or all, such as 3,6,last") from None
    check_layers(model, layers)
    return list(dict.fromkeys(layers))


def check_layers(model: PretrainedModel, layers: Sequence[int]) -> None:
    """Refuse layers that a model does not have.

    Raises:
        UserError: names the first one.
    """
    for layer in layers:
        if layer not in range(model.config.num_layers + 1):
            raise UserError(
                f"layer {layer} does not exist: layers of {model.name} count from 1 to "
                f"{model.config.num_layers}; 0 is what enters the first"
            )


def second_moments(model: PretrainedModel, data: TokenisedSet) -> np.ndarray:
    """Average x xᵀ over the last layer's embeddings x of all tokens: float64 [dim, dim].

    `<cls>` counts, padding does not.
    """
    config = model.config
    compiled = _compiled(config, model.dtype, (config.num_layers,), (None,))
    total = np.zeros((config.embed_dim, config.embed_dim))
    batches = token_batches(data, max(data.tokens.shape[1], EVALUATION_TOKENS))
    for rows, [values] in in_batches(compiled, model.params, None, batches):
        known = np.arange(values.shape[1]) < data.lengths[rows, None]
        x = values[known].astype(np.float64)
        total += x.T @ x
    return total / data.lengths.sum()


@lru_cache(maxsize=64)
def _compiled(
    config: TransformerConfig,
    dtype: str,
    layers: tuple[int, ...],
    poolings: tuple[Pooling, ...],
) -> Callable:
    return over_devices(partial(_pooled, config, dtype, layers, poolings), dtype)


def _pooled(
    config: TransformerConfig,
    dtype: str,
    layers: tuple[int, ...],
    poolings: tuple[Pooling, ...],
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
) -> list[jax.Array]:
    """Embeddings [rows, dim] of each layer and pooling; [rows, tokens, dim] without pooling."""
    outputs = forward(
        config, dtype, params, tokens, adapter, logits=False, embeddings_layers=layers
    )
    ways = {
        "mean": lambda embeddings: mean_over_nucleotides(embeddings, tokens),
        "cls": lambda embeddings: embeddings[:, 0],
        None: lambda embeddings: embeddings,
    }
    return [
        ways[pooling](outputs[f"embeddings_{layer}"]) for layer in layers for pooling in poolings
    ]


def one_hot_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> "csr_array":
    """The tokens at their places: float32 [sequences, places * vocabulary], sparse.

    Column `place * vocabulary + id` is 1 where the token `id` stands at `place`, counted from 0
    after `<cls>`; `<pad>` has no column set.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    columns = np.arange(ids.shape[1]) * tokenizer.vocabulary_size + ids
    return _counted(ids, columns, ids.shape[1] * tokenizer.vocabulary_size)


def bag_of_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> "csr_array":
    """How often each token occurs, wherever it stands: float32 [sequences, vocabulary], sparse.

    `<cls>` and `<pad>` are not counted.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    return _counted(ids, ids, tokenizer.vocabulary_size)


def _counted(ids: np.ndarray, columns: np.ndarray, width: int) -> "csr_array":
    """Add one at every real token's column: int [sequences, places] -> [sequences, width]."""
    from scipy.sparse import csr_array

    real = ids != Tokenizer.pad_id
    starts = np.concatenate([[0], real.sum(axis=1).cumsum()])
    ones = np.ones(starts[-1], np.float32)
    matrix = csr_array((ones, columns[real], starts), shape=(len(ids), width))
    matrix.sum_duplicates()
    return matrix
