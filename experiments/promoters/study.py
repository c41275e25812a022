"""What the promoter study shares: its options, its rows, its runs, and what it keeps."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from ntjax import fine_tune, sweep
from ntjax.baselines.cnn import CNNConfig
from ntjax.checkpoints.cache import sha256
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.prepare import LabelledParts, read_parts
from ntjax.errors import UserError
from ntjax.inference.pretrained import load_pretrained
from ntjax.io.json import read_json, write_json
from ntjax.io.tables import SequenceTable
from ntjax.runs.folder import CONFIG_FILE, SWEEP_FILE
from ntjax.training.finetune import explicit_settings
from ntjax.training.settings import resumed
from ntjax.training.sweep import written
from ntjax.training.swept_runs import TABLE_FILE, saved_sweep

HERE = Path(__file__).parent
_SMALL = 512  # dimensions: fewer than any published model has
_STUDY_FILE = "study.json"


@dataclass(frozen=True)
class Study:
    """Options of `python -m experiments.promoters`."""

    models: tuple[str, ...] = ("mini",)
    """Models to adapt: published names, mini, or folders. All are compared; what follows is done
    with the first."""
    full: bool = False
    """More steps and seeds: hours in place of half an hour."""
    sections: tuple[str, ...] = ()
    """Sections to run; all if none is named."""
    share: float = 1.0
    """Share of the steps to train, to try the study out."""
    genome: Path | None = None
    """FASTA of E. coli K-12 (NC_000913.3), with its annotation (.gff.gz) beside it. Otherwise from
    NTJAX_DATA_DIR."""
    runs: Path | None = None
    """Folder of the runs. Otherwise runs/promoters-MODEL-reduced (or -full)."""
    out: Path | None = None
    """Folder of tables and figures. Otherwise report/ in the folder of the runs."""
    progress: bool = True
    """Show progress bars."""

    @property
    def model(self) -> str:
        """The model of all sections but the comparison."""
        return self.models[0]

    def lora_rate(self, model: str | None = None) -> float:
        """Learning rate of LoRA on a model: the report's, or what one as small as mini takes."""
        return 2e-3 if _dimensions(model or self.model) < _SMALL else 5e-4

    def head(self, model: str | None = None) -> str:
        """What the head reads: `cls` as in the report, or `mean` of a model as small as mini.

        Pre-training asks nothing of `<cls>`; in four layers little reaches it.
        """
        return "mean" if _dimensions(model or self.model) < _SMALL else "cls"

    def lora(self, steps: int, model: str | None = None) -> dict[str, Any]:
        """Settings of a LoRA run that sections share."""
        return {
            "adapter": "lora",
            "steps": steps,
            "learning_rate": self.lora_rate(model),
            "batch_size": 32,
            "head": self.head(model),
        }

    @property
    def main_steps(self) -> int:
        """Of the runs that are looked at from several sides."""
        return self.steps(600, 2000)

    @property
    def size(self) -> str:
        """'reduced' or 'full'."""
        return "full" if self.full else "reduced"

    @property
    def runs_folder(self) -> Path:
        """Where the runs are, given or not."""
        return self.runs or Path("runs") / f"promoters-{Path(self.model).name}-{self.size}"

    @property
    def out_folder(self) -> Path:
        """Where tables and figures go, given or not."""
        return self.out or self.runs_folder / "report"

    def choose(self, reduced: Any, full: Any) -> Any:
        """What fits the study's size."""
        return full if self.full else reduced

    @property
    def cnn(self) -> CNNConfig:
        """The CNN's training in a study of this size."""
        return CNNConfig(epochs=self.choose(5, CNNConfig.epochs))

    def steps(self, reduced: int, full: int) -> int:
        """Optimiser steps that fit the study's size."""
        return max(10, round(self.share * self.choose(reduced, full)))


@cache
def _dimensions(model: str) -> int:
    return load_pretrained(model).config.embed_dim


class Rows(NamedTuple):
    """Rows to train and test on.

    Attributes:
        name: of the folder that keeps the runs on them.
        train: rows, or a data set's name.
        test: rows; None for those of the data set.
        validation: rows; otherwise set aside from the training rows.
    """

    name: str
    train: SequenceTable | str
    test: SequenceTable | None = None
    validation: SequenceTable | None = None

    @property
    def given(self) -> dict[str, SequenceTable | str]:
        """The parts that are there, as `ntjax.fine_tune` calls them."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {part: rows for part, rows in parts.items() if rows is not None}


def require_same_runs(study: Study, genome: Path) -> None:
    """Refuse a folder of runs that were made with other options, which would be taken for these.

    Raises:
        UserError: they were; the options are named.
    """
    asked = {"model": study.model, "size": study.size, "share": study.share}
    require_same(study.runs_folder, asked | {"genome": sha256(genome)})


def require_same(runs: Path, asked: dict[str, Any]) -> None:
    """Write what a folder's runs are made with; refuse it if they were made with anything else."""
    path = runs / _STUDY_FILE
    if not path.exists():
        runs.mkdir(parents=True, exist_ok=True)
        write_json(path, asked)
    elif (before := read_json(path)) != asked:
        changed = ", ".join(name for name in asked if before.get(name) != asked[name])
        raise UserError(
            f"{runs}: its runs were made with another {changed}; give the same, or another --runs"
        )


def trained(study: Study, rows: Rows, name: str, **settings: Any) -> Path:
    """The folder of a finished run; trained, or gone on with, if it is not there.

    Raises:
        UserError: there is one, with other settings.
    """
    folder = study.runs_folder / rows.name / name
    resume = (folder / CONFIG_FILE).exists()
    fine_tune(out=folder, resume=resume, progress=study.progress, **_options(study, rows, settings))
    return folder


def swept(
    study: Study, rows: Rows, name: str, vary: Mapping[str, Sequence[Any]], **settings: Any
) -> Path:
    """The folder of a finished sweep, likewise.

    Raises:
        UserError: a member failed, or there is one, with other settings.
    """
    folder = study.runs_folder / rows.name / name
    done, options = folder / "done.json", _options(study, rows, settings)
    if done.exists():
        own, values, _ = saved_sweep(folder)
        resumed(folder, explicit_settings(**options), own)
        if values != written(vary):
            raise UserError(f"{folder}: it was swept over {values}, not {written(vary)}")
    else:
        resume = (folder / SWEEP_FILE).exists()
        # On a CPU, whose cores one member keeps busy, many at once need more memory for nothing.
        at_once = 1 if jax.default_backend() == "cpu" and not resume else 0
        sweep(
            vary=vary,
            members_at_once=at_once,
            out=folder,
            resume=resume,
            progress=study.progress,
            **options,
        )
        table = pd.read_csv(folder / TABLE_FILE)
        if table["failure"].notna().any():
            raise UserError(f"{folder}: a member failed; {TABLE_FILE} in it says why")
        write_json(done, {"members": table["member"].tolist()})
    return folder


def members(folder: Path) -> dict[str, Path]:
    """Run folders of a finished sweep's members by name."""
    names = read_json(folder / "done.json")["members"]
    return {name: folder / "members" / name for name in names}


def parts_of(study: Study, rows: Rows, seed: int = 0) -> LabelledParts:
    """The rows, and which of them a seed keeps for validation."""
    return labelled_parts(rows.given, seed)


def labelled_parts(given: Mapping[str, SequenceTable | str], seed: int) -> LabelledParts:
    """Split rows as a run of this seed does.

    Arguments:
        given: by part: rows, or a data set's name as `train`.
        seed: of the run.
    """
    names = {part: rows for part, rows in given.items() if isinstance(rows, str)}
    tables = {part: rows for part, rows in given.items() if not isinstance(rows, str)}
    return read_parts(DataSettings(**names, seed=seed), tables)


def _options(study: Study, rows: Rows, settings: dict[str, Any]) -> dict[str, Any]:
    return {"model": study.model, **rows.given} | settings


def test_probabilities(runs: list[Path]) -> np.ndarray:
    """Probabilities of the test rows to be promoters, float64 [runs, rows]."""
    return np.stack([pd.read_csv(run / "predictions.csv")["probability"] for run in runs])


def validation_curve(run: Path, metric: str = "accuracy") -> tuple[list[int], list[float]]:
    """Steps and validation values of a run's log."""
    table = pd.read_json(run / "metrics.jsonl", lines=True)
    table = table.dropna(subset=f"validation_{metric}")
    return table["step"].tolist(), table[f"validation_{metric}"].tolist()


def kept(study: Study, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A section's numbers from its file; made and written if there is none for these options."""
    if (before := result_of(study, name)) is not None:
        return before
    began = time.perf_counter()
    result = make()
    keep(study, name, result, seconds=round(time.perf_counter() - began))
    return read_json(_result_path(study, name))["result"]


def result_of(study: Study, name: str) -> dict[str, Any] | None:
    """A section's numbers from its file; None if there is none for these options."""
    path = _result_path(study, name)
    if path.exists() and (before := read_json(path))["study"] == _asked(study):
        return before["result"]
    return None


def keep(study: Study, name: str, result: dict[str, Any], **more: Any) -> None:
    """Write a section's numbers to its file, with the options that they are of."""
    path = _result_path(study, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"study": _asked(study), "jax": jax.__version__, **more, "result": result}
    write_json(path, record)


def _result_path(study: Study, name: str) -> Path:
    return study.out_folder / f"{name}.json"


def _asked(study: Study) -> dict[str, Any]:
    return {"models": list(study.models), "size": study.size, "share": study.share}
