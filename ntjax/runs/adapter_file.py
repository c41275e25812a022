"""`adapter.safetensors` and `adapter.json`: adapter and head of one task, and what they mean.

After full fine-tuning the whole model lies beside them in the official format (`jax_model/`).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntjax import adapters
from ntjax.adapters import Adapter, AdapterConfig
from ntjax.calibration import Calibration
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import locate, sha256
from ntjax.checkpoints.official import write_pytree
from ntjax.errors import UserError
from ntjax.genomes.windows import RecordedWindows, WindowGeometry
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import Trainable
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.json import finite_number, read_json, write_json
from ntjax.models.heads import HeadConfig, head_from_dict
from ntjax.runs.calibration_file import calibration_from_dict
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.runs.strands import ONE_STRAND, Strands
from ntjax.runs.training_rows import TrainingRows
from ntjax.tasks import Task, task_from_dict

_FORMAT = 1
_KEYS = {
    "format",
    "tensors_sha256",
    "model",
    "dtype",
    "adapter",
    "head",
    "task",
    "classes",
    "calibration",
    "training",
    "strands",
    "training_rows",
    "calibration_shares",
    "windows",
}


class Description(NamedTuple):
    """The content of `adapter.json`.

    Attributes:
        adapter: its configuration.
        head: its kind and outputs.
        task: what the outputs mean.
        calibration: of the outputs, or None.
        source: name of the model that was adapted, and where it came from.
        dtype: type of the computation.
        training: the step and the validation metric of the state that was kept.
        tensors_sha256: of `adapter.safetensors`.
        strands: what is done with the two of a sequence.
        training_rows: their ranges; None of a run of an earlier version.
        calibration_shares: of the classes, or labels, among the calibration rows; None if there
            were none, or the run is of an earlier version.
        windows: where the site lies in the training rows; None if that is not known.
    """

    adapter: AdapterConfig
    head: HeadConfig
    task: Task
    calibration: Calibration | None
    source: dict[str, str]
    dtype: str
    training: Mapping[str, Any]
    tensors_sha256: str = ""
    strands: Strands = ONE_STRAND
    training_rows: TrainingRows | None = None
    calibration_shares: tuple[float, ...] | None = None
    windows: RecordedWindows | None = None


def write_adapter(
    folder: Path, description: Description, trainable: Trainable, model: PretrainedModel
) -> None:
    """Write adapter and head (and, after full fine-tuning, the whole model) into `folder`."""
    adapter, source = trainable.adapter, description.source
    if adapter.config.trains_backbone:
        merged = jax.tree.map(np.asarray, adapters.merge(adapter, model.params))
        write_pytree(folder, _as_float32(merged), model.config.to_hyperparams())
        source = {"name": source["name"], "path": ".", "sha256": sha256(locate(folder)[1])}
        trainable = trainable._replace(adapter=Adapter(adapter.config, {}))
    tensors = {name: np.asarray(leaf) for name, leaf in named_leaves(_saved(trainable)).items()}
    safetensors.write(folder / ADAPTER_FILE, tensors, {"format": str(_FORMAT)})
    content = {
        "format": _FORMAT,
        "tensors_sha256": sha256(folder / ADAPTER_FILE),
        "model": source,
        "dtype": description.dtype,
        "adapter": asdict(adapter.config),
        "head": description.head.to_dict(),
        "task": description.task.to_dict(),
        "classes": list(description.task.outputs),
        "calibration": description.calibration and description.calibration.to_dict(),
        "training": dict(description.training),
        "strands": asdict(description.strands),
        "training_rows": description.training_rows and asdict(description.training_rows),
        "calibration_shares": description.calibration_shares,
        "windows": description.windows and _described_windows(description.windows),
    }
    write_json(folder / DESCRIPTION_FILE, content)


def named_leaves(tree: Any) -> dict[str, Any]:
    """Return leaves by path, such as `adapter.l_k`: a layout that outlives our classes."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _saved(trainable: Trainable) -> dict[str, Any]:
    return {"adapter": trainable.adapter.parameters, "head": trainable.head}


def _as_float32(params: Any) -> Any:
    return jax.tree.map(lambda w: np.asarray(w, np.float32), params)


def read_description(path: Path) -> Description:
    """Read and check `adapter.json`.

    Raises:
        UserError: it is missing or does not describe a run.
    """
    content = read_json(path)
    try:
        _check_shape(content)
        task = task_from_dict(content["task"], content["classes"])
        saved = content["calibration"]
        described = Description(
            adapters.adapter_config(**content["adapter"]),
            head_from_dict(content["head"]),
            task,
            None if saved is None else calibration_from_dict(saved, task.kind, len(task.outputs)),
            content["model"],
            content["dtype"],
            content["training"] or {},
            content["tensors_sha256"],
            # Earlier versions did not write these.
            Strands.from_dict(content.get("strands", {})),
            _optional(content.get("training_rows"), TrainingRows.from_dict),
            _optional(content.get("calibration_shares"), partial(_shares, len(task.outputs))),
            _optional(content.get("windows"), _windows),
        )
    except KeyError as error:
        raise UserError(f"{path}: the key {error} is missing; restore the file") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} does not describe a run ({error}); restore the file") from None
    return described


def _optional(saved: Any, rebuild: Callable[[Any], Any]) -> Any:
    return None if saved is None else rebuild(saved)


def _shares(outputs: int, saved: list[Any]) -> tuple[float, ...]:
    shares = tuple(finite_number(value, "a share of the calibration rows") for value in saved)
    if len(shares) != outputs or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"the shares of {outputs} classes are {saved!r:.100}")
    return shares


def _described_windows(windows: RecordedWindows) -> dict[str, Any]:
    return {**asdict(windows.geometry), "negatives": windows.negatives}


def _windows(saved: dict[str, Any]) -> RecordedWindows:
    before, after = (saved[name] for name in ("before", "after"))
    if not all(type(bases) is int and bases >= 0 for bases in (before, after)):
        raise ValueError(f"the windows have {before!r} bases before and {after!r} after their site")
    return RecordedWindows(WindowGeometry(before, after), str(saved["negatives"]))


def _check_shape(content: Any) -> None:
    """Validate the structure of `adapter.json`.

    Raises:
        KeyError: a part is missing.
        ValueError: names the part.
    """
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    if content["format"] != _FORMAT:
        raise ValueError(f"format {content['format']!r} is of another version of ntjax")
    if surplus := content.keys() - _KEYS:
        raise ValueError(f"unknown key {', '.join(sorted(surplus))}")
    for key in ("adapter", "head", "task", "model"):
        if not isinstance(content[key], dict):
            raise ValueError(f"{key} is {content[key]!r}, not a JSON object")
    names = (content["adapter"]["kind"], content["model"]["name"], *content["model"].values())
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name of the adapter or the model is not text")
    _check_outputs(content["classes"], content["head"])


def _check_outputs(classes: Any, head: dict[str, Any]) -> None:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes is {classes!r}, not a list of texts")
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes is {classes}, not all of them different")
    if type(head.get("outputs")) is int and head["outputs"] != len(classes):
        raise ValueError(f"{len(classes)} classes, {head['outputs']} outputs")


def read_trainable(
    folder: Path, model: PretrainedModel, config: AdapterConfig, head: HeadConfig
) -> Trainable:
    """Read adapter and head.

    Raises:
        UserError: the file does not hold the parameters of this adapter and head.
    """

    def fresh() -> dict[str, Any]:
        key = jax.random.key(0)
        # After full fine-tuning the weights are the model's own; only the head is beside them.
        adapter = Adapter(config, {})
        if not config.trains_backbone:
            adapter = adapters.init(config, model.config, model.params, key)
        head_parameters = head.init(model.config.embed_dim, key)
        return _saved(Trainable(adapter, head_parameters))

    template = jax.eval_shape(fresh)
    tensors, _ = safetensors.read(folder / ADAPTER_FILE)
    expected = {name: leaf.shape for name, leaf in named_leaves(template).items()}
    problems = [f"{name} is missing" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"{name} is surplus" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"{name} is {tensors[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems += [
        f"{name} is {tensor.dtype}, expected float32"
        for name, tensor in tensors.items()
        if tensor.dtype != np.float32
    ]
    if problems:
        raise UserError(
            f"{folder / ADAPTER_FILE} does not hold this adapter: {'; '.join(problems)}; is it "
            f"the file that belongs to {DESCRIPTION_FILE}?"
        )
    leaves = [jnp.asarray(tensors[name]) for name in expected]
    values = jax.tree.unflatten(jax.tree.structure(template), leaves)
    trainable = Trainable(Adapter(config, values["adapter"]), values["head"])
    return jax.device_put(trainable, replicated_sharding())
