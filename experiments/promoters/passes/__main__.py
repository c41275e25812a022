"""Transformer against CNN on promoters, with as many passes over the rows as the CNN has.

    python -m experiments.promoters.passes
    python -m experiments.promoters.passes --tasks genomic --arms 'mini, IA³' CNN --seeds 1
    python -m experiments.promoters.passes --table

All arms learn from the same rows. The state that is kept is the one with the best AUROC on
validation rows of equal GC (of the CNN and gradient boosting the one that they choose on these
rows, by accuracy and by loss). Test rows are scored once by each fitted model. What was scored is
kept under `--scores`, and an interrupted study goes on. Writes `passes.json`, `passes.md` and
`passes.png` beside this file; `--table` writes them of what was scored so far.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from sklearn.metrics import roc_auc_score

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN, labels_of
from experiments.promoters.passes.arms import (
    ARMS,
    BEST,
    CNN,
    CNN_FRAMES,
    Plan,
    Scored,
    score_file,
    scored,
)
from experiments.promoters.passes.tasks import EQUAL_GC, TASKS, Task, task_of
from ntjax.errors import UserError
from ntjax.io.json import write_json
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import holm
from ntjax.reports import command_line
from ntjax.reports.figures import COLOURS, new_picture, save
from ntjax.reports.markdown import markdown_table

_TITLES = {
    GENOMIC: "Against windows of the genome of equal GC, held-out blocks",
    CLEAN: "Against random bases (the published rows, clean)",
    EQUAL_GC: "Against random bases, of equal GC in training",
}
# What is asked of two arms: the first minus the second.
PAIRS = {
    "pre-training": (BEST, "untrained, all weights"),
    "LoRA on all six layers, against all weights": ("mini, LoRA on all six", BEST),
    "LoRA on query and value, against all weights": ("mini, LoRA on query and value", BEST),
    "IA³, against all weights": ("mini, IA³", BEST),
    "the head alone, against all weights": ("mini, head alone", BEST),
    "frames and dropout": (BEST, "mini, all weights, neither"),
    "frames": (BEST, "mini, all weights, one frame"),
    "dropout": (BEST, "mini, all weights, no dropout"),
    "frames of the CNN": (CNN_FRAMES, CNN),
}
_PARTS = ("validation", "matched validation", "test")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.promoters.passes`."""

    tasks: tuple[str, ...] = TASKS
    """Rows: genomic, clean, 'equal GC'."""
    arms: tuple[str, ...] = tuple(ARMS)
    """Arms to train."""
    seeds: int = 3
    """Fits of each arm."""
    passes: int = 14
    """Passes over the training rows."""
    share: float = 1.0
    """Share of a pass to train, to try it out."""
    table: bool = False
    """Train nothing; write the tables of what was scored."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    runs: Path = Path("runs/passes")
    """Folder of what is being trained."""
    scores: Path = _HERE / "scores"
    """Folder of what was scored."""
    out: Path = _HERE
    """Folder of the tables."""

    def __post_init__(self) -> None:
        for chosen, known in ((self.tasks, TASKS), (self.arms, tuple(ARMS))):
            if unknown := [name for name in chosen if name not in known]:
                raise UserError(f"{unknown[0]!r} is none of {', '.join(map(repr, known))}")


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Train what is missing, one seed of all arms after the other, and write the tables."""
    plan = Plan(options.passes, options.share, options.runs, options.scores)
    tasks = [task_of(name, find_genome(options.genome)) for name in options.tasks]
    if not options.table:
        for seed in range(options.seeds):
            for task in tasks:
                for name in options.arms:
                    one = scored(name, task, seed, plan)
                    print(f"{task.name}, {name}, seed {seed}: {aurocs(task, one)}", flush=True)
    write({task.name: (task, all_scored(task, plan)) for task in tasks}, options)


def all_scored(task: Task, plan: Plan) -> dict[str, list[Scored]]:
    """Read the scores of a task by arm, in the order of the arms."""
    found: dict[str, list[Scored]] = {}
    for name in ARMS:
        seeds = range(len(list(score_file(name, task.name, 0, plan).parent.glob("*.json"))))
        if ones := [scored(name, task, seed, plan) for seed in seeds]:
            found[name] = ones
    return found


def write(found: dict[str, tuple[Task, dict[str, list[Scored]]]], options: Options) -> None:
    """Write the numbers, the page and the figure of what there is."""
    results = {name: result(task, arms) for name, (task, arms) in found.items() if arms}
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"passes": options.passes, "share": options.share, "results": results}
    write_json(options.out / "passes.json", record)
    (options.out / "passes.md").write_text(markdown(record))
    draw(results, options)


def aurocs(task: Task, one: Scored) -> dict[str, float]:
    """AUROC of an arm and seed on validation rows, those of equal GC, and test rows."""
    labels = {"validation": labels_of(task.validation), "test": labels_of(task.test)}
    rows = {
        "validation": (labels["validation"], one.probabilities["validation"]),
        "matched validation": (
            labels["validation"][task.matched],
            one.probabilities["validation"][task.matched],
        ),
        "test": (labels["test"], one.probabilities["test"]),
    }
    return {part: float(roc_auc_score(*of_part)) for part, of_part in rows.items()}


def crossed(task: Task, arms: list[Scored]) -> dict[str, float]:
    """AUROC of the promoters of one part against the negatives of another, means over seeds.

    Shows whether it is the promoters or the negatives of the test rows that are harder.
    """
    labels = {"validation": labels_of(task.validation), "test": labels_of(task.test)}

    def auroc(promoters: str, negatives: str) -> float:
        values = []
        for one in arms:
            positive = one.probabilities[promoters][labels[promoters] == 1]
            negative = one.probabilities[negatives][labels[negatives] == 0]
            truth = np.repeat([1, 0], [len(positive), len(negative)])
            values.append(roc_auc_score(truth, np.concatenate([positive, negative])))
        return float(np.mean(values))

    return {
        f"{promoters} promoters, {negatives} negatives": auroc(promoters, negatives)
        for promoters in labels
        for negatives in labels
    }


def result(task: Task, arms: dict[str, list[Scored]]) -> dict[str, Any]:
    """Compare the arms of a task on its test rows."""
    of_test = {
        name: np.array([one.probabilities["test"] for one in of]) for name, of in arms.items()
    }
    against = CNN if CNN in arms else next(iter(arms))
    means = seed_means(labels_of(task.test), of_test, against, groups=task.groups)
    counts = {"train": len(task.train), "validation": len(task.validation)}
    counts |= {"matched validation": len(task.matched), "test": len(task.test)}
    found = {}
    for name, of in arms.items():
        each = [aurocs(task, one) for one in of]
        found[name] = {
            "test": means[name],
            "auroc": {part: [one[part] for one in each] for part in _PARTS},
            "crossed": crossed(task, of),
            "curve": [one.curve for one in of],
        }
    return {
        "rows": counts,
        "groups": len(np.unique(task.groups)),
        "against": against,
        "arms": found,
        "pairs": paired(task, of_test),
    }


def paired(task: Task, of_test: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Subtract one arm from another where both are there: AUROC, p-values corrected (Holm)."""
    there = {name: pair for name, pair in PAIRS.items() if all(arm in of_test for arm in pair)}
    found = {}
    for name, (arm, without) in there.items():
        of_pair = {one: of_test[one] for one in (arm, without)}
        means = seed_means(
            labels_of(task.test), of_pair, without, metrics=("auroc",), groups=task.groups
        )
        seeds = {one: len(of_test[one]) for one in (arm, without)}
        found[name] = means[arm]["auroc"]["difference"] | {"seeds": seeds}
    tested = [name for name, one in found.items() if one["p"] is not None]
    for name, corrected in zip(tested, holm([found[n]["p"] for n in tested]), strict=True):
        found[name]["holm"] = float(corrected)
    return found


def markdown(record: dict[str, Any]) -> str:
    """Lay out a table for each task."""
    lines = [
        "# Transformer and CNN over passes",
        "",
        f"Made by `python -m experiments.promoters.passes`. {record['passes']} passes over the "
        "training rows (of the CNN in six frames over all copies), head `tokens`, rates that are "
        "the defaults of `mini`. But where an arm's name says otherwise, transformers learn from "
        "each row in the six frames of its 6-mers, their outputs are averaged over the frames, "
        "and 10% of what each layer adds is dropped in training. AUROC as means over seeds ± "
        "standard deviation; of test rows with the 95% interval over loci, and the paired "
        "difference with its own.",
    ]
    for name, of_task in record["results"].items():
        rows = ", ".join(f"{count:,} {part}" for part, count in of_task["rows"].items())
        heads = ("arm", "seeds", *_PARTS, "MCC, test", f"AUROC, test, minus {of_task['against']}")
        body = [
            (arm, *_cells(one), _difference(one["test"]["auroc"]["difference"]))
            for arm, one in of_task["arms"].items()
        ]
        lines += ["", f"## {_TITLES[name]}", "", f"Rows: {rows}.", "", *markdown_table(heads, body)]
        lines += ["", *_pair_table(of_task["pairs"])]
        if name == CLEAN:
            lines += ["", *_crossed_table(of_task["arms"])]
    return "\n".join(lines) + "\n"


def _pair_table(pairs: dict[str, dict[str, Any]]) -> list[str]:
    body = [
        (name, PAIRS[name][0], PAIRS[name][1], _difference(one), f"{one.get('holm', 1):.3f}")
        for name, one in pairs.items()
    ]
    if not body:
        return []
    heads = ("what", "arm", "minus", "AUROC, test", "p, corrected (Holm)")
    return markdown_table(heads, body)


def _crossed_table(arms: dict[str, Any]) -> list[str]:
    pairs = list(next(iter(arms.values()))["crossed"])
    body = [(arm, *(f"{one['crossed'][pair]:.3f}" for pair in pairs)) for arm, one in arms.items()]
    lead = "Promoters of one part against the negatives of another, AUROC, means over seeds:"
    return [lead, "", *markdown_table(("arm", *pairs), body)]


def _cells(arm: dict[str, Any]) -> tuple[str, ...]:
    spread = {part: _spread(values) for part, values in arm["auroc"].items()}
    auroc, mcc = arm["test"]["auroc"], arm["test"]["mcc"]
    spread["test"] += _interval(auroc)
    seeds = str(len(arm["auroc"]["test"]))
    return (seeds, *spread.values(), f"{mcc['value']:.3f}{_interval(mcc)}")


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
        there = [arm for arm in ARMS if arm in of_task["arms"]]
        transformers = [arm for arm in there if ARMS[arm].is_transformer]
        for colour, arm in zip(COLOURS, transformers, strict=False):
            curve = np.mean(of_task["arms"][arm]["curve"], axis=0)
            axis.plot(np.arange(1, len(curve) + 1), curve, color=colour, label=arm)
        for arm in (arm for arm in there if not ARMS[arm].is_transformer):
            level = np.mean(of_task["arms"][arm]["auroc"]["matched validation"])
            axis.axhline(level, linestyle="--", color="0.4", linewidth=1)
            axis.annotate(arm, (1, level), va="bottom", fontsize="small")
        axis.set_title(_TITLES[name], fontsize="medium")
        axis.set_xlabel("passes over the training rows")
    axes.flat[0].set_ylabel("AUROC, validation rows of equal GC, one frame")
    lines = axes.flat[0].get_legend_handles_labels()
    picture.legend(*lines, loc="outside right upper", frameon=False, fontsize="small")
    save(picture, options.out / "passes.png")


if __name__ == "__main__":
    main()
