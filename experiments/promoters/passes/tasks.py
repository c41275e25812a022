"""The rows: published ones, cleaned, and promoters against the genome, each with equal GC."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.promoters.data.genomic_negatives import GENOMIC, tasks
from experiments.promoters.data.rows import CLEAN, labels_of, protocol_tables
from experiments.promoters.study import labelled_parts
from ntjax.datasets.splits import grouped_split
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.io.tables import SequenceTable
from ntjax.leakage.loci import locus_groups
from ntjax.sequences.alphabet import gc_content

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Task:
    """Rows to learn and to score.

    Attributes:
        name: of the folder of its runs.
        train: rows to learn from, but for those that calibrate the transformers.
        learned: the rows that are left of them, and that all arms learn from.
        validation: rows set aside from them, as they are.
        matched: those of them that have a partner of the other class with the same GC; they choose
            the state that is kept.
        test: rows that are scored once.
        groups: [test rows], a number for each locus.
    """

    name: str
    train: SequenceTable
    learned: SequenceTable
    validation: SequenceTable
    matched: SequenceTable
    test: SequenceTable
    groups: np.ndarray


def task_of(name: str, genome: Path) -> Task:
    """Read the rows of a task, CLEAN or GENOMIC."""
    if name == GENOMIC:
        rows = tasks(genome)[GENOMIC]
        assert isinstance(rows.train, SequenceTable)
        assert rows.validation is not None
        assert rows.test is not None
        train, validation, test = rows.train, rows.validation, rows.test
    else:
        whole, test = protocol_tables(CLEAN, genome)
        shares = {"train": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}
        parts = grouped_split(whole.sequences, whole.labels, shares, seed=0)
        train, validation = (whole.take(parts[part]) for part in shares)
    groups = locus_groups(test.sequences, open_genome(genome), geometry=PROMOTER_WINDOW)
    matched = gc_matched(validation)
    given = {"train": train, "validation": matched, "test": test}
    learned = labelled_parts(given, seed=0).tables["train"]
    return Task(name, train, learned, validation, matched, test, groups)


def gc_matched(table: SequenceTable) -> SequenceTable:
    """Keep as many rows of either class at each share of G and C, the first ones of each."""
    labels, shares = labels_of(table), gc_content(table.sequences)
    kept: list[int] = []
    for share in np.unique(shares):
        of_class = [np.flatnonzero((shares == share) & (labels == label)) for label in (0, 1)]
        pairs = min(map(len, of_class))
        kept += [int(row) for rows in of_class for row in rows[:pairs]]
    return table.take(sorted(kept))
