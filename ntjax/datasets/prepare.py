"""Labelled sequences, split so that training, validation, calibration and test stay apart."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntjax.datasets.batching import TokenisedSet
from ntjax.datasets.calibration_slice import calibration_share
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.folds import with_fold
from ntjax.datasets.notes import (
    groups_of_test_rows,
    notes_on_calibration,
    notes_on_few_rows,
    notes_on_overlap,
)
from ntjax.datasets.registry import DATASETS, load_dataset, require_data
from ntjax.datasets.reverse_complements import ReverseComplement
from ntjax.datasets.row_groups import groups_of
from ntjax.datasets.splits import grouped_split
from ntjax.errors import UserError
from ntjax.genomes.windows import RecordedWindows, recorded_windows
from ntjax.io.given_rows import given_table
from ntjax.io.labels import look_like_measurements, require_similar_values
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.clusters import conflicting_labels
from ntjax.leakage.kmer_groups import kmer_length_for
from ntjax.models.config import TransformerConfig, check_length
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks import TASKS, Classification, Regression, Task

NONE_TO_CALIBRATE = "no rows are set aside to calibrate (--calibration-fraction 0)"
PARTS = ("train", "validation", "calibration", "test")


@dataclass(frozen=True)
class LabelledParts:
    """The four parts of a task.

    Attributes:
        tables: by name of the part.
        labels: of each part, as the task encodes them, [rows] or [rows, labels].
        task: what the labels mean.
        test_groups: int [test rows]; rows that share a k-mer, directly or through others, have the
            same number.
        calibration_groups: int [calibration rows], likewise.
        notes: what a reader of the result has to know about the data.
        reverse_complement: what the reverse complement of a row is, where it is learned from.
        windows: where the site lies in a row, and what the negative test rows are; None if the rows
            are not known to have a site.
    """

    tables: dict[str, SequenceTable]
    labels: dict[str, np.ndarray]
    task: Task
    test_groups: np.ndarray
    calibration_groups: np.ndarray
    notes: tuple[str, ...] = ()
    reverse_complement: ReverseComplement = "none"
    windows: RecordedWindows | None = None

    def targets(self, part: str) -> np.ndarray:
        """What the loss compares the outputs of a part with, [rows] or [rows, labels]."""
        return self.task.targets(self.labels[part])


def read_parts(settings: DataSettings, given: Mapping[str, Any] | None = None) -> LabelledParts:
    """Read and split the data that `settings` name.

    Validation rows choose the checkpoint, calibration rows fit the calibration, test rows are
    only ever scored. What is not given is set aside from the training rows, in groups that share
    no k-mer with each other (k = 16, longer where so many rows share 16-mers by chance).

    Arguments:
        settings: complete.
        given: rows that are at hand, in place of files, by part: (sequences, labels) or DataFrames.

    Raises:
        UserError: unreadable or unsuitable data, one line that names file and row.
    """
    tables, notes = _given_tables(settings, given or {})
    whole = tables["train"]
    task = TASKS[settings.task].of(whole, settings.label_columns(), settings.positive_class)
    notes += [note for table in tables.values() for note in table.notes]
    if isinstance(task, Classification):
        _refuse_measurements(task.outputs, whole, settings.label_column)
        if conflict := conflicting_labels(whole.sequences, whole.labels or (), whole.rows):
            notes.append(f"{whole.source}: {conflict}")
        if settings.calibration == "platt" and len(task.outputs) > 2:
            raise UserError(
                f"--calibration platt is for two classes, and {whole.source} has "
                f"{len(task.outputs)}: use temperature or isotonic"
            )
    k = kmer_length_for([seq for table in tables.values() for seq in table.sequences])
    tables, note = _set_aside(with_fold(tables, task, settings, k), task, settings, k)
    notes += note
    labels = {part: task.encode(table) for part, table in tables.items()}
    task = task.fitted(labels["train"], whole.source)
    if isinstance(task, Regression):
        for part, table in ((part, table) for part, table in tables.items() if len(table)):
            require_similar_values(labels[part], labels["train"], table.source, table.rows)
    if not task.varies(labels["validation"]):
        raise UserError(
            f"{tables['validation'].source}: the validation rows {task.all_alike[0]}, so "
            f"they cannot choose a checkpoint; give rows {task.all_alike[1]}"
        )
    related = groups_of(tables["calibration"], k)
    notes += notes_on_calibration(task, labels["calibration"], settings.calibration, related)
    notes += notes_on_few_rows(tables, task, settings) + notes_on_overlap(tables, k)
    groups, note = groups_of_test_rows(tables["test"], k)
    strands = settings.augment_reverse_complement or "none"
    windows = _windows(settings, given or {})
    return LabelledParts(tables, labels, task, groups, related, (*notes, *note), strands, windows)


def _windows(settings: DataSettings, given: Mapping[str, Any]) -> RecordedWindows | None:
    """Read what windows the training rows are, and what the negatives of the test rows are."""
    if "train" in given:
        return None
    known = DATASETS[settings.train].windows if settings.train in DATASETS else None
    known = known or recorded_windows(settings.train)
    if known is None or not ("test" in given or settings.test):
        return known
    test = None if "test" in given else recorded_windows(settings.test)
    same = test is not None and test.geometry == known.geometry
    return known._replace(negatives=test.negatives if test and same else "")


def _refuse_measurements(classes: Sequence[str], table: SequenceTable, column: str) -> None:
    if not look_like_measurements(table.labels):
        return
    raise UserError(
        f"{table.source}: the {len(table):,} rows have {len(classes):,} different labels, such as "
        f"{', '.join(classes[:3])}: these look like measurements, not classes: learn them with "
        f"--task regression, choose another --label-column than {column!r}, or turn them into a "
        "few classes"
    )


def _given_tables(
    settings: DataSettings, given: Mapping[str, Any]
) -> tuple[dict[str, SequenceTable], list[str]]:
    several = settings.task == "multilabel"
    options: dict[str, Any] = {
        "sequence_column": settings.sequence_column,
        "label_column": settings.label_columns() if several else settings.label_column,
        "name_column": settings.name_column,
        "group_column": settings.group_column,
        "ambiguous": settings.ambiguous,
    }
    tables, notes = {}, []
    if "train" in given:
        tables["train"] = given_table(given["train"], "train", **options)
    elif settings.train in DATASETS:
        if settings.group_column:
            raise UserError(
                f"--group-column {settings.group_column}: the data set {settings.train} has no "
                "such column; leave it out"
            )
        if settings.task != "classification":
            raise UserError(
                f"--task {settings.task} needs --train FILE: the data set {settings.train} is of "
                "classes"
            )
        dataset = load_dataset(settings.train, protocol=settings.protocol)
        own = {part: getattr(dataset, part) for part in PARTS}
        tables = {part: table for part, table in own.items() if table is not None}
        notes = list(dataset.notes)
    else:
        require_data(settings.train, f"--train {settings.train}")
        tables["train"] = read_table(settings.train, **options)
    for part in ("validation", "test"):
        if part in given:
            tables[part] = given_table(given[part], part, **options)
        elif path := getattr(settings, part):
            tables[part] = read_table(path, **options)
    return tables, notes


def _set_aside(
    tables: dict[str, SequenceTable], task: Task, settings: DataSettings, k: int
) -> tuple[dict[str, SequenceTable], list[str]]:
    """Split what is not given off the training rows; say where no row is left to calibrate."""
    whole, notes = tables["train"], []
    wanted = {
        "validation": settings.validation_fraction,
        "calibration": settings.calibration_fraction,
        "test": settings.test_fraction,
    }
    if "calibration" not in tables:
        share = wanted["calibration"]
        note = NONE_TO_CALIBRATE if share == 0 else ""
        if share is None:
            wanted["calibration"], note = calibration_share(task, task.encode(whole), whole.source)
        if note:  # of no rows, whoever chose that
            notes.append(note)
            tables = tables | {"calibration": whole.take(np.arange(0))}
    fractions = {part: share or 0.0 for part, share in wanted.items() if part not in tables}
    if not fractions:
        return {part: tables[part] for part in PARTS}, notes
    if not all(0 < share < 1 for share in fractions.values()) or sum(fractions.values()) >= 1:
        raise UserError(
            "the fractions set aside for "
            + ", ".join(f"{part} ({share:g})" for part, share in fractions.items())
            + " must be above 0 and leave rows to train on"
        )
    fractions = {"train": 1 - sum(fractions.values()), **fractions}
    parts = grouped_split(
        whole.sequences,
        task.strata(task.encode(whole)),
        fractions,
        seed=settings.seed_of_the_split,
        k=k,
        every_class=task.every_class,
        groups=whole.groups,
    )
    split = {part: whole.take(indices) for part, indices in parts.items()}
    split |= {part: table for part, table in tables.items() if part != "train"}
    return {part: split[part] for part in PARTS}, notes


def tokenise(
    table: SequenceTable, targets: np.ndarray, tokenizer: Tokenizer, config: TransformerConfig
) -> TokenisedSet:
    """Token ids of a table, and what the loss compares the outputs with.

    Raises:
        UserError: a sequence is longer than the model's positions; file and row are named.
    """
    counts = tokenizer.count_tokens(table.sequences)
    longest = int(np.argmax(counts)) if len(counts) else 0
    try:
        check_length(config, int(max(counts, default=0)))
    except UserError as error:
        raise UserError(
            f"{table.source}, row {table.rows[longest]}: the sequence is too long: {error}"
        ) from None
    return TokenisedSet.create(tokenizer.encode(table.sequences), targets)


def fingerprint(table: SequenceTable) -> str:
    """SHA-256 of names, sequences, labels and groups, if any, in order."""
    digest = hashlib.sha256()
    groups = () if table.groups is None else (table.groups,)
    for column in (table.names, table.sequences, table.labels or (), *groups):
        digest.update("\n".join(column).encode() + b"\0")
    return digest.hexdigest()


def split_columns(parts: LabelledParts) -> dict[str, list[Any]]:
    """Return the columns of `splits.csv`: the part, file, row, name and group of every row.

    Rows of a group are related, and count as one in the intervals of their part; "" where no
    interval is taken.
    """
    related = {"calibration": parts.calibration_groups, "test": parts.test_groups}
    columns: dict[str, list[Any]] = {"part": [], "source": [], "row": [], "name": [], "group": []}
    for part, table in parts.tables.items():
        columns["part"] += [part] * len(table)
        columns["source"] += [table.source] * len(table)
        columns["row"] += table.rows
        columns["name"] += table.names
        columns["group"] += related[part].tolist() if part in related else [""] * len(table)
    return columns


def describe_rows(table: SequenceTable, indices: np.ndarray, most: int = 20) -> str:
    """`rows 3, 17, 20 of train.csv`, for an error message."""
    rows = sorted({table.rows[index] for index in indices})
    listed = ", ".join(map(str, rows[:most])) + (", …" if len(rows) > most else "")
    return f"rows {listed} of {table.source}"
