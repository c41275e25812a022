"""The rows: promoters against the genome, published ones, cleaned, and these of equal GC."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments.promoters.data.genomic_negatives import GENOMIC, genomic_rows
from experiments.promoters.data.rows import CLEAN, labels_of, protocol_tables
from ntjax.datasets.splits import grouped_split
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.io.tables import SequenceTable
from ntjax.leakage.loci import locus_groups
from ntjax.sequences.alphabet import gc_content

EQUAL_GC = "equal GC"
TASKS = (GENOMIC, CLEAN, EQUAL_GC)
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Task:
    """Rows to learn and to score.

    Attributes:
        name: of the folder of its scores.
        train: rows that all arms learn from.
        validation: rows set aside from them.
        test: rows that are scored once.
        groups: [test rows], a number for each locus.
    """

    name: str
    train: SequenceTable
    validation: SequenceTable
    test: SequenceTable
    groups: np.ndarray

    @cached_property
    def matched(self) -> np.ndarray:
        """Validation rows that have a partner of the other class with the same GC, int64 [rows].

        They choose the state that is kept.
        """
        return gc_matched(self.validation)


def task_of(name: str, genome: Path) -> Task:
    """Read the rows of a task: GENOMIC, CLEAN or EQUAL_GC."""
    if name == GENOMIC:
        rows = genomic_rows(genome)
        train, validation, test = rows.train, rows.validation, rows.test
    else:
        whole, test = protocol_tables(CLEAN, genome)
        shares = {"train": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}
        parts = grouped_split(whole.sequences, whole.labels, shares, seed=0)
        train, validation = (whole.take(parts[part]) for part in shares)
        if name == EQUAL_GC:
            train = train.take(gc_matched(train))
    groups = locus_groups(test.sequences, open_genome(genome), geometry=PROMOTER_WINDOW)
    return Task(name, train, validation, test, groups)


def gc_matched(table: SequenceTable) -> np.ndarray:
    """Choose as many rows of either class at each share of G and C, the first ones of each.

    Returns:
        Rows in ascending order, int64 [rows].
    """
    labels, shares = labels_of(table), gc_content(table.sequences)
    kept: list[int] = []
    for share in np.unique(shares):
        of_class = [np.flatnonzero((shares == share) & (labels == label)) for label in (0, 1)]
        pairs = min(map(len, of_class))
        kept += [int(row) for rows in of_class for row in rows[:pairs]]
    return np.array(sorted(kept), dtype=np.int64)
