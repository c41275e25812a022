"""Transcription start sites from files: BED, GFF3, or promoter sequences looked up in a genome."""

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import intervals_of
from ntjax.genomes.promoter_windows import BEFORE, Sites, WindowShape, distinct, locate
from ntjax.genomes.regions import holds, whole_genome
from ntjax.genomes.store import Genome
from ntjax.io.bed import Feature, read_bed
from ntjax.io.fasta import excerpt, read_head
from ntjax.io.gff import described_kinds, read_gff
from ntjax.io.tables import SequenceTable, read_table

_PROMOTER = "1"


class SiteFile(NamedTuple):
    """Start sites of a file.

    Attributes:
        promoters: every TSS once whose window lies on a contig and holds no N; of a file of
            sequences only those whose sequence occurs once.
        known: every TSS once.
        notes: what was found and left out, with counts.
    """

    promoters: Sites
    known: Sites
    notes: tuple[str, ...]


def read_sites(
    genome: Genome,
    path: str | os.PathLike,
    shape: WindowShape,
    feature_type: str = "TSS",
    tss_index: int = BEFORE,
) -> SiteFile:
    """The start sites of a BED, GFF3 or sequence file; any may be gzip-compressed.

    The TSS is the 5' end of a BED interval or a GFF3 feature: on + its first letter, on - its
    last. Promoters of a sequence file (FASTA or a table; where it has labels, the rows of label 1)
    are looked up in the genome, letter by letter, on both strands.

    Arguments:
        shape: of the windows wanted.
        feature_type: of the TSSs in a GFF3 file.
        tss_index: where the TSS stands in the promoters of a sequence file, from 0.

    Raises:
        UserError: the file can't be read, does not fit the genome, or holds no TSS.
    """
    kind = _kind(path)
    if kind == "sequences":
        return _from_sequences(genome, path, shape, tss_index)
    features, circular = _features(path, kind, feature_type)
    sites = _five_prime_ends(genome, path, features, circular, shape)
    found = f"{len(features):,} intervals"
    return _fitting(sites, sites, f"{found} with {len(sites):,} start sites in {genome.name}")


def _kind(path: str | os.PathLike) -> str:
    """By the name's ending, or the first line."""
    suffix = Path(str(path).lower().removesuffix(".gz")).suffix
    if suffix == ".bed":
        return "bed"
    is_gff = suffix in (".gff", ".gff3", ".gtf") or read_head(path).startswith(b"##gff")
    return "gff" if is_gff else "sequences"


def _features(
    path: str | os.PathLike, kind: str, feature_type: str
) -> tuple[list[Feature], frozenset[str]]:
    """Intervals whose 5' ends are start sites, and the circular contigs."""
    circular = frozenset()
    if kind == "bed":
        features = read_bed(path)
    else:
        features, kinds, circular = read_gff(path, feature_type.__eq__)
        if not features:
            raise UserError(
                f"{path}: holds no feature of type {excerpt(feature_type)}: its types are "
                f"{described_kinds(kinds)}; choose one with --feature-type"
            )
    for feature in features:
        if not feature.strand:
            raise UserError(
                f"{path}: line {feature.line}: a start site needs a strand, + or -, not '.'"
            )
    return features, circular


def _five_prime_ends(
    genome: Genome,
    path: str | os.PathLike,
    features: list[Feature],
    circular: frozenset[str],
    shape: WindowShape,
) -> Sites:
    """Every start site once."""
    intervals_of(genome, path, features, circular)  # refuses those that do not fit
    starts = [(f.start if f.strand > 0 else f.end - 1) for f in features]
    ends = [
        feature._replace(start=start, end=start + 1)
        for feature, start in zip(features, starts, strict=True)
    ]
    intervals = intervals_of(genome, path, ends, circular)
    return distinct(Sites(genome, intervals.starts, intervals.strands < 0, shape))


def _from_sequences(
    genome: Genome, path: str | os.PathLike, shape: WindowShape, tss_index: int
) -> SiteFile:
    table = _promoters(read_table(path, require_labels=False))
    letters = len(table.sequences[0])
    for row, sequence in zip(table.rows, table.sequences, strict=True):
        if len(sequence) != letters or tss_index >= letters:
            raise UserError(
                f"{path}: row {row}: the promoter has {len(sequence)} letters"
                + (
                    f", others {letters}: cut them all to one length"
                    if len(sequence) != letters
                    else f", none at index {tss_index}: say where the start site stands, from 0, "
                    "with --tss-index"
                )
            )
    located = locate(genome, table.sequences, WindowShape(tss_index, letters - 1 - tss_index))
    if not len(located.sites):
        raise UserError(
            f"{path}: none of its {len(table):,} promoters occurs in {genome.path}: give the "
            "genome they were taken from"
        )
    unique, known = (replace(s, shape=shape) for s in (located.unique, located.start_sites))
    note = f"{located.described()}; promoters of unique sequence are used"
    fitting = _fitting(unique, known, note)
    return fitting._replace(notes=(*fitting.notes, *table.notes))


def _promoters(table: SequenceTable) -> SequenceTable:
    if table.labels is None:
        return table
    rows = [row for row, label in enumerate(table.labels) if label == _PROMOTER]
    if not rows:
        raise UserError(
            f"{table.source}: has labels, but no row of label {_PROMOTER}: label promoters so, or "
            "leave the labels out"
        )
    return table.take(rows)


def _fitting(promoters: Sites, known: Sites, note: str) -> SiteFile:
    """Without the promoters whose windows lie over a contig's end or an N."""
    fits = holds(whole_genome(promoters.genome), promoters.starts(), promoters.shape.letters())
    notes = [note]
    if not fits.all():
        left_out = np.count_nonzero(~fits)
        notes.append(
            f"{left_out:,} of {len(fits):,} windows reach beyond a contig's end or hold an N, and "
            "were left out"
        )
    return SiteFile(promoters.take(fits), known, tuple(notes))
