"""Transformer and CNN on promoters, with as many passes over the rows.

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

import tyro

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.passes.arms import ARMS, Plan, Scored, score_file, scored
from experiments.promoters.passes.page import COMMAND, TITLE, blocks
from experiments.promoters.passes.results import aurocs, result
from experiments.promoters.passes.tasks import TASKS, Task, task_of
from ntjax.errors import UserError
from ntjax.io.json import write_json
from ntjax.reports import command_line
from ntjax.reports.page import as_markdown

PASSES = 14
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
    passes: int = PASSES
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
        if _HERE in (self.out, self.scores.parent) and (self.share, self.passes) != (1.0, PASSES):
            raise UserError(
                "a trial with another --share or --passes does not go beside the real ones: give "
                "it an --out and --scores of its own"
            )


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Train what is missing, one seed of all arms after the other, and write the tables."""
    plan = Plan(options.passes, options.share, options.runs, options.scores)
    genome = find_genome(options.genome)
    if not options.table:
        tasks = [task_of(name, genome) for name in options.tasks]
        for seed in range(options.seeds):
            for task in tasks:
                for name in options.arms:
                    if seed and ARMS[name].kind == "boosting":
                        continue  # the same for all seeds
                    one = scored(name, task, seed, plan)
                    print(f"{task.name}, {name}, seed {seed}: {aurocs(task, one)}", flush=True)
    found = {}
    for name in TASKS:
        if any(seeds_there(arm, name, plan) for arm in ARMS):
            task = task_of(name, genome)
            found[name] = (task, all_scored(task, plan))
    if not found:
        raise UserError(f"{options.scores}: holds no scores: run without --table first")
    write(found, options)


def seeds_there(arm: str, task: str, plan: Plan) -> list[int]:
    """Seeds whose scores are kept."""
    folder = score_file(arm, task, 0, plan).parent
    return sorted(int(path.stem) for path in folder.glob("*.json"))


def all_scored(task: Task, plan: Plan) -> dict[str, list[Scored]]:
    """Read the scores of a task by arm, in the order of the arms; nothing is fitted."""
    found = {
        name: [scored(name, task, seed, plan) for seed in seeds_there(name, task.name, plan)]
        for name in ARMS
    }
    return {name: ones for name, ones in found.items() if ones}


def write(found: dict[str, tuple[Task, dict[str, list[Scored]]]], options: Options) -> None:
    """Write the numbers, the page and the figure of what there is."""
    results = {name: result(task, arms) for name, (task, arms) in found.items() if arms}
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"passes": options.passes, "share": options.share, "results": results}
    write_json(options.out / "passes.json", record)
    (options.out / "passes.md").write_text(markdown(record, options.out))


def markdown(record: dict[str, Any], folder: Path) -> str:
    """Lay out the page, and draw its figure into a folder."""
    body = [as_markdown(block) for block in blocks(record, folder)]
    return "\n\n".join([f"# {TITLE}", f"Made by `{COMMAND}`.", *body]) + "\n"


if __name__ == "__main__":
    main()
