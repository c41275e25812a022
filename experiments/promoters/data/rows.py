"""The rows of the study: the published task in its protocols, the main run on it, and tables."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.study import Rows, Study, test_probabilities, trained
from ntjax.datasets.registry import load_dataset
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.io.tables import SequenceTable
from ntjax.leakage.loci import locus_clean, locus_groups
from ntjax.metrics.classification import evaluate

DATASET = "ecoli_promoters"
PUBLISHED, CLEAN, LOCUS_CLEAN = "published", "clean", "locus-clean"
PROTOCOLS = {
    PUBLISHED: "all rows of the training file, among them every test promoter",
    CLEAN: "without rows that share a 16-mer with a test promoter, on either strand",
    LOCUS_CLEAN: "without those and without promoters that start within 200 letters of a test "
    "promoter's start, on either strand",
}
"""What is left of the training rows; the test rows are the same."""


def protocol_rows(study: Study, protocol: str) -> Rows:
    """The published training rows as a protocol leaves them, and the published test rows."""
    return Rows(protocol, *protocol_tables(protocol, find_genome(study.genome)))


@cache
def protocol_tables(protocol: str, genome: Path) -> tuple[SequenceTable, SequenceTable]:
    """Training rows as a protocol leaves them, and the test rows."""
    splits = load_dataset(DATASET, CLEAN if protocol == CLEAN else PUBLISHED)
    if protocol != LOCUS_CLEAN:
        return splits.train, splits.test
    promoters = splits.test.take(np.flatnonzero(labels_of(splits.test)))
    return locus_clean(
        splits.train, promoters, open_genome(genome), geometry=PROMOTER_WINDOW
    ), splits.test


def test_loci(study: Study) -> np.ndarray:
    """A number for each of the published test rows, the same for those of one locus, int64 [n].

    Intervals draw loci: promoters within 200 letters of each other; of rows that stand nowhere in
    the genome, those that share a 16-mer.
    """
    return _test_loci(find_genome(study.genome))


@cache
def _test_loci(genome: Path) -> np.ndarray:
    return locus_groups(
        load_dataset(DATASET, PUBLISHED).test.sequences,
        open_genome(genome),
        geometry=PROMOTER_WINDOW,
    )


def main_run(study: Study, protocol: str = CLEAN) -> Path:
    """Folder of the run that several sections look at: LoRA on the clean rows, or others."""
    return trained(study, protocol_rows(study, protocol), "lora", **study.lora(study.main_steps))


def evaluated(study: Study, run: Path) -> dict[str, Any]:
    """Metrics of a run on the published test rows, with intervals over loci."""
    labels = labels_of(load_dataset(DATASET, PUBLISHED).test)
    [of_promoter] = test_probabilities([run])
    both = np.stack([1 - of_promoter, of_promoter], axis=1)
    return evaluate(labels, both, groups=test_loci(study))


def labels_of(table: SequenceTable) -> np.ndarray:
    """1 for promoters, 0 for others, int64 [rows]."""
    return np.array([int(label) for label in table.labels])


def promoters_of(table: SequenceTable) -> list[str]:
    """Its sequences of label 1."""
    rows = zip(table.sequences, table.labels, strict=True)
    return [sequence for sequence, label in rows if label == "1"]
