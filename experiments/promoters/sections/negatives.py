"""What a promoter is told from decides what is learnt: train on each kind, test on all."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.data.baseline_runs import BOOSTING, fitted_baseline
from experiments.promoters.data.genome_files import find_annotation, find_genome
from experiments.promoters.data.genomic_negatives import known_promoters
from experiments.promoters.data.rows import labels_of
from experiments.promoters.study import Rows, Study, kept, parts_of, trained
from ntjax.datasets.negatives import KINDS
from ntjax.datasets.promoters import PromoterWindows, windows_by_kind
from ntjax.genomes.annotation import read_annotation
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.io.tables import SequenceTable
from ntjax.leakage.loci import locus_groups
from ntjax.metrics.classification import evaluate
from ntjax.reports.cells import interval_cell
from ntjax.reports.figures import new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.runs.saved_run import load_run

NAME, TITLE = "negatives", "What are promoters told from?"
_RESAMPLES = 500


def run(study: Study) -> dict[str, Any]:
    """AUROC of a model trained against each kind of negatives, tested against every kind."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    by_kind = _windows(study)
    rows = {kind: _rows(kind, found) for kind, found in by_kind.items()}
    tests = {kind: own.test for kind, own in rows.items()}
    genome = open_genome(find_genome(study.genome))
    loci = {
        kind: locus_groups(table.sequences, genome, geometry=PROMOTER_WINDOW)
        for kind, table in tests.items()
    }
    steps = study.steps(250, 1000)
    model = Path(study.model).name
    matrix: dict[str, dict[str, dict[str, Any]]] = {f"{model}, lora": {}, BOOSTING: {}}
    for kind, own in rows.items():
        adapted = load_run(trained(study, own, "lora", **study.lora(steps)))
        boosted = fitted_baseline(parts_of(study, own), BOOSTING)
        for name, scores in (
            (f"{model}, lora", lambda table, run=adapted: run.predict(table.sequences)),
            (BOOSTING, lambda table, fitted=boosted: fitted.probabilities(table.sequences)),
        ):
            matrix[name][kind] = {
                other: _auroc(table, scores(table), loci[other]) for other, table in tests.items()
            }
    first = by_kind[KINDS[0]].parts
    return {
        "steps": steps,
        "promoters": {part: len(sites) for part, sites in first.items()},
        "loci": {kind: found.parts["test"].loci for kind, found in by_kind.items()},
        "notes": {kind: list(found.notes) for kind, found in by_kind.items()},
        "matrix": matrix,
    }


def _windows(study: Study) -> dict[str, PromoterWindows]:
    genome = find_genome(study.genome)
    known = known_promoters(genome)
    annotation = read_annotation(known.sites.genome, find_annotation(genome))
    return windows_by_kind(known.unique, known.start_sites, KINDS, annotation)


def _rows(kind: str, found: PromoterWindows) -> Rows:
    parts = {part: sites.table() for part, sites in found.parts.items()}
    return Rows(f"negatives-{kind}", **parts)


def _auroc(table: SequenceTable, probabilities: np.ndarray, loci: np.ndarray) -> dict[str, Any]:
    """With its interval over loci."""
    return evaluate(labels_of(table), probabilities, groups=loci, bootstrap=_RESAMPLES)["auroc"]


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """A matrix for each method, as a picture and as tables."""
    promoters = record["promoters"]
    loci = ", ".join(f"{kind} {n}" for kind, n in record["loci"].items() if n is not None)
    picture, axes = new_picture(columns=len(record["matrix"]), width=5.6, height=4.6)
    for one, (name, matrix) in zip(axes[0], record["matrix"].items(), strict=True):
        _draw(one, name, matrix)
    file = save(picture, folder / "negatives.png")
    return (
        Text(
            f"The same {promoters['train']:,} training and {promoters['test']:,} test promoters of "
            "K-12 (other blocks of the genome), each time against as many negatives of one kind: "
            "`iid` random letters of like composition; `shuffled` promoters with their "
            "dinucleotides kept; `genomic` any place; `cds` within coding sequence; `convergent` "
            "between genes that point at each other; `intergenic`. The last four have the "
            "promoters' GC and keep 200 letters from every known start site. Test negatives of "
            f"some kinds cover few stretches of the genome ({loci}): intervals draw loci, windows "
            "whose sites are within 200 letters of each other. No test "
            "window overlaps or shares a 16-mer with a training one."
        ),
        Text(_verdict(record)),
        Figure(
            file,
            "AUROC on the test blocks by the kind of negatives trained against (rows) and tested "
            "against (columns); 0.5 is chance. One seed.",
        ),
        *(
            Table(
                ("trained against", *KINDS),
                tuple(
                    (kind, *(interval_cell(matrix[kind][other]) for other in KINDS))
                    for kind in KINDS
                ),
                f"AUROC [95% interval]: {name}, {record['steps']:,} steps"
                if name != BOOSTING
                else f"AUROC [95% interval]: {name}",
            )
            for name, matrix in record["matrix"].items()
        ),
    )


def _draw(axes: Any, name: str, matrix: dict[str, dict[str, Any]]) -> None:
    values = np.array([[matrix[kind][other]["value"] for other in KINDS] for kind in KINDS])
    axes.imshow(values, vmin=0.5, vmax=1.0, cmap="cividis")
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        colour = "black" if value > 0.78 else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(KINDS)), KINDS, rotation=35, ha="right")
    axes.set_yticks(range(len(KINDS)), KINDS)
    axes.set_xlabel("tested against")
    axes.set_ylabel("trained against")
    axes.set_title(name)


def _verdict(record: dict[str, Any]) -> str:
    """How far what was learnt against random letters carries to the genome."""
    sentences = []
    for name, matrix in record["matrix"].items():
        home = matrix["iid"]["iid"]
        away = {kind: matrix["iid"][kind] for kind in ("genomic", "cds", "intergenic")}
        cells = ", ".join(f"{interval_cell(metric)} ({kind})" for kind, metric in away.items())
        own = ", ".join(f"{interval_cell(matrix[kind][kind])} ({kind})" for kind in away)
        sentences.append(
            f"{name}: trained against random letters, the AUROC is {interval_cell(home)} against "
            f"those and {cells} against windows of the genome; trained against these themselves "
            f"it is {own}."
        )
    return " ".join(sentences)
