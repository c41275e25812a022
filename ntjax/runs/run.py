"""What a finished run leaves behind, and how to use it again.

`adapter.json` says what the tensors in `adapter.safetensors` mean: adapter and head of one task.
After full fine-tuning the whole model lies beside them in the official format (`jax_model/`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntjax import adapters
from ntjax.adapters import Adapter, AdapterConfig
from ntjax.calibration.fitting import Calibration, calibrated_probabilities, calibration_from_dict
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import locate, sha256
from ntjax.checkpoints.official import write_pytree
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.predict import predict
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.io.atomic import written_atomically
from ntjax.models import heads
from ntjax.models.config import check_length
from ntjax.models.heads import HeadConfig
from ntjax.sequences.alphabet import given_sequences
from ntjax.tasks.base import Task, task_from_dict
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.state import named_leaves
from ntjax.training.step import StepConfig, Trainable, compile_predict

ADAPTER_FILE, DESCRIPTION_FILE = "adapter.safetensors", "adapter.json"
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
}


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside the file and rename it into place."""
    data = (json.dumps(content, indent=1) + "\n").encode()
    with written_atomically(path, len(data)) as file:
        file.write(data)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; is {path.parent} the folder of a run?") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); restore it") from None


def save_run(
    folder: Path,
    model: PretrainedModel,
    head: HeadConfig,
    trainable: Trainable,
    task: Task,
    calibration: Calibration | None,
    training: dict[str, Any],
    dtype: str,
) -> None:
    """Write adapter and head (and, after full fine-tuning, the whole model) into `folder`."""
    adapter = trainable.adapter
    source = model.source
    if adapter.config.kind == "full":
        merged = jax.tree.map(np.asarray, adapters.merge(adapter, model.params))
        write_pytree(folder, _as_float32(merged), model.config.to_hyperparams())
        source = {"path": ".", "sha256": sha256(locate(folder)[1])}
        trainable = trainable._replace(adapter=Adapter(adapter.config, {}))
    tensors = {name: np.asarray(leaf) for name, leaf in named_leaves(_saved(trainable)).items()}
    safetensors.write(folder / ADAPTER_FILE, tensors, {"format": str(_FORMAT)})
    description = {
        "format": _FORMAT,
        "tensors_sha256": sha256(folder / ADAPTER_FILE),
        "model": {"name": model.name, **source},
        "dtype": dtype,
        "adapter": asdict(adapter.config),
        "head": asdict(head),
        "task": task.to_dict(),
        "classes": list(task.outputs),
        "calibration": calibration.to_dict() if calibration else None,
        "training": training,
    }
    write_json(folder / DESCRIPTION_FILE, description)


def _saved(trainable: Trainable) -> dict[str, Any]:
    return {"adapter": trainable.adapter.parameters, "head": trainable.head}


def _as_float32(params: Any) -> Any:
    return jax.tree.map(lambda w: np.asarray(w, np.float32), params)


@dataclass(frozen=True)
class Run:
    """A trained model of a task.

    Attributes:
        model: the frozen backbone.
        head: pooling and number of outputs.
        trainable: adapter and head.
        task: what the outputs mean.
        calibration: fitted on rows kept apart (for a regression, how far from the prediction most
            values are); None if there were too few.
    """

    model: PretrainedModel
    head: HeadConfig
    trainable: Trainable
    task: Task
    calibration: Calibration | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or the value, in the order of the head's outputs."""
        return self.task.outputs

    def logits(self, sequences: Sequence[str], *, progress: str = "") -> np.ndarray:
        """The head's outputs, float32 [n, classes], [n, labels], or [n, 1] for a regression.

        Raises:
            UserError: no sequences, other letters than ACGTN, or more than the model can hold.
        """
        cleaned = given_sequences(sequences)
        ids = self.model.tokenizer.encode(cleaned)
        check_length(self.model.config, ids.shape[1])
        data = TokenisedSet.create(ids, np.zeros(len(ids), np.int32))
        config = StepConfig(
            self.model.config, self.head, OptimizerConfig(steps=1), self.model.dtype
        )
        return predict(compile_predict(config), self.model.params, self.trainable, data, progress)

    def predict(
        self, sequences: Sequence[str], *, calibrated: bool = False, progress: str = ""
    ) -> np.ndarray:
        """Probabilities [n, classes] or [n, labels], in the order of `classes`; values [n] of a
        regression, in the units of its training rows.

        `calibrated=True` gives those of `calibrated_probability` in `predictions.csv`.
        """
        if calibrated and not self.task.has_probabilities:
            raise UserError("a regression has values, not probabilities: leave calibrated out")
        if calibrated and self.calibration is None:
            raise UserError("this run was not calibrated: it had too few rows to set aside")
        logits = self.logits(sequences, progress=progress)
        if not calibrated:
            return self.task.values(logits)
        return calibrated_probabilities(self.calibration, logits)


def load_run(folder: str | Path, model: str | Path | None = None) -> Run:
    """Load what `python -m ntjax.finetune` has written.

    Arguments:
        folder: a run folder (`adapter.safetensors` and `adapter.json` are enough).
        model: where the backbone is now, if not where it was.

    Raises:
        UserError: a file is missing, lacks parameters of the adapter, or the backbone is not
            the one the adapter was trained on.
    """
    folder = Path(folder)
    saved = _read_description(folder / DESCRIPTION_FILE)
    backbone = load_pretrained(
        model or _backbone(folder, saved.source, saved.adapter.kind),
        saved.dtype,
        sharding=replicated_sharding(),
    )
    return _run(folder, saved, backbone)


def start_of(folder: str | Path, model: PretrainedModel, adapter: AdapterConfig) -> Run:
    """A run to go on training from, around the model that is to be trained now.

    Raises:
        UserError: it is not a run with this model and adapter.
    """
    folder = Path(folder)
    saved = _read_description(folder / DESCRIPTION_FILE)
    if saved.adapter != adapter:
        raise UserError(
            f"--start-from {folder}: its adapter is {_described(saved.adapter)}, not "
            f"{_described(adapter)}: give the options it was trained with"
        )
    if saved.adapter.kind != "full":
        return _run(folder, saved, model)
    trained = load_pretrained(str(folder), "float32", sharding=replicated_sharding())
    if trained.config != model.config:
        raise UserError(f"--start-from {folder}: was trained from another model than {model.name}")
    return _run(folder, saved, trained)


def _described(adapter: AdapterConfig) -> str:
    values = {name: value for name, value in asdict(adapter).items() if name != "kind"}
    return " ".join([adapter.kind, *(f"{name} {value}" for name, value in values.items())])


def _run(folder: Path, saved: "_Description", backbone: PretrainedModel) -> Run:
    """A run whose backbone is at hand."""
    _check_backbone(backbone, saved.source, folder)
    trainable = _read_trainable(folder, backbone, saved.adapter, saved.head)
    if sha256(folder / ADAPTER_FILE) != saved.tensors_sha256:
        raise UserError(
            f"{folder / ADAPTER_FILE} is not the file that {DESCRIPTION_FILE} was written with "
            "(its SHA-256 differs): restore it, or take both files of one run"
        )
    return Run(backbone, saved.head, trainable, saved.task, saved.calibration)


class _Description(NamedTuple):
    """The content of `adapter.json`, checked."""

    adapter: AdapterConfig
    head: HeadConfig
    task: Task
    calibration: Calibration | None
    source: dict[str, str]
    dtype: str
    tensors_sha256: str


def _read_description(path: Path) -> _Description:
    content = read_json(path)
    try:
        _check_shape(content)
        task = task_from_dict(content["task"], content["classes"])
        saved = content["calibration"]
        described = _Description(
            adapters.adapter_config(**content["adapter"]),
            HeadConfig(**content["head"]),
            task,
            None if saved is None else calibration_from_dict(saved, task.kind, len(task.outputs)),
            content["model"],
            content["dtype"],
            content["tensors_sha256"],
        )
        if described.head.pooling not in heads.POOLINGS:
            raise ValueError(f"unknown pooling {described.head.pooling!r}")
    except KeyError as error:
        raise UserError(f"{path}: the key {error} is missing; restore the file") from None
    except (UserError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} does not describe a run ({error}); restore the file") from None
    return described


def _check_shape(content: Any) -> None:
    """Refuse a description of which a part is not of the kind that it should be.

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
    if head.keys() != {"pooling", "outputs"} or type(head["outputs"]) is not int:
        raise ValueError(f"head is {head}, not a pooling and a whole number of outputs")
    if head["outputs"] != len(classes):
        raise ValueError(f"{len(classes)} classes, {head['outputs']} outputs")


def _backbone(folder: Path, source: dict[str, str], kind: str) -> str:
    if kind == "full":
        return str(folder)
    # A folder is recorded by its path; a published model by name and commit, wherever it lies.
    if "revision" in source:
        return f"{source['name']}@{source['revision']}"
    if "path" not in source:
        return source["name"]
    if not Path(source["path"]).is_dir():
        raise UserError(
            f"{folder}: the model it was trained on is not at {source['path']} any more; say where "
            "it is now (model=FOLDER)"
        )
    return source["path"]


def _check_backbone(model: PretrainedModel, source: dict[str, str], folder: Path) -> None:
    for identity in ("sha256", "weights"):
        expected, found = source.get(identity), model.source.get(identity)
        if expected and found != expected:
            raise UserError(
                f"{folder}: the adapter was trained on other weights ({identity} {expected:.20}) "
                f"than those of {model.name} ({found or 'unknown':.20}); give the right model"
            )


def _read_trainable(
    folder: Path, model: PretrainedModel, config: adapters.AdapterConfig, head: HeadConfig
) -> Trainable:
    def fresh() -> dict[str, Any]:
        key = jax.random.key(0)
        # After full fine-tuning the weights are the model's own; only the head is beside them.
        kind = adapters.HeadOnlyConfig() if config.kind == "full" else config
        adapter = adapters.init(kind, model.config, model.params, key)
        head_parameters = heads.init(head, model.config.embed_dim, key)
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
    kind = adapters.HeadOnlyConfig() if config.kind == "full" else config
    trainable = Trainable(Adapter(kind, values["adapter"]), values["head"])
    return jax.device_put(trainable, replicated_sharding())
