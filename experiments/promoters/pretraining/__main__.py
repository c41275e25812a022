"""Does pre-training pay? Promoters with `mini`, with the same network untrained, and without.

    python -m experiments.promoters.pretraining --twin FOLDER

Writes `pretraining.md` and `pretraining.json` beside this file; runs go to `runs/pretraining/` and
are picked up where they stopped. Every method is trained with five seeds: of a network that is
pre-trained as one population; untrained ones begin with other weights for each seed. If several
learning rates are given, the one with the best validation MCC is used (mean of the seeds; of the
untrained network that of the first seed). About two hours of one CPU core for each task with
`mini`; `--steps 20 --seeds 2` tries it out (with `--runs` and `--out` of its own).

Expected of the baselines on `ecoli_promoters`: gradient boosting about 0.75 accuracy, the CNN 0.81
to 0.84, the Markov chain, which knows no promoter, an AUROC of about 0.83.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from experiments.promoters.data.baseline_runs import CNN, MARKOV
from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import (
    CONTEXT,
    GENOMIC,
    WITH_CONTEXT,
    Task,
    frames,
    in_six_frames,
    tasks,
)
from experiments.promoters.data.markov_score import markov_probabilities
from experiments.promoters.pretraining.runs import (
    Study,
    baselines_of,
    long_run,
    members_of,
    untrained_members,
)
from experiments.promoters.pretraining.tables import as_markdown
from experiments.promoters.study import labelled_parts, require_same, test_probabilities
from ntjax.checkpoints.cache import sha256
from ntjax.datasets.prepare import LabelledParts
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.inference.pretrained import load_pretrained
from ntjax.io.json import as_json, read_json, write_json
from ntjax.leakage.loci import locus_groups
from ntjax.metrics.seeds import seed_means
from ntjax.reports import command_line
from ntjax.runs.saved_run import load_run

ADAPTERS = {
    "mini": ("head", "ia3", "lora", "full"),
    "twin": ("full",),
}


RESULT = "pretraining.json"
# What the runs that are kept do not depend on.
_MAY_DIFFER = (
    "runs",
    "out",
    "genome",
    "tasks",
    "frames",
    "context",
    "members_at_once",
    "long_steps",
)


def main() -> None:
    """The command."""
    command_line.run(lambda: run(tyro.cli(Study, description=__doc__)))


def run(study: Study) -> None:
    """Run what is missing, then write the tables."""
    genome = find_genome(study.genome)
    _require_same_study(study, genome)
    known = tasks(genome)
    results = _kept_results(study)
    for name in study.tasks:
        for result in _results(study, known, name, genome):
            results[name] = result
            record = {"study": _as_json(study), "jax": jax.__version__, "results": results}
            write_json(study.out / RESULT, record)
            (study.out / "pretraining.md").write_text(as_markdown(record))
    print(as_markdown(record))


def _kept_results(study: Study) -> dict[str, Any]:
    """Tasks that the tables hold already, if they are of this study."""
    path = study.out / RESULT
    before = read_json(path) if path.exists() else {}
    return before["results"] if before.get("study") == as_json(_as_json(study)) else {}


def _results(
    study: Study, known: dict[str, Task], name: str, genome: Path
) -> Iterator[dict[str, Any]]:
    """The table of a task's methods; then, if wanted, that and the table of frames."""
    task = known[name]
    parts = labelled_parts(task.given, 0)
    methods = _methods(study, task, parts, genome)
    result = {
        "rows": {part: len(table) for part, table in parts.tables.items()},
        "notes": [*parts.notes, *task.notes],
        "methods": _compared(parts, methods, CNN, genome),
    }
    yield result
    framed = {"plain": methods[f"mini, {study.frames_adapter}"]}
    if study.frames:
        framed |= _framed(study, study.mini, task)
    if study.long_steps:
        shifted = in_six_frames(task)
        title = f"six frames in training, {study.long_steps:,} steps, one seed"
        framed[title] = test_probabilities([long_run(study, shifted)])
    if name == GENOMIC and study.context:
        framed |= _with_context(study, study.mini, known[WITH_CONTEXT])
    if len(framed) > 1:
        yield result | {"frames": _compared(parts, framed, "plain", genome)}


def _as_json(study: Study) -> dict[str, Any]:
    """The options that the results depend on; models by name, wherever they lie."""
    options = {name: v for name, v in asdict(study).items() if name not in _MAY_DIFFER}
    return options | {"twin": study.twin and Path(study.twin).name, "mini": Path(study.mini).name}


def _require_same_study(study: Study, genome: Path) -> None:
    asked = as_json(_as_json(study))
    asked["weights"] = {
        name: load_pretrained(model).source
        for name, model in (("mini", study.mini), ("twin", study.twin))
        if model
    }
    asked["genome"] = sha256(genome)
    require_same(study.runs, asked)


def _compared(
    parts: LabelledParts, methods: dict[str, np.ndarray], against: str, genome: Path
) -> dict[str, dict[str, Any]]:
    loci = locus_groups(
        parts.tables["test"].sequences, open_genome(genome), geometry=PROMOTER_WINDOW
    )
    return seed_means(parts.labels["test"], methods, against, groups=loci)


def _methods(study: Study, task: Task, parts: LabelledParts, genome: Path) -> dict[str, np.ndarray]:
    """Probabilities of the test rows to be promoters, [seeds, rows], of each method."""
    methods = baselines_of(study, task) | {MARKOV: markov_probabilities(parts, genome)}
    models = {"mini": study.mini} | ({"twin": study.twin} if study.twin else {})
    networks = {}
    for name, model in models.items():
        for adapter in ADAPTERS[name]:
            folder = study.runs / task.name / f"{name}-{adapter}"
            members = members_of(study, model, adapter, task, folder)
            networks[f"{name}, {adapter}"] = test_probabilities(members)
    networks["untrained, full"] = test_probabilities(untrained_members(study, task))
    return networks | methods


def _framed(study: Study, model: str, task: Task) -> dict[str, np.ndarray]:
    """The six phases of 6-mers: averaged over at the test, trained on, and both."""
    adapter = study.frames_adapter
    folder = study.runs / task.name
    shifted = in_six_frames(task)
    plain = members_of(study, model, adapter, task, folder / f"mini-{adapter}")
    trained = members_of(study, model, adapter, shifted, folder / f"mini-{adapter}-six-frames")
    test = labelled_parts(task.given, 0).tables["test"].sequences
    return {
        "six frames averaged at the test": _averaged(plain, test),
        "six frames in training": test_probabilities(trained),
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
    members = members_of(study, model, adapter, task, folder)
    baselines = baselines_of(study, task)
    return {more: test_probabilities(members)} | {
        f"{name}, {more}": values for name, values in baselines.items()
    }


if __name__ == "__main__":
    main()
