"""What do few labels buy with pre-training? The strand of genes, with `mini` and without.

    python -m experiments.coding_strand --twin FOLDER

Reads the genome from NTJAX_DATA_DIR and writes `results.json`, `results.md` and `labels.png` beside
this file. Scores are kept in `runs/coding_strand` and are picked up where they stopped. About two
CPU hours; `--labels 100 --seeds 1 --runs FOLDER --out FOLDER` tries it out.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from threadpoolctl import threadpool_limits

from experiments.coding_strand import results
from experiments.coding_strand.arms import PRIMARY, Arm, arms, steps_for
from experiments.coding_strand.make_dataset import Windows
from experiments.coding_strand.rows import (
    Labelled,
    apart_from,
    as_rows,
    draw_labelled,
    part_sizes,
    pieces,
    read_pool,
)
from experiments.promoters.data.genome_files import find_genome
from ntjax.errors import UserError
from ntjax.reports import command_line


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.coding_strand`."""

    labels: tuple[int, ...] = (100, 300, 1_000, 3_000)
    """Numbers of labelled windows, of all parts together."""
    seeds: int = 5
    """Each draws its own labelled windows."""
    arms: tuple[str, ...] = ()
    """Arms to run; all if none is named."""
    twin: Path | None = None
    """Weights of the network that saw no E. coli (scripts/mini/train_mini.py --arms twin)."""
    genome: Path | None = None
    """FASTA of E. coli K-12 (NC_000913.3), with its annotation (.gff.gz) beside it. Otherwise from
    NTJAX_DATA_DIR."""
    runs: Path = Path("runs/coding_strand")
    """Folder of the scores."""
    out: Path = Path(__file__).parent
    """Folder of tables and figure."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Score every arm and write tables and figure."""
    chosen = _chosen_arms(options)
    pool = read_pool(find_genome(options.genome))
    options.runs.mkdir(parents=True, exist_ok=True)
    _keep_compiled_programs(options.runs / "compiled")
    for seed in range(options.seeds):
        for labels in options.labels:
            labelled = draw_labelled(pool, labels, seed)
            for name, arm in chosen.items():
                _score(arm, name, labelled, seed, pool["test"], options)
    summary = {
        str(labels): _summary(options, list(chosen), labels, pool) for labels in options.labels
    }
    _write(options, summary)


def _chosen_arms(options: Options) -> dict[str, Arm]:
    known = arms(options.runs, options.twin)
    if unknown := [name for name in options.arms if name not in known]:
        raise UserError(f"--arms {unknown[0]!r}: there are {'; '.join(known)}")
    if options.arms and PRIMARY not in options.arms:
        raise UserError(f"--arms lacks {PRIMARY!r}, which the others are compared with")
    return {name: known[name] for name in options.arms or known}


def _keep_compiled_programs(folder: Path) -> None:
    """Compile the same training step once, not for each of its hundred runs."""
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def _file(options: Options, name: str, labels: int, seed: int) -> Path:
    return options.runs / f"{name.replace(' ', '_')}-{labels}-{seed}.json"


def _score(
    arm: Arm, name: str, labelled: Labelled, seed: int, test: Windows, options: Options
) -> None:
    """Fit an arm and keep its scores of the test windows, unless they are there."""
    labels = len(labelled.sequences)
    path = _file(options, name, labels, seed)
    if path.exists():
        return
    began, cpu = time.perf_counter(), time.process_time()
    # On a busy machine the threads of scikit-learn wait for each other.
    with threadpool_limits(1, user_api="openmp"):
        scores = arm(labelled, seed)(test.sequences)
    if not np.isfinite(scores).all():
        raise UserError(f"{name}, {labels} labels, seed {seed}: scores are not finite")
    seconds = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    _write_text(path, json.dumps({"scores": scores.tolist(), **seconds}))
    print(f"{name}, {labels:,} labels, seed {seed}: {seconds['seconds']:.0f} s", flush=True)


def _summary(
    options: Options, names: list[str], labels: int, pool: dict[str, Windows]
) -> dict[str, Any]:
    saved = {
        name: [
            json.loads(_file(options, name, labels, seed).read_text())
            for seed in range(options.seeds)
        ]
        for name in names
    }
    test, seeds = pool["test"], range(options.seeds)
    apart = [apart_from(test, draw_labelled(pool, labels, seed)) for seed in seeds]
    summary = results.summarise(
        as_rows(test)[1],
        {name: np.array([one["scores"] for one in seeds]) for name, seeds in saved.items()},
        pieces(test),
        np.array(apart),
    )
    for name, of_seeds in saved.items():
        cpu = np.mean([one["cpu_seconds"] for one in of_seeds])
        summary[name]["cpu_seconds"] = round(float(cpu), 1)
    return summary


def _write(options: Options, summary: dict[str, Any]) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    protocol = {
        "seeds": options.seeds,
        "steps": {str(labels): steps_for(labels) for labels in options.labels},
        "parts": {str(labels): part_sizes(labels) for labels in options.labels},
    }
    content = json.dumps({"protocol": protocol, "results": summary}, indent=1)
    _write_text(options.out / "results.json", content + "\n")
    _write_text(options.out / "results.md", results.markdown(summary, options.seeds))
    results.draw(summary, options.out / "labels.png")
    print(f"results: {options.out / 'results.md'}")


def _write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


if __name__ == "__main__":
    main()
