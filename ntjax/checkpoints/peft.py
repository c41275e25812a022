"""PEFT's folders: LoRA and IA³ on transformers' ESM, with the head, written and read.

A folder holds `adapter_config.json` and `adapter_model.safetensors`. PyTorch keeps matrices as
[outputs, inputs] and every layer by itself:

    base_model.model.esm.encoder.layer.7.attention.self.query.lora_A.weight     [rank, dim]
    query/a                                                             [layers, dim, rank]

PEFT's IA³ rescales the outputs of key and value, [outputs, 1], and the inputs of the second
feed-forward layer, [1, inputs]: l_k, l_v and l_ff of ours.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntjax.adapters import IA3, AdapterConfig, LoRA
from ntjax.adapters.lora import PROJECTIONS
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import read_hyperparameters
from ntjax.checkpoints.esm_config import CLASSIFIER, PARAMETERS, their_name
from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError
from ntjax.io.json import finite_number, write_json
from ntjax.models.config import ROOT, TransformerConfig, parameter_shapes

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"

Tree = dict[str, Any]

_PREFIX = "base_model.model."
_VECTORS = {"l_k": "key", "l_v": "value", "l_ff": "fc2"}
_LORA_NAMES = {"a": "lora_A.weight", "b": "lora_B.weight"}
# What changes the outputs and has no place here, with the value that does not.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "fan_in_fan_out": (False, None),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
}
# Ways to begin that change the model's own weights: the adapter alone is then not what was trained.
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq")


class PeftAdapter(NamedTuple):
    """What a folder of PEFT holds.

    Attributes:
        config: LoRA or IA³.
        parameters: of the adapter, layers stacked, float32.
        head: parameters of our head with pooling 'cls'; None if the folder has none.
    """

    config: AdapterConfig
    parameters: Tree
    head: Tree | None


def write_peft(
    folder: Path,
    config: AdapterConfig,
    parameters: Mapping[str, Any],
    head: Mapping[str, Mapping[str, Any]] | None,
    layers: int,
    base: str,
) -> None:
    """Write a folder for `PeftModel.from_pretrained`.

    Arguments:
        folder: made if there is none.
        config: LoRA or IA³.
        parameters: of the adapter, layers stacked.
        head: with pooling 'cls' (`dense`, `output`), kept as the classifier; None for none.
        layers: of the model.
        base: where the model for it lies, for the record.

    Raises:
        UserError: another adapter, or the disk is full.
    """
    if isinstance(config, LoRA):
        content = _lora_content(config)
        tensors = _lora_tensors(config, parameters, layers)
    elif isinstance(config, IA3):
        content, tensors = _ia3_content(), _ia3_tensors(parameters, layers)
    else:
        raise UserError(
            f"PEFT has no adapter such as {config.kind}: --to huggingface writes the whole model"
        )
    for module, leaves in (head or {}).items():
        for name, leaf in leaves.items():
            array = np.asarray(leaf, np.float32)
            tensors[f"{_PREFIX}{CLASSIFIER[module]}.{PARAMETERS[name]}"] = _turned(array, name)
    content |= {
        "task_type": "SEQ_CLS" if head else None,
        "base_model_name_or_path": base,
        "modules_to_save": ["classifier"] if head else None,
        "inference_mode": True,
    }
    safetensors.write(folder / WEIGHTS_FILE, tensors, {"format": "pt"})
    write_json(folder / CONFIG_FILE, content)


def _module(projection: str, layer: int) -> str:
    return their_name(f"{ROOT}/layers/{projection}", "w", layer).removesuffix(".weight")


def _pattern(projections: Sequence[str]) -> str:
    """Match these linear layers and no others: PEFT takes the whole name.

    A list of endings would match too many: `attention.output.dense` ends with `output.dense`.
    """
    names = (_module(name, 0).split(".layer.0.")[1] for name in projections)
    return rf".*\.layer\.\d+\.({'|'.join(re.escape(name) for name in names)})"


def _lora_content(config: LoRA) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": _pattern(config.targets),
        "bias": "none",
    }


def _ia3_content() -> dict[str, Any]:
    return {
        "peft_type": "IA3",
        "target_modules": _pattern(list(_VECTORS.values())),
        "feedforward_modules": _pattern([_VECTORS["l_ff"]]),
    }


def _lora_tensors(
    config: LoRA, parameters: Mapping[str, Any], layers: int
) -> dict[str, np.ndarray]:
    return {
        f"{_PREFIX}{_module(name, layer)}.{theirs}": np.ascontiguousarray(
            np.asarray(parameters[name][ours][layer], np.float32).T
        )
        for name in config.targets
        for ours, theirs in _LORA_NAMES.items()
        for layer in range(layers)
    }


def _ia3_tensors(parameters: Mapping[str, Any], layers: int) -> dict[str, np.ndarray]:
    tensors = {}
    for ours, name in _VECTORS.items():
        for layer in range(layers):
            vector = np.asarray(parameters[ours][layer], np.float32)
            vector = vector[None] if ours == "l_ff" else vector[:, None]
            tensors[f"{_PREFIX}{_module(name, layer)}.ia3_l"] = vector
    return tensors


def _turned(array: np.ndarray, name: str) -> np.ndarray:
    return np.ascontiguousarray(array.T) if name == "w" else array


def read_peft(folder: Path, model: TransformerConfig) -> PeftAdapter:
    """Read a folder that PEFT, or `write_peft`, has written.

    Layers that were not adapted get an adapter that changes nothing. rsLoRA is LoRA with another
    alpha. DoRA, biases and patterns of ranks or alphas are refused by name.

    Arguments:
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.
        model: that it was trained on.

    Raises:
        UserError: a file is missing or damaged, or the adapter is not one of ours on this model.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        raise UserError(
            f"{folder}: has no {WEIGHTS_FILE}; save the adapter with PEFT's save_pretrained"
        )
    content = read_hyperparameters(folder / CONFIG_FILE)
    readers = {"LORA": _read_lora, "IA3": _read_ia3}
    kind = content.get("peft_type")
    if not isinstance(kind, str) or kind not in readers:
        raise UserError(
            f"{folder / CONFIG_FILE}: peft_type is {printable(repr(kind))}; LORA and IA3 can be "
            "read"
        )
    for name, harmless in _REFUSED.items():
        if content.get(name) not in harmless:
            raise UserError(
                f"{folder / CONFIG_FILE}: {name}={printable(repr(content[name]))} cannot be "
                "computed here: merge the adapter in PyTorch (merge_and_unload), save the model "
                "and load that"
            )
    begun = content.get("init_lora_weights")
    if isinstance(begun, str) and begun.startswith(_CHANGES_THE_BASE):
        raise UserError(
            f"{folder / CONFIG_FILE}: init_lora_weights={printable(repr(begun))} changed the "
            "model's own weights too: convert the adapter in PyTorch "
            "(path_initial_model_for_weight_conversion of save_pretrained)"
        )
    tensors = _Tensors(folder, model)
    head = _head(tensors)
    config, parameters = readers[kind](content, tensors)
    if tensors.left:
        raise UserError(
            f"{tensors.path}: {printable(min(tensors.left))} belongs to no linear layer of the "
            f"model that {kind} adapts here"
        )
    return PeftAdapter(config, parameters, head)


class _Tensors:
    """The tensors of a folder; what is taken is gone, so that in the end nothing is overlooked.

    Attributes:
        path: the file.
        model: that the adapter was trained on.
        left: those that have not been taken, by their names without the prefix.
    """

    def __init__(self, folder: Path, model: TransformerConfig):
        self.path, self.model = folder / WEIGHTS_FILE, model
        self.left = {
            name.removeprefix(_PREFIX): np.array(tensor, np.float32)
            for name, tensor in safetensors.read(self.path)[0].items()
        }

    def names(self, projection: str, parameter: str) -> list[str]:
        """Return the name of a linear layer's parameter in each block."""
        blocks = range(self.model.num_layers)
        return [f"{_module(projection, block)}.{parameter}" for block in blocks]

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Take a tensor.

        Raises:
            UserError: it is of another shape, or not finite.
        """
        tensor = self.left.pop(name)
        if tensor.shape != shape:
            raise UserError(
                f"{self.path}: {name} is {tensor.shape}, expected {shape}: was the adapter trained "
                "on another model?"
            )
        if not np.isfinite(tensor).all():
            raise UserError(f"{self.path}: {name} holds numbers that are not finite")
        return tensor

    def stacked(
        self, projection: str, parameter: str, shape: tuple[int, ...], fill: float
    ) -> np.ndarray:
        """Take a parameter of all blocks, [layers, *shape]; `fill` where a block has none."""
        none = np.full(shape, fill, np.float32)
        names = self.names(projection, parameter)
        return np.stack([self.take(name, shape) if name in self.left else none for name in names])


def _read_lora(content: Mapping[str, Any], tensors: _Tensors) -> tuple[AdapterConfig, Tree]:
    try:
        rank = content.get("r", 8)
        alpha = finite_number(content.get("lora_alpha", 8), "lora_alpha")
        dropout = finite_number(content.get("lora_dropout") or 0.0, "lora_dropout")
        if type(rank) is not int or rank < 1:
            raise ValueError(f"r is {rank!r}")
    except ValueError as error:
        config = tensors.path.with_name(CONFIG_FILE)
        raise UserError(f"{config}: {error}; save the adapter again") from None
    if content.get("use_rslora"):
        alpha *= rank**0.5  # scales by alpha / √rank
    shapes = parameter_shapes(tensors.model)
    found: Tree = {}
    for projection in PROJECTIONS:
        if not _has_lora(tensors, projection):
            continue
        inputs, outputs = shapes[f"{ROOT}/layers/{projection}"]["w"][1:]
        a = tensors.stacked(projection, _LORA_NAMES["a"], (rank, inputs), fill=0.0)
        b = tensors.stacked(projection, _LORA_NAMES["b"], (outputs, rank), fill=0.0)
        found[projection] = {"a": a.swapaxes(1, 2), "b": b.swapaxes(1, 2)}
    if not found:
        raise UserError(f"{tensors.path}: holds no LoRA on ESM's linear layers")
    return LoRA(rank=rank, alpha=alpha, dropout=dropout, targets=tuple(found)), found


def _has_lora(tensors: _Tensors, projection: str) -> bool:
    """Tell whether a linear layer has LoRA in any block.

    Raises:
        UserError: a block has one of the two matrices alone.
    """
    pairs = zip(*(tensors.names(projection, name) for name in _LORA_NAMES.values()), strict=True)
    present = [[name in tensors.left for name in pair] for pair in pairs]
    for block, (has_a, has_b) in enumerate(present):
        if has_a != has_b:
            missing = _LORA_NAMES["b" if has_a else "a"]
            raise UserError(
                f"{tensors.path}: {_module(projection, block)}.{missing} is missing; save the "
                "adapter again"
            )
    return any(has_a for has_a, _ in present)


def _read_ia3(content: Mapping[str, Any], tensors: _Tensors) -> tuple[AdapterConfig, Tree]:
    del content
    if not any(name.endswith(".ia3_l") for name in tensors.left):
        raise UserError(f"{tensors.path}: holds no IA³ vectors (ia3_l)")
    model = tensors.model
    inner = model.attention_heads * model.key_dim
    found: Tree = {}
    for ours, projection in _VECTORS.items():
        shape = (1, model.ffn_embed_dim) if ours == "l_ff" else (inner, 1)
        vectors = tensors.stacked(projection, "ia3_l", shape, fill=1.0)
        found[ours] = vectors.reshape(model.num_layers, -1)
    return IA3(), found


def _head(tensors: _Tensors) -> Tree | None:
    """Take the classifier; None if there is none."""
    names = {
        (module, ours): f"{theirs}.{PARAMETERS[ours]}"
        for module, theirs in CLASSIFIER.items()
        for ours in ("w", "b")
    }
    missing = [name for name in names.values() if name not in tensors.left]
    if len(missing) == len(names):
        return None
    if missing:
        raise UserError(f"{tensors.path}: {missing[0]} is missing")
    outputs, dim = tensors.left[names["output", "b"]].size, tensors.model.embed_dim
    shapes = {
        ("dense", "w"): (dim, dim),
        ("dense", "b"): (dim,),
        ("output", "w"): (outputs, dim),
        ("output", "b"): (outputs,),
    }
    head: Tree = {}
    for (module, ours), name in names.items():
        head.setdefault(module, {})[ours] = _turned(tensors.take(name, shapes[module, ours]), ours)
    return head
