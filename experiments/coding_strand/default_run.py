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

from experiments.coding_strand.results import METRICS, as_probabilities
from ntjax.baselines.both_strands import fit_both_strands
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.datasets.reverse_complements import average_strands
from ntjax.metrics.classification import score
from ntjax.metrics.seeds import seed_means
from ntjax.reports import command_line
from ntjax.reports.cells import signed_cell, spread_cell
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
    scores: dict[str, list[np.ndarray]] = {}
    for job in jobs:
        for name, values in scores_of_a_seed(job).items():
            scores.setdefault(name, []).append(values)
            auroc = _metric(job, as_probabilities(values), "auroc")
            print(f"seed {job.settings.seed}: {name}, AUROC {auroc:.4f}", flush=True)
    summary = summarise(jobs[0], {name: np.array(values) for name, values in scores.items()})
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
        f"{PRIMARY}, both strands averaged": average_strands(run.logits, test, "flip-label"),
    }
    training, validation = (
        (job.parts.tables[part].sequences, job.parts.targets(part))
        for part in ("train", "validation")
    )
    for name, fit in BASELINES.items():
        model = fit_both_strands(fit, training, validation, "flip-label", seed=job.settings.seed)
        outputs[name] = model.logits(test)
    return {name: values[:, 1] - values[:, 0] for name, values in outputs.items()}


def summarise(job: Job, scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return means over seeds, [seeds, n] of each method, and differences from the model."""
    probabilities = {name: as_probabilities(values) for name, values in scores.items()}
    results = seed_means(
        _labels(job),
        probabilities,
        PRIMARY,
        metrics=tuple(METRICS),
        groups=job.parts.test_groups,
        bootstrap=2_000,
    )
    for name, seeds in probabilities.items():
        for metric in METRICS:
            own = [_metric(job, p, metric) for p in probabilities[PRIMARY]]
            ahead = sum(_metric(job, p, metric) > own[seed] for seed, p in enumerate(seeds))
            results[name][metric]["difference"]["ahead"] = ahead
    return results


def _labels(job: Job) -> np.ndarray:
    return np.asarray(job.parts.targets("test"))


def _metric(job: Job, probabilities: np.ndarray, metric: str) -> float:
    return score(_labels(job), np.stack([1 - probabilities, probabilities], axis=1), metric)


def markdown(results: dict[str, Any], seeds: int) -> str:
    """Write the table."""
    heads = (
        "method",
        *METRICS.values(),
        *(f"{name}, minus {PRIMARY}" for name in METRICS.values()),
    )
    rows = []
    for name, result in results.items():
        differences = (
            f"{signed_cell(result[metric]['difference'])}; above in "
            f"{result[metric]['difference']['ahead']} of {seeds}"
            for metric in METRICS
        )
        means = (spread_cell(result[metric]) for metric in METRICS)
        rows.append((name, *means, *([""] * len(METRICS) if name == PRIMARY else differences)))
    return as_markdown(Table(heads, tuple(rows))) + "\n"


if __name__ == "__main__":
    main()
