"""Start sites looked for in blocks of the genome that nothing was trained on."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from experiments.promoters.data.baseline_runs import CNN
from experiments.promoters.data.genome_files import find_annotation, find_genome
from experiments.promoters.data.genomic_negatives import (
    GENOMIC,
    genomic_rows,
    known_promoters,
    parts_of_genome,
)
from experiments.promoters.sections.scan_hits import expected_hits
from experiments.promoters.sections.scan_locus import locus
from experiments.promoters.sections.scan_methods import (
    APART,
    BLOCK_LETTERS,
    WEIGHTS,
    Fitted,
    Scanned,
    fitted,
    kept_scan,
    share_near,
    some_blocks,
)
from experiments.promoters.sections.scan_page import scan_blocks
from experiments.promoters.study import Rows, Study, kept
from ntjax.datasets.promoters import NegativeOptions
from ntjax.evaluation.detection import (
    BlockBootstrap,
    average_precision_difference,
    scan_curve,
    scan_metrics,
)
from ntjax.evaluation.genome_scan import inside, scan_every_place
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scored_sites import clustered
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.leakage.loci import locus_groups
from ntjax.metrics.classification import evaluate
from ntjax.metrics.significance import holm
from ntjax.reports.page import Block

NAME, TITLE = "scan", "Can start sites be found in a genome?"
_BOOTSTRAP = BlockBootstrap(BLOCK_LETTERS)
_RANDOM_SCANS = 5


def run(study: Study) -> dict[str, Any]:
    """Scans of held-out blocks by every method, matched with the known start sites."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    path = find_genome(study.genome)
    located = known_promoters(path)
    known, genome = located.start_sites, located.sites.genome
    task = genomic_rows(path)
    methods = fitted(study, Rows(GENOMIC, task.train, task.test, task.validation))
    parts, size = parts_of_genome(genome), NegativeOptions().block_letters
    regions = {
        "validation": some_blocks(parts["validation"], size, study.choose(1, None)),
        "test": some_blocks(parts["test"], size, study.choose(2, None)),
    }
    scans = {name: _scans(study, methods, name, regions, known) for name in methods.methods}
    model, test = next(iter(scans)), regions["test"]
    found = {name: _evaluated(methods, name, of, path) for name, of in scans.items()}
    density = len(inside(parts["train"], known)) / (2 * parts["train"].letters)
    hits = expected_hits(
        scans[model]["test"],
        scans[model]["validation"],
        methods.run.calibration,
        prior := float(methods.parts.labels["calibration"].mean()),
        density,
        found[model]["test"]["threshold"],
    )
    return {
        "model": model,
        "steps": study.main_steps,
        "epochs": study.cnn.epochs,
        "notes": [*task.notes, *methods.parts.notes],
        "rows": {part: len(table) for part, table in methods.parts.tables.items()},
        "letters": {part: region.letters for part, region in regions.items()},
        "blocks": {part: len(region.stretches) for part, region in regions.items()},
        "known": {part: len(inside(region, known)) for part, region in regions.items()},
        "scored": {name: len(of["test"].scored) for name, of in scans.items()},
        "chance": share_near(test, known),
        "random": _random_scans(test, known),
        "results": found,
        "differences": _differences({name: of["test"] for name, of in scans.items()}, test),
        "density": density,
        "fitted_prior": prior,
        "hits": hits,
        "locus": locus(
            scans[model]["test"],
            found[model]["test"]["threshold"],
            find_annotation(path),
        ),
    }


def _scans(
    study: Study, methods: Fitted, name: str, regions: dict[str, Region], known: Sites
) -> dict[str, Scanned]:
    folder = study.runs_folder / GENOMIC / "scans"
    slug = name.split(" (")[0].replace(", ", "-").replace(" ", "-")
    search = methods.methods[name].search
    return {
        part: Scanned.of(region, kept_scan(folder / f"{slug}-{part}.npz", region, search), known)
        for part, region in regions.items()
    }


def _evaluated(
    methods: Fitted, name: str, scans: dict[str, Scanned], genome: Path
) -> dict[str, Any]:
    """With the threshold that is best in the validation blocks."""
    validation, test = scans["validation"], scans["test"]
    threshold = scan_curve(
        validation.matched, validation.region, BlockBootstrap(resamples=0)
    ).best_threshold()
    crowded = clustered(test.matched, APART)
    curve = scan_curve(test.matched, test.region, _BOOTSTRAP)
    return {
        "rows": _row_auroc(methods, name, genome),
        "test": scan_metrics(test.matched, test.region, threshold, _BOOTSTRAP),
        "clusters": scan_metrics(crowded, test.region, threshold, _BOOTSTRAP),
        "curve": {
            key: np.asarray(getattr(curve, key)).round(4).tolist()
            for key in ("precision", "recall", "precision_interval")
        },
    }


def _row_auroc(methods: Fitted, name: str, genome: Path) -> dict[str, Any]:
    """Of the test rows, as many promoters as other windows."""
    test = methods.parts.tables["test"]
    # Any rising function of the score has its AUROC; this one stays clear of 0 and 1.
    chances = expit(methods.methods[name].score(list(test.sequences)) / 4)
    both = np.stack([1 - chances, chances], axis=1)
    groups = locus_groups(test.sequences, open_genome(genome), geometry=PROMOTER_WINDOW)
    return evaluate(methods.parts.labels["test"], both, groups=groups)["auroc"]


def _differences(scans: dict[str, Scanned], region: Region) -> list[dict[str, Any]]:
    """Average precisions of pairs of methods, with p corrected for their number."""
    model = next(iter(scans))
    pairs = [(name, WEIGHTS) for name in scans if name != WEIGHTS] + [(model, CNN)]
    found = [
        average_precision_difference(
            scans[first].matched, scans[second].matched, region, _BOOTSTRAP
        )
        for first, second in pairs
    ]
    corrected = holm([of["p"] for of in found])
    return [
        {"first": first, "second": second, **of, "corrected": float(p)}
        for (first, second), of, p in zip(pairs, found, corrected, strict=True)
    ]


def _random_scans(region: Region, known: Sites) -> list[float]:
    """Average precision of scores that are nothing but noise."""
    values = []
    for seed in range(_RANDOM_SCANS):
        random = np.random.default_rng(seed)
        scored = scan_every_place(
            region, lambda letters, _, r=random: r.random(len(letters)), PROMOTER_WINDOW
        )
        matched = Scanned.of(region, scored, known).matched
        metrics = scan_metrics(matched, region, 0.5, BlockBootstrap(resamples=0))
        values.append(metrics["average_precision"]["value"])
    return values


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """How well start sites are found, whether hits are as many as expected, and how it looks."""
    return scan_blocks(record, folder)
