"""Embed the sequences of a file, in chunks: memory does not grow with the file."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, backbone_of, buckets_of, check_rows
from ntjax.inference.embedding_cache import EmbeddingCache, embed_with_cache
from ntjax.inference.embeddings import Pooling
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.part_formats import OFFSETS
from ntjax.io.parts import Parts, of_this_input
from ntjax.io.row_stream import RowChunk, RowStream

_LONGEST_NAME = 500

Embeddings = dict[tuple[int, Pooling], Any]


class Embedded(NamedTuple):
    """What was written.

    Attributes:
        rows: how many.
        resumed: how many parts were there already.
        notes: what was guessed or changed to read the rows.
    """

    rows: int
    resumed: int
    notes: tuple[str, ...]


def embed_file(
    model: Adapted | PretrainedModel,
    stream: RowStream,
    parts: Parts,
    layers: Sequence[int],
    poolings: Sequence[Pooling],
    *,
    cache: EmbeddingCache | None = None,
    progress: bool = False,
    total: int | None = None,
) -> Embedded:
    """Embed each row, in the order of the file.

    A `.npz` file gets `names` [n]; for each layer L and pooling `embeddings_L_POOLING` float32
    [n, dim]; without pooling `tokens_L` float32 [all tokens, dim] and `offsets` [n + 1], where the
    tokens of each row begin and end. A Parquet file gets a column of lists of each in place of it,
    and no offsets. Tokens are those of bases: `<cls>` and padding are left out.

    Arguments:
        model: a run (as its adapter made it), or a bare model.
        stream: the rows.
        parts: the file.
        layers: as of `embed`.
        poolings: "mean", "cls", or None for every token.
        cache: where pooled embeddings are kept; None for nowhere.
        progress: show a progress bar.
        total: about how many rows there are.

    Raises:
        UserError: rows or layers that the model does not have, or a full disk.
    """
    backbone = backbone_of(model).model
    buckets: np.ndarray | None = None
    rows = there = number = 0
    with (
        of_this_input(parts),
        tqdm(total=total, unit="row", disable=not progress, desc="embed") as bar,
    ):
        for number, chunk in enumerate(stream.chunks()):
            if buckets is None:
                buckets = buckets_of(backbone, chunk)
            if parts.has(number):
                there += 1
            else:
                check_rows(backbone, str(stream.path), chunk)
                _check_names(stream, chunk)
                found = embed_with_cache(
                    model, chunk.sequences, layers, poolings, cache, buckets=buckets
                )
                as_table = parts.out.suffix.lower() == ".parquet"
                parts.write(number, (_table if as_table else _arrays)(chunk.names, found))
            rows += len(chunk)
            bar.update(len(chunk))
    parts.join(number + 1)
    return Embedded(rows, there, tuple(stream.notes()))


def _check_names(stream: RowStream, chunk: RowChunk) -> None:
    """Refuse names so long that an array of texts, all of one length, would fill the disk.

    Raises:
        UserError: names the first row.
    """
    for name, row in zip(chunk.names, chunk.rows, strict=True):
        if len(name) > _LONGEST_NAME:
            raise UserError(
                f"{stream.path}: row {row} has a name of {len(name):,} characters: shorten it to "
                f"{_LONGEST_NAME} at most"
            )


def _arrays(names: list[str], embeddings: Embeddings) -> dict[str, np.ndarray]:
    arrays = {"names": np.array(names)}
    for (layer, pooling), values in embeddings.items():
        if pooling:
            arrays[f"embeddings_{layer}_{pooling}"] = values
        else:
            arrays[f"tokens_{layer}"] = np.concatenate(values)
            arrays[OFFSETS] = np.concatenate([[0], np.cumsum([len(own) for own in values])])
    return arrays


def _table(names: list[str], embeddings: Embeddings) -> Any:
    import pandas as pd

    columns: dict[str, Any] = {"name": names}
    for (layer, pooling), values in embeddings.items():
        if pooling:
            columns[f"embeddings_{layer}_{pooling}"] = list(values)
        else:
            columns[f"tokens_{layer}"] = [list(own) for own in values]
    return pd.DataFrame(columns)
