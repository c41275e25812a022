"""The 18 tasks that the Nucleotide Transformer is judged by, in both published sets.

The *original* set is that of the preprint (Dalla-Torre et al. 2023, bioRxiv 2023.01.11.523679); the
*revised* one, of human sequences alone and with held-out chromosomes, is that of the final paper
(Nature Methods 2024). Tasks of one name in the two are different tasks: never compare across them.

Rows and lengths are those of the data sets' cards. The published MCC are those of the preprint for
fine-tuned models; they came without standard deviations.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ntjax.datasets.named_dataset import Dataset, DatasetSplits, Protocol
from ntjax.datasets.remote_files import RemoteFile, find_file, own_folder
from ntjax.errors import UserError
from ntjax.io.formats import opened_parquet
from ntjax.io.given_rows import given_table
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import kmer_length_for, rows_sharing_kmers

Release = Literal["original", "revised"]
PREFIXES: Mapping[Release, str] = {"original": "nt", "revised": "nt-revised"}
HOW_TO_NAME = "nt:TASK or nt-revised:TASK for the Nucleotide Transformer's 18 tasks"
PUBLISHED_MODELS = ("2B5_multi_species", "2B5_1000G", "500M_1000G", "500M_human_ref")

_REPOSITORIES: Mapping[Release, tuple[str, str]] = {
    "original": (
        "nucleotide_transformer_downstream_tasks",
        "35505196a3ce21d6db1ad42462094ede77108916",
    ),
    "revised": (
        "nucleotide_transformer_downstream_tasks_revised",
        "20419c0982fd2d17dd56fee794f60334d4fa20a3",
    ),
}
_PARTS = ("train", "test")
_SUFFIXES = (".fna", ".fna.gz", ".parquet")


@dataclass(frozen=True)
class BenchmarkTask:
    """One task of one set.

    Attributes:
        release: the set it belongs to.
        task: its name within the set, and the folder of its files.
        description: what is told from what.
        length: of the sequences, in bp.
        classes: how many there are; the paper's metric is the MCC for any number.
        rows: training and test rows.
        published: MCC by model after fine-tuning; empty where no figure is at hand.
    """

    release: Release
    task: str
    description: str
    length: int
    classes: int
    rows: tuple[int, int]
    published: Mapping[str, float]

    @property
    def name(self) -> str:
        """The name of the data set, such as `nt:H3`."""
        return f"{PREFIXES[self.release]}:{self.task}"


_MARKS: Mapping[Release, str] = {
    "original": "yeast sequences with and without the histone mark",
    "revised": "human sequences with and without a peak of the histone mark in K562 cells",
}
_OTHERS: Mapping[Release, Mapping[str, str]] = {
    "original": {
        "enhancers": "human enhancers against other human sequences, 12,000 of them synthetic",
        "enhancers_types": "strong and weak human enhancers and other human sequences",
        "promoter_all": "human promoters against pieces of them put together anew",
        "promoter_no_tata": "human promoters without a TATA box against their pieces",
        "promoter_tata": "human promoters with a TATA box against their pieces",
        "splice_sites_all": "human splice donors and acceptors and other sequences",
        "splice_sites_acceptors": "splice acceptors of several species against other sequences",
        "splice_sites_donors": "splice donors of several species against other sequences",
    },
    "revised": {
        "enhancers": "human enhancers against other human sequences",
        "enhancers_types": "tissue-specific and other human enhancers and other sequences",
        "promoter_all": "human promoters against other human sequences",
        "promoter_no_tata": "human promoters without a TATA box against other human sequences",
        "promoter_tata": "human promoters with a TATA box against other human sequences",
        "splice_sites_all": "human splice donors and acceptors and other sequences",
        "splice_sites_acceptors": "human splice acceptors against other sequences",
        "splice_sites_donors": "human splice donors against other sequences",
    },
}

# task, bp, classes, training rows, test rows, MCC in the order of PUBLISHED_MODELS
_ORIGINAL = """
H3 500 2 13468 1497 .79 .75 .74 .72
H3K14ac 500 2 29743 3305 .54 .45 .38 .37
H3K36me3 500 2 31392 3488 .62 .53 .47 .45
H3K4me1 500 2 28509 3168 .54 .42 .38 .36
H3K4me2 500 2 27614 3069 .32 .28 .26 .27
H3K4me3 500 2 33119 3680 .41 .31 .24 .24
H3K79me3 500 2 25953 2884 .62 .57 .56 .57
H3K9ac 500 2 25003 2779 .55 .49 .48 .45
H4 500 2 13140 1461 .81 .79 .76 .75
H4ac 500 2 30685 3410 .49 .41 .34 .33
enhancers 200 2 14968 400 .55 .55 .51 .50
enhancers_types 200 3 14968 400 .44 .43 .40 .43
promoter_all 300 2 53276 5920 .95 .93 .90 .90
promoter_no_tata 300 2 47767 5299 .95 .93 .90 .90
promoter_tata 300 2 5509 621 .92 .91 .87 .88
splice_sites_all 400 3 27000 3000 .97 .96 .95 .96
splice_sites_acceptors 600 2 19961 2218 .97 .96 .93 .92
splice_sites_donors 600 2 19775 2198 .97 .96 .94 .94
"""
_REVISED = """
H2AFZ 1000 2 30000 3000
H3K27ac 1000 2 30000 1616
H3K27me3 1000 2 30000 3000
H3K36me3 1000 2 30000 3000
H3K4me1 1000 2 30000 3000
H3K4me2 1000 2 30000 2138
H3K4me3 1000 2 30000 776
H3K9ac 1000 2 23274 1004
H3K9me3 1000 2 27438 850
H4K20me1 1000 2 30000 2270
enhancers 400 2 30000 3000
enhancers_types 400 3 30000 3000
promoter_all 300 2 30000 1584
promoter_no_tata 300 2 30000 1372
promoter_tata 300 2 5062 212
splice_sites_all 600 3 30000 3000
splice_sites_acceptors 600 2 30000 3000
splice_sites_donors 600 2 30000 3000
"""


def _tasks(release: Release, lines: str) -> Iterator[BenchmarkTask]:
    for line in lines.split("\n")[1:-1]:
        task, *numbers = line.split()
        length, classes, train, test = map(int, numbers[:4])
        figures = map(float, numbers[4:])
        published = dict(zip(PUBLISHED_MODELS, figures, strict=False))
        described = _OTHERS[release].get(task, _MARKS[release])
        yield BenchmarkTask(release, task, described, length, classes, (train, test), published)


TASKS: Mapping[str, BenchmarkTask] = {
    task.name: task for task in (*_tasks("original", _ORIGINAL), *_tasks("revised", _REVISED))
}
"""All tasks by the name of their data set, those of the original set first."""


def tasks_of(release: Release) -> list[BenchmarkTask]:
    """Return the 18 tasks of a set."""
    return [task for task in TASKS.values() if task.release == release]


def datasets() -> list[Dataset]:
    """Return the tasks as named data sets."""
    return [_dataset(task) for task in TASKS.values()]


def _dataset(task: BenchmarkTask) -> Dataset:
    repository, revision = _REPOSITORIES[task.release]
    address = f"https://huggingface.co/datasets/InstaDeepAI/{repository}/resolve/{revision}"
    return Dataset(
        name=task.name,
        description=(
            f"{task.description}, {task.length:,} bp, {task.classes} classes: {task.rows[0]:,} "
            f"training and {task.rows[1]:,} test rows of the {task.release} benchmark of the "
            "Nucleotide Transformer"
        ),
        licence="as stated by its authors on the hub; nothing is redistributed with ntjax",
        citation=(
            "Dalla-Torre et al. 2023, The Nucleotide Transformer, bioRxiv 2023.01.11.523679; "
            f"files: huggingface.co/datasets/InstaDeepAI/{repository}, revision {revision[:8]}"
        ),
        files=tuple(
            RemoteFile(f"{repository}/{task.task}/{part}.fna", f"{address}/{task.task}/{part}.fna")
            for part in _PARTS
        ),
        load=partial(_load, task),
    )


def _load(task: BenchmarkTask, dataset: Dataset, protocol: Protocol) -> DatasetSplits:
    train, test = (
        _read(task, file, part) for file, part in zip(dataset.files, _PARTS, strict=True)
    )
    notes = list(_notes_on_rows(task, train, test))
    k = kmer_length_for([*train.sequences, *test.sequences])
    related = rows_sharing_kmers(train.sequences, test.sequences, k)
    counted = f"{related.sum():,} of {len(train):,} training rows share a {k}-mer with a test row"
    if protocol == "published":
        notes.append(f"{counted}, on either strand, and stay (--protocol published)")
    else:
        train = train.take(np.flatnonzero(~related))
        notes.append(
            f"{counted}, on either strand, and were removed: for a comparison with published "
            "figures add --protocol published"
        )
    return DatasetSplits(dataset.name, protocol, train, test, dataset.description, tuple(notes))


def _notes_on_rows(task: BenchmarkTask, train: SequenceTable, test: SequenceTable) -> Iterator[str]:
    """Say where files are not what the card describes: figures can't be compared then."""
    for table, part, stated in zip((train, test), _PARTS, task.rows, strict=True):
        if len(table) != stated:
            yield (
                f"{table.source}: {len(table):,} {part} rows, and the data set's card states "
                f"{stated:,}: results are not comparable with published ones"
            )
        classes = sorted(set(table.labels or ()))
        if len(classes) != task.classes:
            raise UserError(
                f"{table.source}: labels are {', '.join(classes[:5])}, and {task.name} has "
                f"{task.classes} classes: put the {part} file of this task there"
            )


def _read(task: BenchmarkTask, file: RemoteFile, part: str) -> SequenceTable:
    """Read a part: the user's own copy as FASTA or Parquet, else the hub's file."""
    own = own_folder()
    if own is not None:
        beside = own / file.path
        for suffix in _SUFFIXES:
            if (path := beside.with_suffix(suffix)).is_file():
                return read_table(path)
        folder = beside.parents[1]
        for whole in (folder, folder / "data"):
            if paths := sorted(whole.glob(f"{part}*.parquet")):
                return _rows_of_task(paths, task.task)
    return read_table(find_file(file))


def _rows_of_task(paths: Sequence[Path], task: str) -> SequenceTable:
    """Read the rows of a task from files that hold those of all, told by a column `task`."""
    import pandas as pd  # slow to load: only where there is a table

    pieces = []
    for path in paths:
        with opened_parquet(path) as file:
            if "task" not in file.schema_arrow.names:
                raise UserError(
                    f"{path}: has no column 'task' to choose the rows of {task} by: put them in "
                    f"{task}/{path.stem.partition('-')[0]}.parquet"
                )
            rows = file.read().to_pandas()
        pieces.append(rows[rows["task"] == task])
    if not sum(map(len, pieces)):
        raise UserError(f"{paths[0]}: holds no row of the task {task}: put its rows there")
    return given_table(pd.concat(pieces), str(paths[0]))
