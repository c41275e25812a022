"""Embeddings that have been computed before, by what they are of.

A file is named by a hash of the weights, the adapter, the type of the computation and the platform,
and by one of the sequences, the layer and the pooling. What was computed in other batches differs
in the last digits (about 1e-6).
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, backbone_of
from ntjax.inference.embeddings import Pooling, embed_poolings
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.files import cache_folder, written_atomically

_IDENTITIES = ("sha256", "weights")


class EmbeddingCache:
    """Embeddings of one model, under `embeddings` in the cache folder.

    Raises:
        UserError: a model whose weights come from no file.
    """

    def __init__(self, model: Adapted | PretrainedModel):
        self.folder = cache_folder() / "embeddings" / _identity(model)[:32]

    def read(self, sequences: Sequence[str], layer: int, pooling: Pooling) -> np.ndarray | None:
        """Return what was kept, [sequences, dim], memory-mapped; None if nothing was."""
        try:
            kept = np.load(self._path(sequences, layer, pooling), mmap_mode="r")
        except (OSError, ValueError, EOFError):  # none, or a damaged one
            return None
        return kept if len(kept) == len(sequences) else None

    def keep(
        self, sequences: Sequence[str], layer: int, pooling: Pooling, embeddings: np.ndarray
    ) -> None:
        """Keep embeddings [sequences, dim]; those of every token are too large to be kept.

        Raises:
            UserError: the disk is full.
        """
        if pooling is None:
            return
        path = self._path(sequences, layer, pooling)
        with written_atomically(path, embeddings.nbytes + 128) as file:
            np.save(file, embeddings)

    def _path(self, sequences: Sequence[str], layer: int, pooling: Pooling) -> Path:
        digest = hashlib.sha256("\n".join(sequences).encode()).hexdigest()
        return self.folder / f"{digest[:32]}-{layer}-{pooling}.npy"


def embed_with_cache(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    layers: Sequence[int],
    poolings: Sequence[Pooling],
    cache: EmbeddingCache | None,
    *,
    progress: str = "",
    buckets: np.ndarray | None = None,
) -> dict[tuple[int, Pooling], Any]:
    """Read what was kept, and compute the other layers in one pass, as `embed_poolings` does.

    Arguments:
        model: and all others but the cache as of `embed_poolings`.
        cache: what was kept, and where what is computed is kept; None for nowhere.

    Raises:
        UserError: as `embed_poolings`, or the disk is full.
    """
    settings: dict[str, Any] = {"progress": progress, "buckets": buckets}
    if cache is None:
        return embed_poolings(model, sequences, layers, poolings, **settings)
    found: dict[tuple[int, Pooling], Any] = {
        (layer, pooling): cache.read(sequences, layer, pooling)
        for layer in layers
        for pooling in poolings
    }
    missing = [n for n in layers if any(found[n, pooling] is None for pooling in poolings)]
    if missing:
        new = embed_poolings(model, sequences, missing, poolings, **settings)
        for key, values in new.items():
            cache.keep(sequences, *key, values)
        found |= new
    return found


def _identity(model: Adapted | PretrainedModel) -> str:
    backbone = backbone_of(model)
    source = backbone.model.source
    known = [source[name] for name in _IDENTITIES if name in source]
    if not known:
        raise UserError(
            "embeddings are kept by the file that a model's weights come from, and this model has "
            "none: leave the cache out"
        )
    kind = (backbone.model.config, backbone.model.dtype, jax.default_backend(), version("ntjax"))
    digest = hashlib.sha256(repr([*known, *kind]).encode())
    if backbone.adapter is not None:
        digest.update(repr(backbone.adapter.config).encode())
        for leaf in jax.tree.leaves(backbone.adapter.parameters):
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
