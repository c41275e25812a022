"""`load_pretrained`: a model by its published name, `mini`, or a folder with its weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.checkpoints import mini
from ntjax.checkpoints.cache import load_stacked, locate
from ntjax.checkpoints.esm import read_esm
from ntjax.checkpoints.esm_folder import is_esm_folder
from ntjax.checkpoints.hub import download, pin, pinned_commit
from ntjax.checkpoints.published import PUBLISHED, unknown_model
from ntjax.errors import UserError
from ntjax.io.files import release
from ntjax.models.config import (
    TransformerConfig,
    check_length,
    config_from_hyperparams,
    parameter_shapes,
)
from ntjax.sequences.tokenizer import Tokenizer

DTYPES = ("float32", "bfloat16")

_NO_HEADS = (
    "the folder holds a classifier: its classification head is not used (read_esm of "
    "ntjax.checkpoints.esm gives it), and as it has no language-model head, token logits "
    "are 0"
)


@dataclass(frozen=True)
class PretrainedModel:
    """Configuration, weights and tokenizer of a Nucleotide Transformer.

    Attributes:
        name: as it was asked for.
        config: hyper-parameters.
        params: weights, layers stacked (the tree of `parameter_shapes`).
        tokenizer: the vocabulary that belongs to these weights.
        dtype: type of the matrices and of the computation.
        source: where the weights came from (path, revision, SHA-256), for the record of a run.
        notice: what a user has to know about these weights; empty if nothing.
    """

    name: str
    config: TransformerConfig
    params: dict[str, Any] = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    dtype: str = "float32"
    source: dict[str, str] = field(default_factory=dict)
    notice: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """What an unfinished result remembers of a model: its weights and its architecture."""
        weights = self.source.get("sha256", self.source.get("weights", ""))
        return {"weights": weights, "architecture": repr(self.config)}

    def apply(
        self,
        params: dict[str, Any],
        ids: jax.Array | np.ndarray,
        adapter: Adapter | None = None,
        attention_mask: jax.Array | None = None,
        logits: bool = True,
        embeddings_layers: tuple[int, ...] = (),
        attention_layers: tuple[int, ...] = (),
    ) -> dict[str, jax.Array]:
        """Run the model; compiled once for each shape and choice of outputs.

        Arguments:
            params: weights, usually `self.params`.
            ids: int32 [batch, tokens].
            adapter: IA³, LoRA, ... to run with.
            attention_mask: bool [batch, 1, tokens, tokens] in place of the padding mask.
            logits: False saves the language-model head.
            embeddings_layers: layers, from 1, whose embeddings are wanted; the last layer's are
                taken after the final layer norm, as the official code does.
            attention_layers: layers, from 1, whose attention maps are wanted.

        Returns:
            float32 `logits` [batch, tokens, vocabulary] (0 at `<pad>`), `embeddings_L` [batch,
            tokens, dim], `attention_L` [batch, heads, tokens, tokens], heads in true order.

        Raises:
            UserError: a layer or a token that does not exist, or more tokens than the model has
                positions.
        """
        ids = ids if hasattr(ids, "dtype") else np.asarray(ids)
        self._check(ids, attention_mask, (*embeddings_layers, *attention_layers))
        return _apply(
            self.config,
            self.dtype,
            bool(logits),
            tuple(sorted(set(embeddings_layers))),
            tuple(sorted(set(attention_layers))),
            params,
            ids,
            adapter,
            attention_mask,
        )

    def embed(
        self, sequences: Sequence[str], layer: int | None = None, pooling: Any = "mean"
    ) -> Any:
        """Embed sequences with one layer.

        Arguments:
            sequences: of A, C, G, T and N.
            layer: counted from 1; None for the last, which is taken after the final layer norm; 0
                for what enters the first.
            pooling: "mean" over the tokens of bases (`<cls>` and padding are left out), "cls" for
                the embedding of `<cls>`, None for every token of bases.

        Returns:
            float32 [sequences, dim]; with `pooling=None` a list of [tokens, dim].

        Raises:
            UserError: sequences that the model cannot read, a layer or pooling that does not exist.

        >>> import ntjax
        >>> ntjax.load_pretrained("mini").embed(["ACGTACGTACGT", "TTGACA"]).shape
        (2, 192)
        """
        from ntjax.inference.embeddings import embed  # which needs a model to be defined

        [embeddings] = embed(self, sequences, None if layer is None else [layer], pooling).values()
        return embeddings

    def _are_ids(self, ids: np.ndarray) -> bool:
        return bool(ids.min() >= 0 and ids.max() < self.config.vocabulary_size)

    def _check(self, ids: Any, attention_mask: Any, layers: tuple[int, ...]) -> None:
        if np.ndim(ids) != 2:
            raise UserError(f"ids should be [batch, tokens], not of shape {np.shape(ids)}")
        if ids.dtype.kind not in "iu":
            raise UserError(f"ids should be whole numbers, not {ids.dtype}")
        # Only of ids that lie on the host: looking at a device's would wait for it.
        if isinstance(ids, np.ndarray) and ids.size and not self._are_ids(ids):
            raise UserError(
                f"ids are {ids.min()} to {ids.max()}; {self.name} has tokens 0 to "
                f"{self.config.vocabulary_size - 1}"
            )
        batch, tokens = np.shape(ids)
        check_length(self.config, tokens)
        square = (batch, 1, tokens, tokens)
        if attention_mask is not None and np.shape(attention_mask) != square:
            raise UserError(
                f"attention_mask should be [batch, 1, tokens, tokens] = {square}, not "
                f"{np.shape(attention_mask)}"
            )
        for layer in layers:
            if not 1 <= layer <= self.config.num_layers:
                raise UserError(
                    f"layer {layer} does not exist: layers of {self.name} count from 1 to "
                    f"{self.config.num_layers}"
                )


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _apply(
    config: TransformerConfig,
    dtype: str,
    logits: bool,
    embeddings_layers: tuple[int, ...],
    attention_layers: tuple[int, ...],
    params: dict[str, Any],
    ids: jax.Array,
    adapter: Adapter | None,
    attention_mask: jax.Array | None,
) -> dict[str, jax.Array]:
    return forward(
        config,
        dtype,
        params,
        ids,
        adapter,
        attention_mask=attention_mask,
        logits=logits,
        embeddings_layers=embeddings_layers,
        attention_layers=attention_layers,
    )


def load_pretrained(
    name_or_dir: str | Path,
    dtype: str = "float32",
    *,
    sharding: jax.sharding.Sharding | None = None,
) -> PretrainedModel:
    """Load a published model, `mini`, or a folder.

    A folder holds `jax_model/` in the official format or, if there is none, an ESM model of
    Hugging Face transformers (`config.json` and `model.safetensors`). Of a classifier the head is
    left out; `ntjax.checkpoints.esm.read_esm` gives it.

    Arguments:
        name_or_dir: a published name such as '500M_1000G' (of a certain revision:
            '500M_1000G@COMMIT'), 'mini' or 'mini_human', or a folder.
        dtype: 'float32' or 'bfloat16'; norms and biases are float32 in both.
        sharding: where to put the weights; default: the first device.

    Raises:
        UserError: unknown name, no such checkpoint, a damaged or unsafe file, no network.
    """
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype '{dtype}'; known: {', '.join(DTYPES)}")
    name = str(name_or_dir)
    place = partial(place_parameters, dtype=dtype, sharding=sharding)
    if name in mini.NAMES:
        weights = {"weights": mini.weights_id(name)}
        return _model(name, mini.CONFIG, place(mini.parameters(name)), dtype, weights)
    source: dict[str, str] = {}
    sha256 = None
    published_name, _, revision = name.partition("@")
    if Path(name).is_dir():
        folder = Path(name)
    elif published_name in PUBLISHED:
        repository = PUBLISHED[published_name]
        known = revision or pinned_commit(repository)
        fetched = download(repository, known, published_name)
        if not known:
            pin(repository, fetched.commit)
        folder, sha256 = fetched.folder, fetched.sha256
        source = {"repository": repository, "revision": fetched.commit}
    else:
        raise unknown_model(name)
    config, params, found, notice = _read_folder(folder, sha256)
    # A published model is known by repository and revision, wherever the cache lies.
    source = (source or {"path": str(folder.resolve())}) | {"sha256": found}
    shown = published_name if revision else name
    return _model(shown, config, place(params), dtype, source, notice)


def _read_folder(
    folder: Path, sha256: str | None
) -> tuple[TransformerConfig, dict[str, Any], str, str]:
    """Configuration, stacked weights, their SHA-256, and what a user has to know of them."""
    if is_esm_folder(folder):
        model = read_esm(folder)
        return model.config, model.params, model.sha256, _NO_HEADS if model.head else ""
    where = str(locate(folder)[0])

    def shapes(hyperparams: dict[str, Any], vocabulary_size: int) -> Any:
        return parameter_shapes(config_from_hyperparams(hyperparams, vocabulary_size, where))

    loaded = load_stacked(folder, shapes, sha256)
    config = config_from_hyperparams(loaded.hyperparameters, loaded.vocabulary_size, where)
    return config, loaded.parameters, loaded.sha256, ""


def _model(
    name: str,
    config: TransformerConfig,
    params: dict[str, Any],
    dtype: str,
    source: dict[str, str],
    notice: str = "",
) -> PretrainedModel:
    tokenizer = Tokenizer.for_vocabulary_size(config.vocabulary_size, config.k_for_kmers)
    return PretrainedModel(name, config, params, tokenizer, dtype, source, notice)


def place_parameters(params: Any, *, dtype: str, sharding: jax.sharding.Sharding | None) -> Any:
    """Put weights on the device, matrices in `dtype`; one array at a time, to spare memory."""
    cast: Callable = jax.jit(lambda w: w.astype(dtype))

    def place(path: tuple, leaf: Any) -> jax.Array:
        # On a CPU this takes the mapped file as it is, which `jnp.asarray` would copy.
        array = jax.device_put(leaf, sharding)
        if path[-1].key in ("w", "embeddings") and array.dtype != dtype:
            array = cast(array)
        # Before the next array: what has been read of the file, and the float32 copy on the device.
        array.block_until_ready()
        release(leaf)
        return array

    return jax.tree_util.tree_map_with_path(place, params)
