"""Folders of ESM models as Hugging Face transformers writes them: what lies where, and writing.

Such a folder holds `config.json` and `model.safetensors`, or several files of weights and
`model.safetensors.index.json`, which says what lies where. PyTorch keeps a linear layer's weights
as [outputs, inputs] and every layer by itself:

    esm.encoder.layer.7.attention.self.query.weight     [heads * key_dim, dim]
    nucleotide_transformer/layers/query/w      [layers, dim, heads * key_dim]
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.checkpoints import safetensors
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.io.files import written_atomically

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

_ROOT = "nucleotide_transformer"

# Our modules and theirs, {} standing for the number of a layer from 0.
_MODULES = {
    "embed": "esm.embeddings.word_embeddings",
    "positional_embedding": "esm.embeddings.position_embeddings",
    "emb_layer_norm_before": "esm.embeddings.layer_norm",
    "layers/self_attention_layer_norm": "esm.encoder.layer.{}.attention.LayerNorm",
    "layers/query": "esm.encoder.layer.{}.attention.self.query",
    "layers/key": "esm.encoder.layer.{}.attention.self.key",
    "layers/value": "esm.encoder.layer.{}.attention.self.value",
    "layers/mha_output": "esm.encoder.layer.{}.attention.output.dense",
    "layers/final_layer_norm": "esm.encoder.layer.{}.LayerNorm",
    "layers/fc1": "esm.encoder.layer.{}.intermediate.dense",
    "layers/fc2": "esm.encoder.layer.{}.output.dense",
    "emb_layer_norm_after": "esm.encoder.emb_layer_norm_after",
    "lm_head_fc_1": "lm_head.dense",
    "lm_head_layer_norm": "lm_head.layer_norm",
    "lm_final_fc": "lm_head.decoder",
}
_PARAMETERS = {
    "embeddings": "weight",
    "w": "weight",
    "b": "bias",
    "scale": "weight",
    "offset": "bias",
}
# Our head with pooling 'cls'.
CLASSIFIER = {"dense": "classifier.dense", "output": "classifier.out_proj"}

# In every file of transformers, unused here: the prediction of contacts in proteins.
CONTACT_HEAD = "esm.contact_head.regression"


def their_name(module: str, parameter: str, layer: int | None = None) -> str:
    """transformers' name of one of our parameters; of a stacked one, in `layer` (from 0)."""
    plain = module.removeprefix(f"{_ROOT}/")
    if (plain, parameter) == ("lm_final_fc", "b"):
        return "lm_head.bias"
    return f"{_MODULES[plain].format(layer)}.{_PARAMETERS[parameter]}"


def is_stacked(module: str) -> bool:
    """Whether a module of our tree holds all layers."""
    return "/layers/" in module


def in_language_model_head(module: str) -> bool:
    """Whether a module of our tree is one that a classifier does not have."""
    return "/lm_" in module


def inverse_frequencies(size: int) -> np.ndarray:
    """What the positions are multiplied with to give the angles of `size` dimensions (float32)."""
    return (10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32)


def write(
    folder: Path,
    config: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, Any]],
    embed_scale: float = 1.0,
    head: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write `config.json` and `model.safetensors`, float32, one layer in memory at a time.

    Arguments:
        folder: made if there is none; files of these names in it are replaced.
        config: the content of `config.json`.
        parameters: our tree, layers stacked.
        embed_scale: multiplied into the token embedding; ESM knows no such factor.
        head: the parameters of a head with pooling 'cls'. The file is then one of
            `EsmForSequenceClassification`, which has no language-model head.

    Both files appear whole or not at all, the configuration last.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    tensors = {}
    for module, leaves in parameters.items():
        if head is None or not in_language_model_head(module):
            for name, leaf in leaves.items():
                scale = embed_scale if name == "embeddings" and module.endswith("/embed") else 1.0
                tensors |= _theirs(module, name, leaf, scale)
    for module, leaves in (head or {}).items():
        for name, leaf in leaves.items():
            tensors[f"{CLASSIFIER[module]}.{_PARAMETERS[name]}"] = _tensor(leaf, name)
    tensors |= _unused(config)
    text = (json.dumps(dict(config), indent=2) + "\n").encode()
    with written_atomically(Path(folder) / CONFIG_FILE, len(text)) as file:
        file.write(text)
        safetensors.write(Path(folder) / WEIGHTS_FILE, tensors, {"format": "pt"})


def _theirs(module: str, name: str, leaf: Any, scale: float) -> dict[str, LazyTensor]:
    """One of our parameters under transformers' names, a stacked one layer by layer."""
    if not is_stacked(module):
        return {their_name(module, name): _tensor(leaf, name, scale=scale)}
    return {their_name(module, name, i): _tensor(leaf, name, i) for i in range(leaf.shape[0])}


def _tensor(leaf: Any, name: str, layer: int | None = None, scale: float = 1.0) -> LazyTensor:
    """An array, or one layer of it, in PyTorch's orientation, made when it is written."""

    def chunks() -> Iterator[np.ndarray]:
        array = np.asarray(leaf if layer is None else leaf[layer]).astype(np.float32, copy=False)
        array = array if scale == 1.0 else array * np.float32(scale)
        yield array.T if name == "w" else array

    shape = leaf.shape if layer is None else leaf.shape[1:]
    shape = tuple(shape[::-1]) if name == "w" else tuple(shape)
    return LazyTensor(shape, np.dtype(np.float32), chunks)


def _unused(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What transformers expects to find in the file and ntjax has no use for."""
    maps = config["num_hidden_layers"] * config["num_attention_heads"]
    tensors = {
        f"{CONTACT_HEAD}.weight": np.zeros((1, maps), np.float32),
        f"{CONTACT_HEAD}.bias": np.zeros(1, np.float32),
    }
    if config["position_embedding_type"] == "rotary":
        size = config["hidden_size"] // config["num_attention_heads"]
        tensors["esm.rotary_embeddings.inv_freq"] = inverse_frequencies(size)
    return tensors
