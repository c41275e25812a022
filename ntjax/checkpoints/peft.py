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
    tensors = {
        name.removeprefix(_PREFIX): np.array(tensor, np.float32)
        for name, tensor in safetensors.read(folder / WEIGHTS_FILE)[0].items()
    }
    head = _head(tensors, model, folder)
    config, parameters = readers[kind](content, tensors, model, folder)
    if tensors:
        raise UserError(
            f"{folder / WEIGHTS_FILE}: {printable(min(tensors))} belongs to no linear layer of the "
            f"model that {kind} adapts here"
        )
    return PeftAdapter(config, parameters, head)


def _read_lora(
    content: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
    model: TransformerConfig,
    folder: Path,
) -> tuple[AdapterConfig, Tree]:
    try:
        rank = content.get("r", 8)
        alpha = finite_number(content.get("lora_alpha", 8), "lora_alpha")
        dropout = finite_number(content.get("lora_dropout") or 0.0, "lora_dropout")
        if type(rank) is not int or rank < 1:
            raise ValueError(f"r is {rank!r}")
    except ValueError as error:
        raise UserError(f"{folder / CONFIG_FILE}: {error}; save the adapter again") from None
    if content.get("use_rslora"):
        alpha *= rank**0.5  # scales by alpha / √rank
    shapes = parameter_shapes(model)
    found: Tree = {}
    for name in PROJECTIONS:
        inputs, outputs = shapes[f"{ROOT}/layers/{name}"]["w"][1:]
        a = _stacked(tensors, name, _LORA_NAMES["a"], (rank, inputs), model.num_layers, folder)
        b = _stacked(tensors, name, _LORA_NAMES["b"], (outputs, rank), model.num_layers, folder)
        if (a is None) != (b is None):
            raise UserError(
                f"{folder / WEIGHTS_FILE}: {name} has one of lora_A and lora_B alone; save the "
                "adapter again"
            )
        if a is not None and b is not None:
            found[name] = {"a": a.swapaxes(1, 2), "b": b.swapaxes(1, 2)}
    if not found:
        raise UserError(f"{folder / WEIGHTS_FILE}: holds no LoRA on ESM's linear layers")
    return LoRA(rank=rank, alpha=alpha, dropout=dropout, targets=tuple(found)), found


def _read_ia3(
    content: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
    model: TransformerConfig,
    folder: Path,
) -> tuple[AdapterConfig, Tree]:
    del content
    if not any(name.endswith(".ia3_l") for name in tensors):
        raise UserError(f"{folder / WEIGHTS_FILE}: holds no IA³ vectors (ia3_l)")
    inner = model.attention_heads * model.key_dim
    found: Tree = {}
    for ours, name in _VECTORS.items():
        shape = (1, model.ffn_embed_dim) if ours == "l_ff" else (inner, 1)
        vectors = _stacked(tensors, name, "ia3_l", shape, model.num_layers, folder, fill=1.0)
        size = max(shape)
        found[ours] = (
            np.ones((model.num_layers, size), np.float32)
            if vectors is None
            else vectors.reshape(model.num_layers, size)
        )
    return IA3(), found


def _stacked(
    tensors: dict[str, np.ndarray],
    projection: str,
    parameter: str,
    shape: tuple[int, ...],
    layers: int,
    folder: Path,
    fill: float = 0.0,
) -> np.ndarray | None:
    """Take a parameter of all layers, [layers, *shape]; None if no layer has it."""
    names = [f"{_module(projection, layer)}.{parameter}" for layer in range(layers)]
    _refuse_halves(tensors, projection, layers, folder)
    if not any(name in tensors for name in names):
        return None
    parts = []
    for name in names:
        part = tensors.pop(name, None)
        if part is None:
            part = np.full(shape, fill, np.float32)
        if part.shape != shape or not np.isfinite(part).all():
            raise UserError(
                f"{folder / WEIGHTS_FILE}: {name} is {part.shape}"
                + (
                    f", expected {shape}: was the adapter trained on another model?"
                    if part.shape != shape
                    else " and holds numbers that are not finite"
                )
            )
        parts.append(part)
    return np.stack(parts)


def _refuse_halves(
    tensors: Mapping[str, np.ndarray], projection: str, layers: int, folder: Path
) -> None:
    """Refuse layers that have one of LoRA's two matrices alone."""
    for layer in range(layers):
        a, b = (f"{_module(projection, layer)}.{name}" for name in _LORA_NAMES.values())
        if (a in tensors) and (b not in tensors):
            raise UserError(f"{folder / WEIGHTS_FILE}: {b} is missing; save the adapter again")


def _head(tensors: dict[str, np.ndarray], model: TransformerConfig, folder: Path) -> Tree | None:
    """Take the classifier; None if there is none."""
    names = {
        (module, ours): f"{theirs}.{parameter}"
        for module, theirs in CLASSIFIER.items()
        for ours, parameter in (("w", "weight"), ("b", "bias"))
    }
    present = {key: tensors.pop(name) for key, name in names.items() if name in tensors}
    if not present:
        return None
    if missing := names.keys() - present.keys():
        raise UserError(f"{folder / WEIGHTS_FILE}: {names[min(missing)]} is missing")
    outputs, dim = present["output", "b"].size, model.embed_dim
    shapes = {
        ("dense", "w"): (dim, dim),
        ("dense", "b"): (dim,),
        ("output", "w"): (outputs, dim),
        ("output", "b"): (outputs,),
    }
    head: Tree = {}
    if not all(np.isfinite(array).all() for array in present.values()):
        raise UserError(f"{folder / WEIGHTS_FILE}: the head holds numbers that are not finite")
    for (module, name), array in present.items():
        if array.shape != shapes[module, name]:
            raise UserError(
                f"{folder / WEIGHTS_FILE}: {names[module, name]} is {array.shape}, expected "
                f"{shapes[module, name]}: was the adapter trained on another model?"
            )
        head.setdefault(module, {})[name] = _turned(array, name)
    return head
