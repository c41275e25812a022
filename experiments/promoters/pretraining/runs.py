"""The runs of the pre-training study: what is trained, and picked up where it stopped."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from experiments.promoters.data.baseline_runs import BOOSTING, CNN, baseline_runs
from experiments.promoters.data.genomic_negatives import GENOMIC, PROMOTERS, Task
from experiments.promoters.data.untrained import untrained
from experiments.promoters.study import labelled_parts
from ntjax import fine_tune, sweep
from ntjax.baselines.cnn import CNNConfig
from ntjax.errors import UserError
from ntjax.io.json import read_json, write_json
from ntjax.reports.console import means_over_seeds
from ntjax.runs.folder import CONFIG_FILE, DESCRIPTION_FILE, RESULT_FILE

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Study:
    """What to compare."""

    mini: str = "mini"
    """The pre-trained model: name or folder."""
    twin: str | None = None
    """Trained like mini, on genomes without any of E. coli; left out if not given."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    steps: int = 1000
    """Optimiser steps of each run."""
    batch_size: int = 32
    """Sequences per step."""
    seeds: int = 5
    """Seeds 0, 1, ... of each method."""
    head: Literal["cls", "mean"] = "mean"
    """What the head sees of the last layer."""
    head_rates: tuple[float, ...] = (3e-3,)
    """Learning rates to choose from if only the head is trained."""
    ia3_rates: tuple[float, ...] = (1e-2,)
    """Of IA³."""
    lora_rates: tuple[float, ...] = (2e-3,)
    """Of LoRA."""
    full_rates: tuple[float, ...] = (5e-4,)
    """If all weights are trained."""
    untrained_rates: tuple[float, ...] = (5e-4, 1e-3)
    """If all weights of the untrained network are."""
    members_at_once: int = 0
    """Most members of a population to train at once; 0 for as many as the memory holds. On a CPU 1
    takes a sixth less time."""
    frames: bool = True
    """Also the questions about the frame of the 6-mers."""
    frames_adapter: Literal["full", "lora"] = "full"
    """What the question about 6-mers is asked of."""
    long_steps: int = 0
    """Also mini with all weights in six frames, one seed, for so many steps; 0 for not."""
    context: bool = False
    """Also longer windows around the genomic sites: an hour more."""
    tasks: tuple[Literal["ecoli_promoters", "genomic"], ...] = (PROMOTERS, GENOMIC)
    """Data sets; each may be run by a process of its own, and the tables made at the end."""
    runs: Path = Path("runs/pretraining")
    """Folder of the runs."""
    out: Path = HERE
    """Folder of the tables."""

    def rates(self, adapter: str) -> tuple[float, ...]:
        """The learning rates of an adapter."""
        return getattr(self, f"{adapter}_rates")


def _options(study: Study, task: Task, **others: Any) -> dict[str, Any]:
    settings = {"steps": study.steps, "batch_size": study.batch_size, "head": study.head}
    return task.given | settings | others


def _trained(run: Path, options: dict[str, Any]) -> Path:
    """A finished run's folder: trained, or gone on with, if it is not there."""
    if not (run / RESULT_FILE).exists():
        resume = (run / CONFIG_FILE).exists()
        fine_tune(out=run, resume=resume, progress=True, **options)
    return run


def untrained_members(study: Study, task: Task) -> list[Path]:
    """Run folders of the seeds, each begun with weights of its own."""
    folder = study.runs / task.name / "untrained-full"

    def member(seed: int, rate: float) -> Path:
        return _untrained_member(study, task, folder, seed, rate)

    first = {rate: read_json(member(0, rate) / DESCRIPTION_FILE) for rate in study.untrained_rates}
    scores = {rate: found["training"]["mcc"] for rate, found in first.items()}
    best = max(scores, key=lambda rate: -1.0 if scores[rate] is None else scores[rate])
    return [member(seed, best) for seed in range(study.seeds)]


def _untrained_member(study: Study, task: Task, folder: Path, seed: int, rate: float) -> Path:
    run = folder / f"learning_rate={rate:g},seed={seed}"
    if (run / RESULT_FILE).exists():
        return run
    model = str(untrained(study.mini, seed, study.runs / "untrained" / str(seed)))
    own = {"model": model, "adapter": "full", "learning_rate": rate, "seed": seed}
    return _trained(run, _options(study, task, **own))


def members_of(study: Study, model: str, adapter: str, task: Task, folder: Path) -> list[Path]:
    """Run folders of the seeds, at the learning rate that validation chose."""
    vary = {"learning_rate": study.rates(adapter), "seed": range(study.seeds)}
    done = folder / "done.json"
    if not done.exists():
        sweep(
            vary=vary,
            members_at_once=study.members_at_once,
            out=folder,
            resume=(folder / "sweep.json").exists(),
            progress=True,
            **_options(study, task, model=model, adapter=adapter),
        )
        table = pd.read_csv(folder / "sweep.csv")
        means = means_over_seeds(table, "mcc")
        whole = means[means["seeds"] == means["members"]]
        if whole.empty:
            raise UserError(f"{folder}: runs failed at every learning rate; see its sweep.csv")
        write_json(done, {"setting": whole.loc[whole["mean"].idxmax(), "setting"]})
    setting = read_json(done)["setting"]
    return [folder / "members" / f"{setting},seed={seed}" for seed in range(study.seeds)]


def baselines_of(study: Study, task: Task) -> dict[str, np.ndarray]:
    """Gradient boosting and the CNN, trained on the same rows: [seeds, rows] of each.

    The CNN also with as many passes over the rows as the networks have.
    """
    folder = study.runs / task.name / "baselines"
    rows = partial(labelled_parts, task.given)
    seen = study.steps * study.batch_size / len(rows(0).tables["train"])
    brief = CNNConfig(epochs=max(1, round(seen)))
    passes = f"{brief.epochs} pass{'es' if brief.epochs > 1 else ''} over the rows"
    return {
        BOOSTING: baseline_runs(folder, rows, BOOSTING, study.seeds).probabilities,
        f"{CNN}, {passes}": baseline_runs(
            folder, rows, f"{CNN}, {brief.epochs}", study.seeds, brief
        ).probabilities,
        CNN: baseline_runs(folder, rows, CNN, study.seeds).probabilities,
    }


def long_run(study: Study, task: Task) -> Path:
    """mini with all weights, seed 0 alone, for `study.long_steps`."""
    run = study.runs / task.name / f"mini-full-{study.long_steps}-steps"
    own = {"model": study.mini, "adapter": "full", "learning_rate": study.full_rates[0]}
    own |= {"steps": study.long_steps, "evaluate_every": 500}
    return _trained(run, _options(study, task, **own))
