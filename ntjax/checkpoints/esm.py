"""ESM models of Hugging Face transformers: read and written as ours.

    model = read_esm("FOLDER")          # EsmForMaskedLM or EsmForSequenceClassification
    write_esm("FOLDER", nt.config, nt.params)

`ntjax.load_pretrained("FOLDER")` uses what is here; `ntjax.runs.export` writes a trained run. A
folder holds `config.json` and `model.safetensors`, or several files of weights and
`model.safetensors.index.json`, which says what lies where. What is written has transformers'
tokenizer beside it (`vocab.txt`, `tokenizer_config.json`); reading needs none.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import through_cache
from ntjax.checkpoints.esm_config import (
    CLASSIFIER,
    CONFIG_FILE,
    CONTACT_HEAD,
    PARAMETERS,
    WEIGHTS_FILE,
    config_from_esm,
    esm_from_config,
    in_language_model_head,
    inverse_frequencies,
    is_stacked,
    their_name,
)
from ntjax.checkpoints.esm_folder import EsmFolder
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError
from ntjax.io.files import write_bytes, written_atomically
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.sequences.tokenizer import Tokenizer

_VOCABULARY_FILE, _TOKENIZER_FILE = "vocab.txt", "tokenizer_config.json"

Tree = dict[str, dict[str, np.ndarray]]


class EsmModel(NamedTuple):
    """What a folder of transformers holds.

    Attributes:
        config: hyper-parameters.
        params: weights, float32, layers stacked (the tree of `parameter_shapes`); read-only
            views of a memory-mapped file. A classifier's language-model head, which transformers
            does not have, is zeros.
        head: of a classifier, the parameters of our head with pooling 'cls'; else None.
        classes: the names of its outputs; empty without a head.
        sha256: of the files of weights, one after the other.
    """

    config: TransformerConfig
    params: Tree
    head: Tree | None
    classes: tuple[str, ...]
    sha256: str


def read_esm(folder: str | Path) -> EsmModel:
    """Read a folder written by transformers' `save_pretrained`, or by `write_esm`.

    The weights are turned and stacked once and lie in the cache from then on, like official ones.

    Arguments:
        folder: holds `config.json` and `model.safetensors` (or the index of several).

    Raises:
        UserError: a file is missing or damaged, it is not an `EsmForMaskedLM` or
            `EsmForSequenceClassification`, ntjax cannot compute its architecture, or its
            vocabulary is not the Nucleotide Transformer's.
    """
    opened = EsmFolder.open(Path(folder))
    config = config_from_esm(opened.config, str(opened.folder / CONFIG_FILE))
    shapes = parameter_shapes(config)
    loaded = through_cache(
        opened.files,
        config.to_hyperparams() | {"vocabulary_size": config.vocabulary_size},
        lambda *_: shapes,
        lambda: opened.parameters(shapes, config.key_dim),
    )
    head = opened.head() if opened.has_classifier else None
    classes = _classes(opened) if head else ()
    return EsmModel(config, loaded.parameters, head, classes, loaded.sha256)


def _classes(opened: EsmFolder) -> tuple[str, ...]:
    """The names in `id2label`, in the order of the outputs; `LABEL_0` ... where it has none."""
    names = opened.config.get("id2label")
    if names is None:
        names = {}
    if not isinstance(names, dict):
        raise UserError(
            f"{opened.folder / CONFIG_FILE}: id2label={printable(repr(names))} should be an "
            'object with a name for each output ({"0": "...", "1": "..."}); correct it or leave it '
            "out"
        )
    outputs = range(opened.classes)
    return tuple(str(names.get(str(number), f"LABEL_{number}")) for number in outputs)


def write_esm(
    folder: str | Path,
    config: TransformerConfig,
    params: Mapping[str, Mapping[str, Any]],
    head: Mapping[str, Mapping[str, Any]] | None = None,
    classes: Sequence[str] = (),
    problem_type: str = "single_label_classification",
) -> None:
    """Write a model for transformers' `EsmForMaskedLM.from_pretrained`, float32.

    `embed_scale`, which ESM does not know, is multiplied into the token embedding. The tokenizer is
    written too, for `AutoTokenizer` and `pipeline`; transformers' reads upper case only. Every
    file appears whole or not at all, the configuration last.

    Arguments:
        folder: made if there is none; its `config.json`, `model.safetensors`, `vocab.txt` and
            `tokenizer_config.json` are replaced.
        config: hyper-parameters.
        params: weights, the tree of `parameter_shapes`; held one layer at a time.
        head: the parameters of a classifier's head with pooling 'cls' (`dense`, `output`). The
            folder is then for `EsmForSequenceClassification`, which has no language-model head:
            ours is left out.
        classes: names of the head's outputs.
        problem_type: transformers' name for what the outputs mean; the other two are
            'multi_label_classification' and 'regression'.

    Raises:
        UserError: ESM has no such architecture, the names are not as many as the head's outputs,
            the disk is full, or `folder` is a file or cannot be written.
    """
    folder = Path(folder)
    _refuse_file(folder)
    content = esm_from_config(config)
    if head is None:
        content |= {"architectures": ["EsmForMaskedLM"]}
    else:
        outputs = head["output"]["b"].shape[0]
        content |= _classification(classes, outputs) | {"problem_type": problem_type}
    tensors = _tensors(params, config.embed_scale, head) | _unused(content)
    beside = _tokenizer_files(config)
    text = _json_bytes(content)
    with written_atomically(folder / CONFIG_FILE, len(text)) as file:
        file.write(text)
        for name, data in beside.items():
            write_bytes(folder / name, data)
        safetensors.write(folder / WEIGHTS_FILE, tensors, {"format": "pt"})


def _json_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _tokenizer_files(config: TransformerConfig) -> dict[str, bytes]:
    """Return the content of the files that make transformers' tokenizer give our token ids."""
    tokenizer = Tokenizer.for_vocabulary_size(config.vocabulary_size, config.k_for_kmers)
    settings = {
        "tokenizer_class": "EsmTokenizer",
        "model_max_length": config.max_positions,
        "cls_token": "<cls>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
        "unk_token": "<unk>",
        "eos_token": None,  # otherwise one would be appended, which the model has never seen
    }
    return {
        _VOCABULARY_FILE: ("\n".join(tokenizer.vocabulary) + "\n").encode(),
        _TOKENIZER_FILE: _json_bytes(settings),
    }


def _refuse_file(folder: Path) -> None:
    """Refuse a folder that cannot be made because it, or one it lies in, is a file."""
    present = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not present.is_dir():
        raise UserError(f"{present}: is not a folder; name a folder to write the model to")


def _classification(classes: Sequence[str], outputs: int) -> dict[str, Any]:
    """What `config.json` says of a classifier."""
    if len(set(classes)) != outputs:
        raise UserError(
            f"the head has {outputs} outputs and {len(set(classes))} different class names; name "
            "each output"
        )
    return {
        "architectures": ["EsmForSequenceClassification"],
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "label2id": {name: number for number, name in enumerate(classes)},
    }


def _tensors(
    params: Mapping[str, Mapping[str, Any]],
    embed_scale: float,
    head: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, LazyTensor | np.ndarray]:
    """All parameters under transformers' names; with a head, no language-model head."""
    tensors: dict[str, LazyTensor | np.ndarray] = {}
    for module, leaves in params.items():
        scale = embed_scale if module.endswith("/embed") else 1.0
        if head is None or not in_language_model_head(module):
            for name, leaf in leaves.items():
                tensors |= _theirs(module, name, leaf, scale)
    for module, leaves in (head or {}).items():
        for name, leaf in leaves.items():
            tensors[f"{CLASSIFIER[module]}.{PARAMETERS[name]}"] = _tensor(leaf, name)
    return tensors


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
