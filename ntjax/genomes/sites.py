"""Transcription start sites from BED, GFF3 or GTF, or from promoters looked up in a genome."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import ContigNames, circular_contigs, intervals_of
from ntjax.genomes.promoter_windows import Sites, distinct, locate
from ntjax.genomes.regions import holds, whole_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, WindowGeometry
from ntjax.io.bed import Feature, read_bed, refuse
from ntjax.io.fasta import excerpt, read_head, refuse_not_text
from ntjax.io.gff import described_kinds, read_gff
from ntjax.io.tables import SequenceTable, read_table

_PROMOTER = "1"
_NOT_DATA = ("#", "track ", "browser ")
_GFF_ENDINGS = (".gff", ".gff3", ".gtf")
_OTHER_FORMATS = {
    "##fileformat=VCF": "VCF",
    "LOCUS ": "GenBank",
    "ID   ": "EMBL",
    "@": "FASTQ or SAM",
}


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
    geometry: WindowGeometry,
    feature_type: str = "TSS",
    tss_index: int = PROMOTER_WINDOW.site_index,
) -> SiteFile:
    """Read start sites from a BED, GFF3, GTF or sequence file; any may be gzip-compressed.

    The format is told by the content, whatever the file is called.

    The TSS is the 5' end of a BED interval or a GFF3 feature: on + its first letter, on - its
    last. Promoters of a sequence file (FASTA or a table; where it has labels, the rows of label 1)
    are looked up in the genome, letter by letter, on both strands.

    Arguments:
        geometry: of the windows wanted.
        feature_type: of the TSSs in a GFF3 file.
        tss_index: where the TSS stands in the promoters of a sequence file, from 0.

    Raises:
        UserError: the file can't be read, does not fit the genome, or holds no TSS.
    """
    kind = _kind(path)
    names = ContigNames(genome, path)
    if kind == "sequences":
        return _from_sequences(genome, path, geometry, tss_index)
    features, circular, guessed = _features(names, kind, feature_type)
    sites = _five_prime_ends(names, features, circular, geometry)
    found = f"{len(features):,} intervals with {len(sites):,} start sites in {genome.name}"
    return _fitting(sites, sites, (found, *guessed, *names.notes))


def _kind(path: str | os.PathLike) -> str:
    """Return "bed", "narrowPeak", "gff" or "sequences", by the name's ending or the content.

    Raises:
        UserError: the content is none of these.
    """
    suffix = Path(str(path).lower().removesuffix(".gz")).suffix
    head = read_head(path)
    lines = [line for line in head.decode(errors="replace").splitlines() if line.strip()]
    first = next((line for line in lines if not line.startswith(_NOT_DATA)), "")
    cells = first.split("\t") if "\t" in first else first.split()
    if suffix == ".bed" or (suffix not in _GFF_ENDINGS and _numbers(cells[1:3])):
        return "narrowPeak" if len(cells) == 10 and suffix != ".bed" else "bed"
    if suffix in _GFF_ENDINGS or head.startswith(b"##gff") or _numbers(cells[3:5]):
        return "gff"
    if not head.startswith(b"PAR1"):
        refuse_not_text(path, head)
        header = re.split(r"[,;\t]", first.replace('"', ""))
        if not first.startswith(">") and "sequence" not in map(str.strip, header):
            raise UserError(_unknown_format(path, lines))
    return "sequences"


def _numbers(cells: list[str]) -> bool:
    return len(cells) == 2 and all(cell.isdecimal() for cell in cells)


def _unknown_format(path: str | os.PathLike, lines: list[str]) -> str:
    first = lines[0] if lines else ""
    kind = next((name for start, name in _OTHER_FORMATS.items() if first.startswith(start)), None)
    what = f"is {kind}" if kind else f"its first line, {excerpt(first)}, is of no known format"
    return (
        f"{path}: {what}: give start sites as BED (contig, start, end, name, score, strand), as "
        "GFF3 or GTF, or as promoter sequences: FASTA, or a table with a column 'sequence'"
    )


def _features(
    names: ContigNames, kind: str, feature_type: str
) -> tuple[list[Feature], frozenset[str], tuple[str, ...]]:
    """Intervals whose 5' ends are start sites, the circular contigs, and what was guessed."""
    path, circular, guessed = names.path, frozenset(), ()
    if kind == "gff":
        gff = read_gff(path, feature_type.__eq__)
        features = gff.features
        if not features:
            raise UserError(
                f"{path}: holds no feature of type {excerpt(feature_type)}: its types are "
                f"{described_kinds(gff.kinds)}; choose one with --feature-type"
            )
        circular, guessed = circular_contigs(names, gff)
    else:
        features = read_bed(path)
        if kind == "narrowPeak":
            guessed = ("narrowPeak is read as BED: sites are the intervals' 5' ends, not summits",)
    for feature in features:
        if not feature.strand:
            refuse(path, feature.line, "a start site needs a strand, + or -, not '.'")
    return features, circular, guessed


def _five_prime_ends(
    names: ContigNames, features: list[Feature], circular: frozenset[str], geometry: WindowGeometry
) -> Sites:
    """Every start site once."""
    intervals_of(names, features, circular)  # refuses those that do not fit
    starts = [(f.start if f.strand > 0 else f.end - 1) for f in features]
    ends = [
        feature._replace(start=start, end=start + 1)
        for feature, start in zip(features, starts, strict=True)
    ]
    intervals = intervals_of(names, ends, circular)
    return distinct(Sites(names.genome, intervals.starts, intervals.strands < 0, geometry))


def _from_sequences(
    genome: Genome, path: str | os.PathLike, geometry: WindowGeometry, tss_index: int
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
    located = locate(genome, table.sequences, WindowGeometry(tss_index, letters - 1 - tss_index))
    if not len(located.sites):
        raise UserError(
            f"{path}: none of its {len(table):,} promoters occurs in {genome.path}: give the "
            "genome they were taken from"
        )
    unique, known = (replace(s, geometry=geometry) for s in (located.unique, located.start_sites))
    note = f"{located.described()}; promoters of unique sequence are used"
    return _fitting(unique, known, (note, *table.notes))


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


def _fitting(promoters: Sites, known: Sites, notes: tuple[str, ...]) -> SiteFile:
    """Without the promoters whose windows lie over a contig's end or an N."""
    fits = holds(whole_genome(promoters.genome), promoters.starts(), promoters.geometry.length())
    if not fits.all():
        left_out = np.count_nonzero(~fits)
        notes += (
            f"{left_out:,} of {len(fits):,} windows reach beyond a contig's end or hold an N, and "
            "were left out",
        )
    return SiteFile(promoters.take(fits), known, notes)
