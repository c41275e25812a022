"""The rows of the pre-training study: two tasks, their phase-shifted copies, and more context.

`ecoli_promoters`: promoters against random letters, as published, cleaned. `genomic`: promoters of
K-12 against windows of the same genome with as many G and C, none near a known start site, split
by blocks of the genome. `genomic, 281 letters`: the same with 100 letters more at each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.promoters.data.rows import promoters_of
from ntjax.datasets.promoters import NegativeOptions, against_genomic_windows
from ntjax.datasets.registry import load_dataset
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Located, locate
from ntjax.genomes.regions import split_blocks
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.io.tables import SequenceTable

CONTEXT = 100
FRAMES = 6
PROMOTERS, GENOMIC = "ecoli_promoters", "genomic"
WITH_CONTEXT = f"genomic, {PROMOTER_WINDOW.length(CONTEXT)} letters"


@dataclass(frozen=True)
class Task:
    """Rows to learn: what `ntjax.fine_tune` calls train, validation and test."""

    name: str
    train: SequenceTable | str
    validation: SequenceTable | None = None
    test: SequenceTable | None = None
    notes: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, SequenceTable | str]:
        """The parts that are there."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {part: rows for part, rows in parts.items() if rows is not None}


def known_promoters(genome: Path) -> Located:
    """Where all promoters of the published files lie in the genome."""
    splits = load_dataset(PROMOTERS, "published")
    both = (*promoters_of(splits.train), *promoters_of(splits.test))
    return locate(open_genome(genome), list(dict.fromkeys(both)))


def tasks(genome: Path) -> dict[str, Task]:
    """The tasks by name."""
    known = known_promoters(genome)
    options = NegativeOptions(room=CONTEXT, redraw=False)
    found = against_genomic_windows(known.unique, known.start_sites, options)
    notes = (f"{known.described()}; promoters of unique sequence are used", *found.notes)
    made = {PROMOTERS: Task(PROMOTERS, PROMOTERS)}
    for name, context in ((GENOMIC, 0), (WITH_CONTEXT, CONTEXT)):
        parts = (found.parts[part].table(context) for part in ("train", "validation", "test"))
        made[name] = Task(name, *parts, notes)
    return made


def parts_of_genome(genome: Genome) -> dict[str, Region]:
    """The blocks that the rows of the genomic tasks lie in: train, validation and test."""
    options = NegativeOptions(room=CONTEXT)
    shares = {"validation": options.validation, "test": options.test}
    return split_blocks(genome, shares, options.block_letters, options.seed)


def in_six_frames(task: Task) -> Task:
    """The task with each training row six times, without its first 0 to 5 letters."""
    train, test = task.train, task.test
    if isinstance(train, str):
        splits = load_dataset(train)
        train, test = splits.train, splits.test
    copies = [row for row in range(len(train)) for _ in range(FRAMES)]
    repeated = train.take(copies)
    shifted = (text[number % FRAMES :] for number, text in enumerate(repeated.sequences))
    return Task(task.name, replace(repeated, sequences=tuple(shifted)), task.validation, test)


def frames(sequences: Sequence[str]) -> list[list[str]]:
    """The sequences without their first 0, 1, ... 5 letters."""
    return [[text[drop:] for text in sequences] for drop in range(FRAMES)]
