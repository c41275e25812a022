"""Does pre-training pay? Promoters with `mini`, with the same network untrained, and without.

    python experiments/promoters/pretraining.py --twin FOLDER

Writes `pretraining.md` and `pretraining.json` beside this file; runs go to `runs/pretraining/` and
are picked up where they stopped. Every method is trained with five seeds: of a network as one
population. If several learning rates are given for an adapter, the one with the best mean
validation MCC is used. About three and a half hours of one CPU core with `mini`; `--steps 20
--seeds 2` tries it out (with `--runs` and `--out` of its own).

Expected of the baselines on `ecoli_promoters`: gradient boosting about 0.75 accuracy, the CNN 0.81
to 0.84, the Markov chain, which knows no promoter, an AUROC of about 0.83.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
import tyro
from genomic_negatives import (
    CONTEXT,
    GENOMIC,
    PROMOTERS,
    WITH_CONTEXT,
    Task,
    find_genome,
    frames,
    in_six_frames,
    tasks,
)
from markov_score import markov_probabilities
from pretraining_tables import as_markdown

from ntjax import command_line
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.checkpoints.cache import sha256
from ntjax.checkpoints.official import write_pytree
from ntjax.errors import UserError
from ntjax.finetune import Options, finetune
from ntjax.models.forward import random_parameters
from ntjax.models.kmer_initialisation import with_composed_kmers
from ntjax.models.pretrained import load_pretrained
from ntjax.result_tables import means_over_seeds
from ntjax.runs import load_run, read_json, write_json
from ntjax.seed_means import seed_means
from ntjax.training.prepare import LabelledParts, read_parts
from ntjax.training.settings import Settings, complete

HERE = Path(__file__).parent
CNN, BOOSTING, MARKOV = "CNN", "gradient boosting", "Markov chain of order 5, no labels"
ADAPTERS = {
    "mini": ("head", "ia3", "lora", "full"),
    "random": ("full",),
    "twin": ("full",),
}
_UNTRAINED_SEED = 0


@dataclass(frozen=True)
class Study:
    """What to compare."""

    mini: str = "mini"
    """The pre-trained model: name or folder."""
    random: str | None = None
    """The same architecture untrained. Otherwise drawn as pre-training begins."""
    twin: str | None = None
    """Trained like mini, on genomes without any of E. coli; left out if not given."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    steps: int = 600
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
    frames_adapter: Literal["full", "lora"] = "full"
    """What the question about 6-mers is asked of."""
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


def main() -> None:
    """The command."""
    command_line.run(lambda: run(tyro.cli(Study, description=__doc__)))


def run(study: Study) -> None:
    """Run what is missing, then write the tables."""
    genome = find_genome(study.genome)
    _require_same_study(study, genome)
    known = tasks(study.runs / "rows", genome)
    models = _models(study)
    results = {}
    for name in study.tasks:
        results[name] = _results(study, models, known, name, genome)
        record = {"study": _as_json(study), "jax": jax.__version__, "results": results}
        write_json(study.out / "pretraining.json", record)
        (study.out / "pretraining.md").write_text(as_markdown(record))
    print(as_markdown(record))


def _results(
    study: Study, models: dict[str, str], known: dict[str, Task], name: str, genome: Path
) -> dict[str, Any]:
    """Both tables of a task."""
    task = known[name]
    parts = _parts(study, task)
    methods = _methods(study, models, task, parts, genome)
    framed = {"plain": methods[f"mini, {study.frames_adapter}"]}
    framed |= _framed(study, study.mini, task)
    if name == GENOMIC and study.context:
        framed |= _with_context(study, study.mini, known[WITH_CONTEXT])
    return {
        "rows": {part: len(table) for part, table in parts.tables.items()},
        "notes": [*parts.notes, *task.notes],
        "methods": _compared(parts, methods, against=CNN),
        "frames": _compared(parts, framed, against="plain"),
    }


def _as_json(study: Study) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(study).items()
        if name not in ("runs", "out", "genome", "tasks", "context")
    }


def _require_same_study(study: Study, genome: Path) -> None:
    path = study.runs / "study.json"
    asked = {k: list(v) if isinstance(v, tuple) else v for k, v in _as_json(study).items()}
    asked["weights"] = {
        name: load_pretrained(model).source
        for name, model in (("mini", study.mini), ("random", study.random), ("twin", study.twin))
        if model
    }
    asked["genome"] = sha256(genome)
    if not path.exists():
        study.runs.mkdir(parents=True, exist_ok=True)
        write_json(path, asked)
    elif (before := read_json(path)) != asked:
        changed = ", ".join(name for name in asked if before.get(name) != asked[name])
        raise UserError(
            f"{study.runs}: its runs were made with another {changed}; give the same, or another "
            "--runs"
        )


def _models(study: Study) -> dict[str, str]:
    models = {"mini": study.mini, "random": study.random or str(_untrained(study))}
    return models | ({"twin": study.twin} if study.twin else {})


def _untrained(study: Study) -> Path:
    """mini's architecture with the weights that pre-training would begin with."""
    folder = study.runs / "random"
    if not (folder / "jax_model").exists():
        model = load_pretrained(study.mini)
        params = random_parameters(model.config, jax.random.key(_UNTRAINED_SEED))
        params = with_composed_kmers(params, model.tokenizer, _UNTRAINED_SEED)
        write_pytree(folder, params, model.config.to_hyperparams())
    return folder


def _settings(study: Study, task: Task, **others: Any) -> Settings:
    return Settings(
        train=task.train,
        validation=task.validation,
        test=task.test,
        steps=study.steps,
        batch_size=study.batch_size,
        head=study.head,
        baselines=False,
        **others,
    )


def _parts(study: Study, task: Task, seed: int = 0) -> LabelledParts:
    return read_parts(complete(_settings(study, task, seed=seed))[0])


def _compared(
    parts: LabelledParts, methods: dict[str, np.ndarray], against: str
) -> dict[str, dict[str, Any]]:
    return seed_means(parts.labels["test"], methods, against, groups=parts.test_groups)


def _methods(
    study: Study, models: dict[str, str], task: Task, parts: LabelledParts, genome: Path
) -> dict[str, np.ndarray]:
    """Probabilities of the test rows to be promoters, [seeds, rows], of each method."""
    methods = {}
    for name, model in models.items():
        for adapter in ADAPTERS[name]:
            folder = study.runs / task.name / f"{name}-{adapter}"
            members = _members(study, model, adapter, task, folder)
            methods[f"{name}, {adapter}"] = _predicted(members)
    return methods | _baselines(study, task) | {MARKOV: markov_probabilities(parts, genome)}


def _members(study: Study, model: str, adapter: str, task: Task, folder: Path) -> list[Path]:
    """Run folders of the seeds, at the learning rate that validation chose."""
    rates = ",".join(f"{rate:g}" for rate in study.rates(adapter))
    sweep = (f"learning_rate={rates}", f"seed=0:{study.seeds}")
    done = folder / "done.json"
    if not done.exists():
        settings = _settings(study, task, model=model, adapter=adapter)
        finetune(Options(settings, folder, (folder / "sweep.json").exists(), sweep=sweep))
        table = pd.read_csv(folder / "sweep.csv")
        means = means_over_seeds(table, "mcc")
        whole = means[means["seeds"] == means["members"]]
        if whole.empty:
            raise UserError(f"{folder}: runs failed at every learning rate; see its sweep.csv")
        write_json(done, {"setting": whole.loc[whole["mean"].idxmax(), "setting"]})
    setting = read_json(done)["setting"]
    return [folder / "members" / f"{setting},seed={seed}" for seed in range(study.seeds)]


def _predicted(members: list[Path]) -> np.ndarray:
    return np.stack([pd.read_csv(m / "predictions.csv")["probability"] for m in members])


def _baselines(study: Study, task: Task) -> dict[str, np.ndarray]:
    """Gradient boosting and the CNN, trained on the same rows."""
    probabilities: dict[str, list[list[float]]] = {BOOSTING: [], CNN: []}
    for seed in range(study.seeds):
        path = study.runs / task.name / "baselines" / f"{seed}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _fitted_baselines(_parts(study, task, seed), seed))
        for name, values in read_json(path).items():
            probabilities[name].append(values)
    return {name: np.array(values) for name, values in probabilities.items()}


def _fitted_baselines(parts: LabelledParts, seed: int) -> dict[str, list[float]]:
    training, validation = (
        (parts.tables[part].sequences, parts.labels[part]) for part in ("train", "validation")
    )
    models = {
        BOOSTING: fit_gradient_boosting(*training, validation=validation, seed=seed),
        CNN: fit_cnn(*training, validation=validation, seed=seed, progress=False),
    }
    test = parts.tables["test"].sequences
    return {name: model.probabilities(test)[:, 1].tolist() for name, model in models.items()}


def _framed(study: Study, model: str, task: Task) -> dict[str, np.ndarray]:
    """The six phases of 6-mers: averaged over at the test, trained on, and both."""
    adapter = study.frames_adapter
    folder = study.runs / task.name
    shifted = in_six_frames(task, study.runs / "rows" / f"{task.name}, six frames")
    plain = _members(study, model, adapter, task, folder / f"mini-{adapter}")
    trained = _members(study, model, adapter, shifted, folder / f"mini-{adapter}-six-frames")
    test = _parts(study, task).tables["test"].sequences
    return {
        "six frames averaged at the test": _averaged(plain, test),
        "six frames in training": _predicted(trained),
        "six frames in training and averaged at the test": _averaged(trained, test),
    }


def _averaged(members: list[Path], sequences: tuple[str, ...]) -> np.ndarray:
    """Probabilities [seeds, rows] of the mean of the logits over six frames."""
    probabilities = []
    for member in members:
        path = member / "six_frames.json"
        if not path.exists():
            run = load_run(member)
            logits = np.mean([run.logits(shifted) for shifted in frames(sequences)], axis=0)
            write_json(path, run.task.values(logits)[:, 1].tolist())
        probabilities.append(read_json(path))
    return np.array(probabilities)


def _with_context(study: Study, model: str, task: Task) -> dict[str, np.ndarray]:
    """Longer windows around the same sites, for mini and for the baselines."""
    adapter, more = study.frames_adapter, f"{CONTEXT} letters more at each side"
    folder = study.runs / task.name / f"mini-{adapter}"
    members = _members(study, model, adapter, task, folder)
    baselines = _baselines(study, task)
    return {more: _predicted(members)} | {
        f"{name}, {more}": values for name, values in baselines.items()
    }


if __name__ == "__main__":
    main()
