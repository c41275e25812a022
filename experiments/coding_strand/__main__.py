"""How far do few labels go? The strand of a gene, by labels, for `mini` and what stands beside it.

python -m experiments.coding_strand                                  # every method and size
python -m experiments.coding_strand --labels 1500 --methods "mini, IA³"

Results are kept method by method below `runs/coding_strand`; what is there is not made again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from experiments.coding_strand.figure import draw
from experiments.coding_strand.make_dataset import draw_windows
from experiments.coding_strand.methods import Labels, Method, methods
from experiments.promoters.data.genome_files import find_genome
from ntjax.datasets import coding_strand
from ntjax.errors import UserError
from ntjax.io.json import write_json
from ntjax.leakage.kmer_groups import shared_kmer_groups
from ntjax.metrics.seeds import seed_means
from ntjax.reports import command_line

HERE = Path(__file__).parent
METRICS = ("auroc", "mcc")
AGAINST = "mini, IA³"
BUNDLED = 1500
"""Labels of the bundled data set; more are drawn from the genome."""


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.coding_strand`."""

    labels: tuple[int, ...] = (100, 300, 1000, 3000)
    """Numbers of labels, those that choose and calibrate among them."""
    methods: tuple[str, ...] = ()
    """Methods to run; all if none is named. Tables and figure hold all that are kept."""
    seeds: int = 5
    """Seeds 0, 1, ... of each method."""
    twin: Path | None = None
    """Folder of a model like mini that saw no E. coli (scripts/mini/train_mini.py --arms twin)."""
    runs: Path = Path("runs/coding_strand")
    """Folder of what is kept."""
    out: Path = HERE
    """Folder of results.json, results.md and figure.png."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Run the methods that are not kept yet, and write tables and figure of all that are."""
    known = methods(options.runs, options.twin)
    if unknown := set(options.methods) - known.keys():
        raise UserError(f"--methods {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    chosen = {name: known[name] for name in options.methods or known}
    whole = bundled()
    for count in options.labels:
        labels = (whole if count <= BUNDLED else more_labels(count, whole)).first(count)
        for name, method in chosen.items():
            _keep(_path(options, count, name), name, method, labels, options.seeds)
    results = summary(options, whole)
    write_json(options.out / "results.json", results)
    (options.out / "results.md").write_text(as_markdown(results))
    draw(results, options.out / "figure.png")


def bundled() -> Labels:
    """Return the data set of the package."""
    return Labels(**coding_strand.load())


def more_labels(count: int, whole: Labels) -> Labels:
    """Draw training, validation and calibration windows from the genome; the test stays."""
    sixth = 2 * round(count / 12)
    rows = {"train": count - 2 * sixth, "validation": sixth, "calibration": sixth}
    drawn = draw_windows(find_genome(None), rows | {"test": len(whole.test)})
    return Labels(**{part: drawn[part].table() for part in rows}, test=whole.test)


def _path(options: Options, count: int, name: str) -> Path:
    return options.runs / str(count) / f"{name}.npz"


def _keep(path: Path, name: str, method: Method, labels: Labels, seeds: int) -> None:
    if path.exists():
        return
    print(f"{len(labels.train):,} training rows: {name}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, probabilities=method(labels, range(seeds)))


def summary(options: Options, whole: Labels) -> dict:
    """Metrics by number of labels and method, with intervals over groups that share a 16-mer."""
    truth = whole.pair("test")[1]
    groups = shared_kmer_groups(whole.test.sequences, 16)
    results = {}
    for folder in sorted(options.runs.glob("[0-9]*"), key=lambda path: int(path.name)):
        found = {}
        for name in methods(options.runs, options.twin or Path("twin")):
            path = folder / f"{name}.npz"
            if path.exists():
                with np.load(path) as file:
                    found[name] = file["probabilities"]
        if AGAINST in found:
            results[folder.name] = seed_means(truth, found, AGAINST, metrics=METRICS, groups=groups)
    return {"n": len(truth), "groups": int(groups.max()) + 1, "labels": results}


def as_markdown(results: Mapping) -> str:
    """Tables of the results."""
    lines = [
        "Written by `python -m experiments.coding_strand`. Means over seeds; 95% intervals draw "
        f"{results['groups']:,} groups of the {results['n']:,} test windows that share a 16-mer. "
        f"Differences are the method minus {AGAINST}, on the same windows.",
    ]
    for count, found in results["labels"].items():
        lines += ["", f"## {int(count):,} labels", ""]
        lines += ["| method | AUROC | difference | MCC |", "|---|---|---|---|"]
        for name, metrics in found.items():
            auroc, mcc = metrics["auroc"], metrics["mcc"]
            against = "" if name == AGAINST else _cell(auroc["difference"])
            lines.append(f"| {name} | {_cell(auroc)} | {against} | {_cell(mcc)} |")
    return "\n".join(lines) + "\n"


def _cell(numbers: Mapping[str, float]) -> str:
    return f"{numbers['value']:.3f} [{numbers['low']:.3f}, {numbers['high']:.3f}]"


def read_results() -> dict:
    """Return the committed results."""
    return json.loads((HERE / "results.json").read_text())


if __name__ == "__main__":
    main()
