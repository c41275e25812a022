"""Which head and which learning rate suit `mini`: the grid behind its defaults.

    python -m experiments.defaults
    python -m experiments.defaults --adapters ia3 --tasks promoters

Each adapter gets the same number of configurations, four heads times four learning rates, and
three seeds of each, on two tasks. What is compared is the AUROC on validation rows: test rows have
no part in it, and are not read. Populations that are done are kept under `--runs`, and an
interrupted grid goes on. Reads the genome of K-12 and the promoter set from NTJAX_DATA_DIR. Writes
`defaults.json` and `defaults.md` beside this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import genomic_rows
from ntjax.datasets.registry import load_dataset
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.io.json import write_json
from ntjax.io.tables import SequenceTable
from ntjax.reports import command_line
from ntjax.reports.page import Table, as_markdown
from ntjax.runs.run import Run
from ntjax.training.swept_runs import FailedRun, sweep

CODING_STRAND, PROMOTERS = "coding strand", "promoters"
HEADS = ("cls", "mean", "tokens", "attention")
# Of the adapter; the head has the rate that is its default, but where it is trained alone.
RATES: Mapping[str, tuple[float, ...]] = {
    "ia3": (1e-3, 3e-3, 1e-2, 3e-2),
    "lora": (5e-4, 1e-3, 2e-3, 5e-3),
    "full": (1e-4, 2e-4, 5e-4, 1e-3),
    "head": (1e-3, 3e-3, 1e-2, 3e-2),
}
SEEDS = 3
METRIC = "auroc"


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.defaults`."""

    adapters: tuple[str, ...] = tuple(RATES)
    """Adapters to try."""
    tasks: tuple[str, ...] = (CODING_STRAND, PROMOTERS)
    """Tasks to try them on."""
    steps: int = 300
    """Optimiser steps of 32 rows."""
    runs: Path = Path("runs/defaults")
    """Folder of the runs."""
    out: Path = Path(__file__).parent
    """Folder of the table."""


@dataclass(frozen=True)
class Task:
    """Rows to choose defaults on.

    Attributes:
        train: rows to learn from.
        validation: rows that choose the checkpoint and are scored.
        settings: of all runs.
    """

    train: SequenceTable
    validation: SequenceTable
    settings: Mapping[str, Any]


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Train the grid and write the table after each adapter and task."""
    model, results = load_pretrained("mini"), []
    for name in options.tasks:
        task = task_of(name)
        for adapter in options.adapters:
            results += of_adapter(model, name, task, adapter, options)
            options.out.mkdir(parents=True, exist_ok=True)
            write_json(options.out / "defaults.json", {"steps": options.steps, "results": results})
            (options.out / "defaults.md").write_text(markdown(results, options.steps))


def task_of(name: str) -> Task:
    """Read the training and validation rows of a task."""
    if name == CODING_STRAND:
        rows = load_dataset("ecoli_coding_strand")
        assert rows.validation is not None
        both = {"augment_reverse_complement": "flip-label"}
        return Task(rows.train, rows.validation, both)
    rows = genomic_rows(find_genome(None))
    return Task(rows.train, rows.validation, {})


def of_adapter(
    model: PretrainedModel, name: str, task: Task, adapter: str, options: Options
) -> list[dict[str, Any]]:
    """Train every configuration of an adapter; return what each reached."""
    rate = "head_learning_rate" if adapter == "head" else "learning_rate"
    runs = sweep(
        model,
        task.train,
        task.validation,
        task.validation,  # nothing else is scored
        vary={"head": HEADS, rate: RATES[adapter], "seed": range(SEEDS)},
        adapter=adapter,
        split_seed=0,
        steps=options.steps,
        batch_size=32,
        evaluate_every=max(1, options.steps // 3),
        out=(out := options.runs / f"{name.replace(' ', '_')}-{adapter}-{options.steps}"),
        resume=out.exists(),
        progress=True,
        **task.settings,
    )
    shape = (len(HEADS), len(RATES[adapter]), SEEDS)
    scores = np.array([score(one) for one in runs]).reshape(shape)
    return [
        {
            "task": name,
            "adapter": adapter,
            "head": head,
            "rate": value,
            METRIC: scores[i, k].tolist(),
        }
        for i, head in enumerate(HEADS)
        for k, value in enumerate(RATES[adapter])
    ]


def score(run: Run | FailedRun) -> float:
    """Return a run's AUROC on the validation rows; NaN of one that diverged."""
    return np.nan if isinstance(run, FailedRun) else run.metrics[METRIC]["value"]


def markdown(results: list[dict[str, Any]], steps: int) -> str:
    """Lay out the grid: a table for each task and adapter, its best configuration in bold."""
    lines = [
        "# The grid behind the defaults of `mini`",
        "",
        f"AUROC on validation rows, mean of {SEEDS} seeds ± standard deviation, after {steps} "
        "steps of 32 rows at most (the state with the best validation MCC is kept). Test rows were "
        "not read. Made by `python -m experiments.defaults`.",
    ]
    for task, adapter in dict.fromkeys((row["task"], row["adapter"]) for row in results):
        own = [row for row in results if (row["task"], row["adapter"]) == (task, adapter)]
        best = max(own, key=lambda row: np.nan_to_num(np.mean(row[METRIC])))
        rates = list(dict.fromkeys(row["rate"] for row in own))
        body = tuple(
            (head, *(_cell(row, row is best) for row in own if row["head"] == head))
            for head in dict.fromkeys(row["head"] for row in own)
        )
        of = "rate of the head" if adapter == "head" else "rate of the adapter"
        table = Table(("head", *(f"{of} {rate:g}" for rate in rates)), body)
        lines += ["", f"## {task}, {adapter}", "", as_markdown(table)]
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], best: bool) -> str:
    values = np.array(row[METRIC])
    text = f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
    return f"**{text}**" if best else text


if __name__ == "__main__":
    main()
