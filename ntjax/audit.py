"""Audit a train/test split: find duplicate, overlapping and near-identical sequences.

Also measure shortcuts such as GC content, and write the training rows that are clean.

python -m ntjax.audit train.csv test.csv
python -m ntjax.audit train.csv test.csv --genome genome.fna.gz --out audited
python -m ntjax.audit ecoli_promoters                     # a data set, as published
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from ntjax.datasets.registry import DATASETS, load_dataset, require_data
from ntjax.errors import MissingLabelsError, UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import WindowGeometry, recorded_windows
from ntjax.io.json import write_json
from ntjax.io.labels import classes_of
from ntjax.io.table_output import write_columns, write_table
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.clusters import describe_clusters
from ntjax.leakage.composition import describe_composition
from ntjax.leakage.kmer_groups import KMER_LENGTH
from ntjax.leakage.loci import REACH, Loci, find_loci, groups_of_loci, rows_near
from ntjax.leakage.near_identical import IDENTITY, seed_for
from ntjax.leakage.overlap import (
    by_label,
    chance_of_sharing,
    conflicting_copies,
    find_overlap,
    labels_of,
    overlap_counts,
    sharing_by_label,
)
from ntjax.reports import command_line
from ntjax.reports.audit import findings, print_audit
from ntjax.runs.folder import refuse_occupied
from ntjax.sequences.alphabet import Ambiguous

REPORT_FILE, LOCI_FILE = "audit.json", "test_loci.csv"
CLEAN_FILE, LOCUS_CLEAN_FILE = "train_clean.csv", "train_locus_clean.csv"

_MOST_CLASSES = 50


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.audit`."""

    train: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TRAIN")]
    """Training file (CSV, TSV, Parquet, FASTA, or gzip of these), or a data set's name."""
    test: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEST]")] = None
    """Test file; a data set has its own."""
    genome: Path | None = None
    """FASTA file of the genome that the rows come from: also compare their positions in it."""
    kmer_length: int = KMER_LENGTH
    """Length of the k-mers, 1 to 31: rows that share one, on either strand, are related."""
    identity: float = IDENTITY
    """Least identity of near-identical rows in their best ungapped alignment, above 0.5."""
    reach: int = REACH
    """Greatest distance in the genome, in bp, between the sites of related rows. The site is the
    start site in files of ntjax.windows and in promoter data sets, otherwise the middle."""
    out: Path | None = None
    """Folder for audit.json and the clean training files; it must be empty."""
    unlabelled: bool = False
    """Ignore labels: for files that have none, or that hold values."""
    sequence_column: str = "sequence"
    """Column of the sequences (not for FASTA)."""
    label_column: str = "label"
    """Column of the labels (not for FASTA)."""
    name_column: str = "name"
    """Column of the names (not for FASTA)."""
    ambiguous: Ambiguous = "refuse"
    """IUPAC codes for several bases, such as R: refuse the file, or read them as N (n)."""


def main() -> None:
    """The command."""
    command_line.run(lambda: audit(command_line.parse(Options, "ntjax.audit", __doc__)))


def audit(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `audit.json`.

    Raises:
        UserError: bad input.
    """
    if options.out is not None:
        refuse_occupied(options.out)
    train, test = _tables(options)
    loci = _find_loci(options, train, test)
    compared = _compare(options, train, test, loci)
    print_audit(compared.report)
    if options.out is not None:
        _write(options.out, compared, train, test)
        print(f"results: {options.out}")
    return compared.report


def _tables(options: Options) -> tuple[SequenceTable, SequenceTable]:
    if options.train in DATASETS:
        data = load_dataset(options.train, "published")
        train, test = data.train, data.test
    else:
        require_data(options.train, options.train)
        if options.test is None:
            raise UserError(
                f"no test file to compare {options.train} with: python -m ntjax.audit TRAIN TEST"
            )
        train = _read(options.train, options)
    if options.test is not None:
        test = _read(options.test, options)
    if options.unlabelled:
        train, test = replace(train, labels=None), replace(test, labels=None)
    for table in (train, test):
        if (count := len(set(labels_of(table)))) > _MOST_CLASSES:
            raise UserError(
                f"{table.source}: {count:,} different labels: for values rather than classes, "
                "add --unlabelled"
            )
    return train, test


def _read(path: str, options: Options) -> SequenceTable:
    try:
        return read_table(
            path,
            sequence_column=options.sequence_column,
            label_column=options.label_column,
            name_column=options.name_column,
            ambiguous=options.ambiguous,
            require_labels=not options.unlabelled,
        )
    except MissingLabelsError as error:
        raise MissingLabelsError(f"{error}; --unlabelled audits without labels") from None


class _Located(NamedTuple):
    """Both files in the genome."""

    train: Loci
    test: Loci


def _find_loci(options: Options, train: SequenceTable, test: SequenceTable) -> _Located | None:
    if options.genome is None:
        return None
    genome = open_genome(options.genome)
    located = (
        find_loci(genome, table.sequences, _geometry(table, name))
        for table, name in ((train, options.train), (test, options.test or options.train))
    )
    return _Located(*located)


def _geometry(table: SequenceTable, name: str | None) -> WindowGeometry | None:
    """Where the site lies in the rows, as is known of a data set, or recorded beside a file."""
    known = DATASETS[name].windows if name in DATASETS else recorded_windows(table.source)
    return known and known.geometry


class _Compared(NamedTuple):
    """The report, and what the files are written from.

    Attributes:
        report: content of `audit.json`.
        kept: by file, bool [training rows].
        loci: of the test rows, if a genome was given.
        groups: int64 [test rows], of one locus each; if a genome was given.
    """

    report: dict[str, Any]
    kept: dict[str, np.ndarray]
    loci: Loci | None
    groups: np.ndarray | None


def _compare(
    options: Options, train: SequenceTable, test: SequenceTable, loci: _Located | None
) -> _Compared:
    k = options.kmer_length
    overlap = find_overlap(train, test, k, options.identity)
    chance = chance_of_sharing(test.sequences, train.sequences, k)
    classes = classes_of(labels_of(test))
    related = sharing_by_label(train.sequences, test, classes, k)
    kept, groups = {CLEAN_FILE: ~related.any(axis=1)}, None
    report: dict[str, Any] = {
        "options": {
            "kmer_length": k,
            "identity": options.identity,
            "seed": seed_for(test.sequences, train.sequences, options.identity)._asdict(),
        },
        "train": _describe(train, k),
        "test": _describe(test, k),
        "overlap": overlap_counts(overlap, labels_of(test), chance),
        "conflicting_copies": conflicting_copies(overlap, test),
        "training_rows_sharing_kmers": _sharing_counts(train, classes, related),
        "composition": describe_composition(train, test),
    }
    if loci is not None:
        near = rows_near(loci.train, loci.test, options.reach)
        kept[LOCUS_CLEAN_FILE] = kept[CLEAN_FILE] & ~near
        groups = groups_of_loci(test.sequences, loci.test, options.reach, k)
        left = loci.train.of_rows(kept[CLEAN_FILE])
        report["genome"] = _describe_loci(options, train, test, loci, left) | {
            "test_loci": len(np.unique(groups)),
            "rows_of_largest_locus": int(np.bincount(groups).max()),
        }
    report["clean"] = {
        name: by_label(labels_of(train), lambda rows, kept=rows_kept: int((rows & kept).sum()))
        for name, rows_kept in kept.items()
    }
    report["findings"] = findings(report)
    return _Compared(report, kept, loci and loci.test, groups)


def _describe(table: SequenceTable, k: int) -> dict[str, Any]:
    counts = by_label(labels_of(table), lambda rows: int(rows.sum()))
    return {"source": table.source, "rows": counts, "clusters": describe_clusters(table, k)}


def _sharing_counts(
    train: SequenceTable, classes: tuple[str, ...], related: np.ndarray
) -> dict[str, Any]:
    """Training rows of each label that share a k-mer with test rows of each label."""

    def counts(rows: np.ndarray) -> dict[str, Any]:
        own = related[rows]
        by_test_label = dict(zip(classes, own.sum(axis=0).tolist(), strict=True))
        return {"with": by_test_label, "with_any": int(own.any(axis=1).sum())}

    return by_label(labels_of(train), counts)


def _describe_loci(
    options: Options, train: SequenceTable, test: SequenceTable, loci: _Located, left: Loci
) -> dict[str, Any]:
    """Rows in the genome and their neighbours; `left`: training rows without shared k-mers."""
    near = {
        "near_training_row": rows_near(loci.test, loci.train, options.reach),
        "near_on_same_strand": rows_near(loci.test, loci.train, options.reach, True),
        "near_after_removing_shared_kmers": rows_near(loci.test, left, options.reach),
    }

    def counted(table: SequenceTable, kinds: dict[str, np.ndarray]) -> dict[str, Any]:
        return by_label(
            labels_of(table),
            lambda rows: {kind: int((held & rows).sum()) for kind, held in kinds.items()},
        )

    def mapped(own: Loci) -> dict[str, np.ndarray]:
        return {"mapped": own.mapped, "mapped_more_than_once": own.counts > 1}

    return {
        "path": str(options.genome),
        "reach": options.reach,
        "train": counted(train, mapped(loci.train)),
        "test": counted(test, mapped(loci.test) | near),
    }


def _write(folder: Path, compared: _Compared, train: SequenceTable, test: SequenceTable) -> None:
    for name, kept in compared.kept.items():
        if kept.any():  # a table without rows could not be read
            write_table(folder / name, train.take(np.flatnonzero(kept)))
    if compared.loci is not None:
        columns = {
            "row": test.rows,
            "name": test.names,
            "locus": compared.loci.names(),
            "group": compared.groups,
        }
        write_columns(folder / LOCI_FILE, columns)
    write_json(folder / REPORT_FILE, compared.report)


if __name__ == "__main__":
    main()
