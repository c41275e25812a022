"""Transformer against CNN on promoters, with as many passes over the rows as the CNN has.

    python -m experiments.promoters.passes
    python -m experiments.promoters.passes --tasks genomic --arms 'mini, IA³' CNN

All arms learn from the same rows. The state that is kept is the one with the best AUROC on
validation rows of equal GC (of the CNN and gradient boosting the one that they choose on these
rows, by accuracy and by loss). Test rows are scored once by each fitted model. Fits that are done
are kept under `--runs`, and an interrupted one goes on. Writes
`passes.json`, `passes.md` and `passes.png` beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN, labels_of
from experiments.promoters.passes.arms import ARMS, CNN, TRANSFORMERS, Scored, scored
from experiments.promoters.passes.tasks import Task, task_of
from ntjax.io.json import write_json
from ntjax.metrics.seeds import seed_means
from ntjax.reports import command_line
from ntjax.reports.figures import COLOURS, new_picture, save
from ntjax.reports.markdown import markdown_table

_TITLES = {
    CLEAN: "Against random bases (the published test rows, clean)",
    GENOMIC: "Against windows of the genome of equal GC, held-out blocks",
}
_PARTS = ("validation", "matched validation", "test")


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.promoters.passes`."""

    tasks: tuple[str, ...] = (GENOMIC, CLEAN)
    """Rows: genomic, clean."""
    arms: tuple[str, ...] = ARMS
    """Arms to train."""
    seeds: int = 3
    """Fits of each arm."""
    passes: int = 14
    """Passes over the training rows."""
    share: float = 1.0
    """Share of a pass to train, to try it out."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    runs: Path = Path("runs/passes")
    """Folder of the runs."""
    out: Path = Path(__file__).parent
    """Folder of the tables."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Train what is missing, one seed of all arms after the other, and write the tables."""
    tasks = [task_of(name, find_genome(options.genome)) for name in options.tasks]
    found: dict[str, dict[str, list[Scored]]] = {task.name: {} for task in tasks}
    for seed in range(options.seeds):
        for task in tasks:
            for arm in options.arms:
                one = scored(arm, task, seed, options.passes, options.share, options.runs)
                found[task.name].setdefault(arm, []).append(one)
                print(f"{task.name}, {arm}, seed {seed}: {one.auroc}", flush=True)
            write(tasks, found, options)


def write(tasks: list[Task], found: dict[str, dict[str, list[Scored]]], options: Options) -> None:
    """Write the numbers, the page and the figure of what there is."""
    results = {task.name: result(task, found[task.name]) for task in tasks if found[task.name]}
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"passes": options.passes, "share": options.share, "results": results}
    write_json(options.out / "passes.json", record)
    (options.out / "passes.md").write_text(markdown(record))
    draw(results, options)


def result(task: Task, arms: dict[str, list[Scored]]) -> dict[str, Any]:
    """Compare the arms of a task on its test rows."""
    probabilities = {arm: np.array([one.probabilities for one in of]) for arm, of in arms.items()}
    against = CNN if CNN in arms else next(iter(arms))
    means = seed_means(labels_of(task.test), probabilities, against, groups=task.groups)
    tables = {"train": task.learned, "matched validation": task.matched, "test": task.test}
    return {
        "rows": {part: len(table) for part, table in tables.items()},
        "against": against,
        "arms": {
            arm: {
                "test": means[arm],
                "auroc": {part: [one.auroc[part] for one in of] for part in _PARTS},
                "curve": [one.curve for one in of],
            }
            for arm, of in arms.items()
        },
    }


def markdown(record: dict[str, Any]) -> str:
    """Lay out a table for each task."""
    lines = [
        "# Transformer and CNN over passes",
        "",
        f"Made by `python -m experiments.promoters.passes`. {record['passes']} passes over the "
        "training rows, head `tokens`, other settings as `python -m ntjax.finetune` chooses them "
        "for `mini`. AUROC as means over seeds ± standard deviation; of test rows with the 95% "
        "interval over loci, and the paired difference with its own.",
    ]
    for name, of_task in record["results"].items():
        rows = ", ".join(f"{count:,} {part}" for part, count in of_task["rows"].items())
        heads = ("arm", *_PARTS, "MCC, test", f"AUROC, test, minus {of_task['against']}")
        body = [
            (arm, *_cells(one), _difference(one["test"]["auroc"]["difference"]))
            for arm, one in of_task["arms"].items()
        ]
        lines += ["", f"## {_TITLES[name]}", "", f"Rows: {rows}.", "", *markdown_table(heads, body)]
    return "\n".join(lines) + "\n"


def _cells(arm: dict[str, Any]) -> tuple[str, ...]:
    spread = {part: _spread(values) for part, values in arm["auroc"].items()}
    auroc, mcc = arm["test"]["auroc"], arm["test"]["mcc"]
    spread["test"] += _interval(auroc)
    return (*spread.values(), f"{mcc['value']:.3f}{_interval(mcc)}")


def _interval(found: dict[str, Any]) -> str:
    return "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _difference(found: dict[str, Any]) -> str:
    if found["low"] is None or found["low"] == found["high"]:
        return ""
    return f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def draw(results: dict[str, Any], options: Options) -> None:
    """Draw AUROC on matched validation rows over passes, a panel for each task."""
    picture, axes = new_picture(columns=len(results), width=6.6, height=4.2)
    for axis, (name, of_task) in zip(axes.flat, results.items(), strict=True):
        transformers = [arm for arm in ARMS if arm in of_task["arms"] and arm in TRANSFORMERS]
        for colour, arm in zip(COLOURS, transformers, strict=False):
            curve = np.mean(of_task["arms"][arm]["curve"], axis=0)
            axis.plot(np.arange(1, len(curve) + 1), curve, color=colour, label=arm)
        for arm in of_task["arms"].keys() - TRANSFORMERS.keys():
            level = np.mean(of_task["arms"][arm]["auroc"]["matched validation"])
            axis.axhline(level, linestyle="--", color="0.4", linewidth=1)
            axis.annotate(arm, (1, level), va="bottom", fontsize="small")
        axis.set_title(_TITLES[name], fontsize="medium")
        axis.set_xlabel("passes over the training rows")
    axes.flat[0].set_ylabel("AUROC, validation rows of equal GC")
    lines = axes.flat[0].get_legend_handles_labels()
    picture.legend(*lines, loc="outside right upper", frameon=False, fontsize="small")
    save(picture, options.out / "passes.png")


if __name__ == "__main__":
    main()
