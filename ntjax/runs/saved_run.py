"""Read runs from disk: around the model they were trained on, or one that is at hand."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ntjax.adapters import AdapterConfig
from ntjax.checkpoints.cache import sha256
from ntjax.errors import UserError
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.io.json import read_record
from ntjax.runs.adapter_file import Description, read_description, read_trainable
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE, RESULT_FILE
from ntjax.runs.run import Run


def load_run(folder: str | Path, model: PretrainedModel | str | Path | None = None) -> Run:
    """Load what `python -m ntjax.finetune` or `Run.save` has written.

    Arguments:
        folder: a run folder (`adapter.safetensors` and `adapter.json` are enough).
        model: the backbone, or where it is now, if not where it was.

    Raises:
        UserError: a file is missing, lacks parameters of the adapter, or the backbone is not
            the one the adapter was trained on.
    """
    folder = Path(folder)
    saved = read_description(folder / DESCRIPTION_FILE)
    if not isinstance(model, PretrainedModel):
        model = load_pretrained(
            model or _backbone(folder, saved.source, saved.adapter),
            saved.dtype,
            sharding=replicated_sharding(),
        )
    return _run(folder, saved, model, read_record(folder / RESULT_FILE))


def start_of(folder: str | Path, model: PretrainedModel, adapter: AdapterConfig) -> Run:
    """Return a run to go on training from, around the model that is to be trained now.

    Raises:
        UserError: it is not a run with this model and adapter.
    """
    folder = Path(folder)
    saved = read_description(folder / DESCRIPTION_FILE)
    if saved.adapter != adapter:
        raise UserError(
            f"--start-from {folder}: its adapter is {_described(saved.adapter)}, not "
            f"{_described(adapter)}: give the options it was trained with"
        )
    if not saved.adapter.trains_backbone:
        return _run(folder, saved, model)
    trained = load_pretrained(str(folder), "float32", sharding=replicated_sharding())
    if trained.config != model.config:
        raise UserError(f"--start-from {folder}: was trained from another model than {model.name}")
    return _run(folder, saved, trained)


def _described(adapter: AdapterConfig) -> str:
    values = {
        name: value for name, value in asdict(adapter).items() if name not in ("kind", "dropout")
    }
    return " ".join([adapter.kind, *(f"{name} {value}" for name, value in values.items())])


def _run(
    folder: Path,
    saved: Description,
    backbone: PretrainedModel,
    metrics: dict[str, Any] | None = None,
) -> Run:
    """A run whose backbone is at hand."""
    _check_backbone(backbone, saved.source, folder)
    trainable = read_trainable(folder, backbone, saved.adapter, saved.head)
    if sha256(folder / ADAPTER_FILE) != saved.tensors_sha256:
        raise UserError(
            f"{folder / ADAPTER_FILE} is not the file that {DESCRIPTION_FILE} was written with "
            "(its SHA-256 differs): restore it, or take both files of one run"
        )
    return Run(
        backbone,
        saved.head,
        trainable,
        saved.task,
        saved.calibration,
        metrics or {},
        saved.training,
        strands=saved.strands,
        training_rows=saved.training_rows,
        calibration_shares=saved.calibration_shares,
        windows=saved.windows,
        folder=folder,
    )


def _backbone(folder: Path, source: dict[str, str], adapter: AdapterConfig) -> str:
    if adapter.trains_backbone:
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
