"""Read a folder of an ESM model; `ntjax.checkpoints.esm` writes one."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import read_hyperparameters
from ntjax.checkpoints.esm_config import (
    CLASSIFIER,
    CONFIG_FILE,
    CONTACT_HEAD,
    WEIGHTS_FILE,
    in_language_model_head,
    inverse_frequencies,
    is_stacked,
    their_name,
)
from ntjax.checkpoints.official import (
    HYPERPARAMETERS_FILE,
    Shapes,
    lazy_stack,
    misfit,
    parameter_problems,
)
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError

_INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
_PICKLE_FILE = "pytorch_model.bin"

_EMBEDDING = "esm.embeddings.word_embeddings.weight"
_DECODER = "lm_head.decoder.weight"

_IN_LAYER = re.compile(r"esm\.encoder\.layer\.([0-9]+)\.")

# What ntjax does without: the prediction of contacts in proteins, and the numbers 0, 1, 2, ...
_IGNORED = (f"{CONTACT_HEAD}.weight", f"{CONTACT_HEAD}.bias", "esm.embeddings.position_ids")

# A file saved in half precision holds the rotary frequencies rounded to 8 bits or more. They are
# computed here, exactly, as they were when the model was trained.
_ROUNDING = 2.0**-8


def is_esm_folder(folder: Path) -> bool:
    """Whether a folder holds a Hugging Face model and none in the official format."""
    folder = Path(folder)
    if (folder / "jax_model").exists() or (folder / HYPERPARAMETERS_FILE).exists():
        return False
    if (folder / WEIGHTS_FILE).exists() or (folder / _INDEX_FILE).exists() or _pickled(folder):
        return True
    # A run's own config.json has no model_type.
    config = folder / CONFIG_FILE
    return config.is_file() and "model_type" in read_hyperparameters(config)


@dataclass(frozen=True)
class EsmFolder:
    """A folder whose files are open; no weights are read yet.

    Attributes:
        folder: where the files lie.
        config: the content of `config.json`.
        files: those that hold weights, in order of their names.
        tensors: read-only views of the memory-mapped files, by transformers' names.
    """

    folder: Path
    config: dict[str, Any]
    files: tuple[Path, ...]
    tensors: dict[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path) -> "EsmFolder":
        """Read the configuration and map the weights.

        Raises:
            UserError: a file is missing or damaged, or the model has another head than one for
                masked language modelling or for classification.
        """
        folder = Path(folder)
        files = _weights_files(folder)
        if not (folder / CONFIG_FILE).exists():
            raise UserError(
                f"{folder / CONFIG_FILE}: is not there; fetch it too, it lies next to the weights "
                "wherever these came from"
            )
        config = read_hyperparameters(folder / CONFIG_FILE)
        tensors: dict[str, np.ndarray] = {}
        for file in files:
            for name, tensor in safetensors.read(file)[0].items():
                if (name := _present_name(name)) in tensors:
                    raise UserError(f"{file}: {printable(name)} stands twice; save the model again")
                tensors[name] = tensor
        opened = cls(folder, config, files, tensors)
        if not (opened.has_language_model_head or opened.has_classifier):
            kinds = config.get("architectures") or "unknown"
            kind = printable(", ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds))
            raise UserError(
                f"{folder}: holds neither a language-model head (EsmForMaskedLM) nor a "
                f"classifier (EsmForSequenceClassification): its architecture is {kind}; save "
                "the model as one of these two"
            )
        return opened

    @property
    def has_language_model_head(self) -> bool:
        """Whether it was saved from `EsmForMaskedLM`."""
        return "lm_head.bias" in self.tensors

    @property
    def has_classifier(self) -> bool:
        """Whether it was saved from `EsmForSequenceClassification`."""
        return f"{CLASSIFIER['output']}.weight" in self.tensors

    @property
    def classes(self) -> int:
        """The outputs of the classifier."""
        return len(self.tensors[f"{CLASSIFIER['output']}.weight"])

    def parameters(self, shapes: Shapes, key_dim: int) -> dict[str, dict[str, LazyTensor]]:
        """Our parameter tree, of the given `shapes`, float32; layers are transposed as written.

        A classifier has no language-model head: its place is filled with zeros.

        Arguments:
            shapes: of our parameters, layers stacked.
            key_dim: dimensions of a head; a file's rotary frequencies are compared with it.

        Raises:
            UserError: a parameter is missing, of another shape, not finite, or unknown.
        """
        self._check_layers(shapes)
        remaining = dict(self.tensors)
        problems = list(self._take_what_is_not_needed(remaining, key_dim))
        if self._tied and self.has_language_model_head and _EMBEDDING in self.tensors:
            remaining[_DECODER] = self.tensors[_EMBEDDING]
        stacked: dict[str, dict[str, LazyTensor]] = {}
        for module, leaves in shapes.items():
            if in_language_model_head(module) and not self.has_language_model_head:
                stacked[module] = {name: _zeros(tuple(shape)) for name, shape in leaves.items()}
                continue
            for name, shape in leaves.items():
                parts = []
                for expected, their_shape in _pieces(module, name, tuple(shape)):
                    found = remaining.pop(expected, None)
                    problems += _problems(expected, their_shape, found)
                    if found is not None:
                        parts.append(found.T if name == "w" else found)
                stacked.setdefault(module, {})[name] = lazy_stack(tuple(shape), parts)
        problems += [f"unexpected {printable(name)} {remaining[name].shape}" for name in remaining]
        self._refuse(problems)
        return stacked

    def head(self) -> dict[str, dict[str, np.ndarray]]:
        """The classifier as the parameters of our head with pooling 'cls', float32.

        Raises:
            UserError: a parameter is missing, of another shape, or not finite.
        """
        embed = self.tensors[_EMBEDDING].shape[-1] if _EMBEDDING in self.tensors else 0
        output = self.tensors[f"{CLASSIFIER['output']}.weight"]
        if output.ndim != 2:
            shown = f"{CLASSIFIER['output']}.weight has shape {output.shape}"
            self._refuse([f"{shown}, expected (classes, {embed})"])
        head: dict[str, dict[str, np.ndarray]] = {}
        problems: list[str] = []
        for module, outputs in (("dense", embed), ("output", self.classes)):
            for name, shape in (("weight", (outputs, embed)), ("bias", (outputs,))):
                expected = f"{CLASSIFIER[module]}.{name}"
                found = self.tensors.get(expected)
                problems += _problems(expected, shape, found)
                if found is not None:
                    array = np.array(found.T, np.float32, order="C")
                    head.setdefault(module, {})["w" if name == "weight" else "b"] = array
        self._refuse(problems)
        return head

    @property
    def _tied(self) -> bool:
        tied = self.config.get("tie_word_embeddings")
        return tied is None or bool(tied)

    def _check_layers(self, shapes: Shapes) -> None:
        """Compare the layers in number: a list of what each lacks could be of any length."""
        expected = next(
            shape[0]
            for module, leaves in shapes.items()
            if is_stacked(module)
            for shape in leaves.values()
        )
        found = {match[1] for name in self.tensors if (match := _IN_LAYER.match(name))}
        if len(found) != expected:
            raise UserError(
                f"{self.folder / CONFIG_FILE}: num_hidden_layers is {expected}, the weights next "
                f"to it have {len(found)} layers; take both from the same model"
            )

    def _take_what_is_not_needed(
        self, remaining: dict[str, np.ndarray], key_dim: int
    ) -> Iterator[str]:
        """Remove it from `remaining`; say what of it has another meaning than it should."""
        for name in list(remaining):
            if name.endswith("rotary_embeddings.inv_freq"):
                yield from _frequency_problems(name, remaining.pop(name), key_dim)
            elif name in _IGNORED or name.startswith("classifier."):
                del remaining[name]
        decoder, embedding = self.tensors.get(_DECODER), self.tensors.get(_EMBEDDING)
        if (
            self._tied
            and decoder is not None
            and (embedding is None or not np.array_equal(decoder, embedding))
        ):
            yield (
                f"{_DECODER} is not the embedding, although tie_word_embeddings is true (set it "
                "to false if the decoder counts)"
            )

    def _refuse(self, problems: list[str]) -> None:
        if problems:
            remedy = "save the model again with transformers' save_pretrained"
            raise UserError(misfit(problems, str(self.folder), remedy))


def _present_name(name: str) -> str:
    """The name in memory; transformers writes `LayerNorm.weight` by its name of old, `gamma`."""
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _pieces(
    module: str, name: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Their names and shapes of one of our parameters, layer by layer if it is stacked."""
    layers, part = (range(shape[0]), shape[1:]) if is_stacked(module) else ((None,), shape)
    for layer in layers:
        yield their_name(module, name, layer), part[::-1] if name == "w" else part


def _zeros(shape: tuple[int, ...]) -> LazyTensor:
    # Made when they are written, when it is known that the shape is that of the file.
    return LazyTensor(shape, np.dtype(np.float32), lambda: (np.zeros(shape, np.float32),))


def _frequency_problems(name: str, found: np.ndarray, key_dim: int) -> Iterator[str]:
    """What is wrong with the rotary frequencies of a file: at most one text."""
    expected = ((key_dim + 1) // 2,)
    if found.shape != expected:
        yield (
            f"{printable(name)} has shape {found.shape}, expected {expected} for heads of "
            f"{key_dim} dimensions (hidden_size / num_attention_heads)"
        )
        return
    frequencies = inverse_frequencies(key_dim)
    if not np.allclose(found.astype(np.float32), frequencies, rtol=_ROUNDING, atol=0):
        yield f"{printable(name)} is not 10000^(-2i / {key_dim})"


def _problems(expected: str, shape: tuple[int, ...], found: np.ndarray | None) -> Iterator[str]:
    return parameter_problems(expected, shape, None if found is None else (expected, found))


def _pickled(folder: Path) -> bool:
    """Whether the weights of a folder, or a part of them, are there as a pickle."""
    return any(folder.glob(f"{_PICKLE_FILE}*")) or any(folder.glob("pytorch_model-*.bin"))


def _weights_files(folder: Path) -> tuple[Path, ...]:
    """The file, or the files that the index names, in order of their names."""
    if (folder / WEIGHTS_FILE).is_file():
        return (folder / WEIGHTS_FILE,)
    index = folder / _INDEX_FILE
    if not index.is_file():
        why = f" ({_PICKLE_FILE} is a pickle, which can run code: not read)"
        raise UserError(
            f"{folder}: has no {WEIGHTS_FILE}{why if _pickled(folder) else ''}; save the model as "
            "safetensors, transformers' save_pretrained does"
        )
    weight_map = read_hyperparameters(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not names or not all(_is_file_name(name) for name in names):
        raise UserError(f"{index}: does not say which file holds which weights; save it again")
    names = sorted(set(names))
    # os.path's, unlike pathlib's, says False of a name that no file can have.
    if absent := [name for name in names if not os.path.isfile(folder / name)]:
        raise UserError(f"{index}: names {printable(absent[0])}, which is not there; fetch it too")
    return tuple(folder / name for name in names)


def _is_file_name(name: object) -> bool:
    """Whether it is the name of something in the folder itself."""
    return isinstance(name, str) and bool(name) and Path(name).name == name
