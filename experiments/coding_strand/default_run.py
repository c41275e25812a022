"""What `python -m ntjax.finetune` prints, over five seeds: the model beside its baselines.

    python -m experiments.coding_strand.default_run

The rows are the bundled ones, the same for every seed. A seed draws the initial values, the order
of the rows and the baselines' own randomness. About ten CPU minutes. Writes `default_run.json` and
`default_run.md` beside this file.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from sklearn.metrics import roc_auc_score

from experiments.coding_strand.results import cells, compare, heads
from ntjax.baselines.both_strands import fit_both_strands
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.reports import command_line
from ntjax.reports.page import Table, as_markdown
from ntjax.training.finetune import run_job
from ntjax.training.job import Job, prepare
from ntjax.training.settings import Settings, complete

PRIMARY = "`mini`, IA³"
BASELINES = {
    "gradient boosting, both strands": fit_gradient_boosting,
    "CNN, both strands": partial(fit_cnn, progress=False),
}


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.coding_strand.default_run`."""

    seeds: int = 5
    """Runs, each with its baselines."""
    out: Path = Path(__file__).parent
    """Folder of the table."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Train and score everything, and write the table."""
    jobs = prepare([complete(Settings(seed=seed))[0] for seed in range(options.seeds)])
    forward = np.asarray(jobs[0].parts.targets("test"))
    scores: dict[str, list[np.ndarray]] = {}
    for job in jobs:
        for name, values in scores_of_a_seed(job).items():
            scores.setdefault(name, []).append(values)
            auroc = roc_auc_score(forward, values)
            print(f"seed {job.settings.seed}: {name}, AUROC {auroc:.4f}", flush=True)
    together = {name: np.array(values) for name, values in scores.items()}
    summary = compare(forward, together, PRIMARY, jobs[0].parts.test_groups)
    options.out.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"seeds": options.seeds, "results": summary}, indent=1)
    (options.out / "default_run.json").write_text(content + "\n")
    (options.out / "default_run.md").write_text(markdown(summary, options.seeds))


def scores_of_a_seed(job: Job) -> dict[str, np.ndarray]:
    """Return the log-odds of class 1 of the test rows by method, [n]."""
    test = job.parts.tables["test"].sequences
    run = run_job(job)
    outputs = {
        PRIMARY: run.logits(test),
        f"{PRIMARY}, the forward strand alone": run.logits(test, average_strands=False),
    }
    training, validation = (
        (job.parts.tables[part].sequences, job.parts.targets(part))
        for part in ("train", "validation")
    )
    for name, fit in BASELINES.items():
        model = fit_both_strands(fit, training, validation, "flip-label", seed=job.settings.seed)
        outputs[name] = model.logits(test)
    return {name: values[:, 1] - values[:, 0] for name, values in outputs.items()}


def markdown(results: dict[str, Any], seeds: int) -> str:
    """Write the table."""
    rows = tuple((name, *cells(result, seeds, name == PRIMARY)) for name, result in results.items())
    return as_markdown(Table(("method", *heads(PRIMARY)), rows)) + "\n"


if __name__ == "__main__":
    main()
