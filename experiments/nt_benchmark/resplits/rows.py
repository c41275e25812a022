"""Rows of the tasks that are split anew: never to be compared with published numbers.

Training and validation rows that share 31 bases with a test row are left out, and training rows
that share them with a validation row: their number stands in `left_out`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from experiments.nt_benchmark.chr20 import GENOME, INTRONS, data_folder
from ntjax.datasets.splits import grouped_split
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.transcripts import ListedTranscripts, read_transcripts
from ntjax.genomes.windows import read_windows
from ntjax.io.fasta import read_fasta
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.sequences.alphabet import (
    UNKNOWN,
    base_codes,
    base_texts,
    reverse_complement_codes,
)
from ntjax.sequences.shuffles import shuffled_keeping_dinucleotides

MARKS = ("H3", "H3K14ac", "H3K36me3", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4")
SPLICE_BASES, SPLICE_BLOCK = 120, 2_000_000
SHARED = 31
# Chromosomes IV and XIII are a fifth of the rows, XV a tenth.
_TEST, _VALIDATION = ("D", "M"), ("O",)
_ORF = re.compile(r"i?Y([A-P])[LR]\d{3}[WC]")
_TRNA = re.compile(r"i?t[A-Z]\([^)]*\)([A-P])")
_SEED = 0


@dataclass(frozen=True)
class Resplit:
    """Rows of a task in parts.

    Attributes:
        name: of the task.
        train: rows that are learned from.
        validation: rows that choose.
        test: rows that are scored.
        groups: [test rows], names of groups that are drawn together.
        left_out: rows of training and validation that share sequence with later parts.
        source: of the rows, and how they were split.
    """

    name: str
    train: SequenceTable
    validation: SequenceTable
    test: SequenceTable
    groups: np.ndarray
    left_out: int
    source: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows of all parts and their labels."""
        tables = (self.train, self.validation, self.test)
        text = json.dumps([[table.sequences, table.labels] for table in tables])
        return hashlib.sha256(text.encode()).hexdigest()


def chromosome_of(header: str) -> str | None:
    """Read the chromosome of a yeast window from the name of its gene: A to P for I to XVI.

    >>> [chromosome_of(name) for name in ("iYMR122W-A_513047", "tS(AGA)G_1", "isnR36_7")]
    ['M', 'G', None]
    """
    found = _ORF.match(header) or _TRNA.match(header)
    return found[1] if found else None


def histone(mark: str) -> Resplit:
    """Split the published test rows of a yeast mark by chromosome."""
    table = read_table(data_folder() / "histone" / f"{mark}.fna.gz")
    chromosomes = np.array([chromosome_of(name) or "" for name in table.names])
    parts = {
        "test": np.flatnonzero(np.isin(chromosomes, _TEST)),
        "validation": np.flatnonzero(np.isin(chromosomes, _VALIDATION)),
        "train": np.flatnonzero(
            (chromosomes != "") & ~np.isin(chromosomes, (*_TEST, *_VALIDATION))
        ),
    }
    # Neighbouring windows of one chromosome are no independent rows.
    places = [int(name.rpartition("_")[2]) // 20_000 for name in table.names]
    groups = np.array([f"{c}:{p}" for c, p in zip(chromosomes, places, strict=True)])
    source = "test file of the original set, split by chromosome: test IV and XIII, validation XV"
    return _without_shared(f"yeast {mark}", table, parts, groups, source)


def splice(site: str) -> Resplit:
    """Cut windows around listed splice sites of chromosome 20, and decoys of their transcripts.

    Arguments:
        site: "donor" or "acceptor".
    """
    genome = open_genome(data_folder() / GENOME)
    transcripts = read_transcripts(genome, data_folder() / INTRONS)
    borders, strands, spans = _borders(transcripts, site)
    pair = base_codes("GT" if site == "donor" else "AG")
    # The pair lies behind a donor's border, and before an acceptor's.
    codes = windows_at(genome, borders, strands)
    half = SPLICE_BASES // 2
    first = half if site == "donor" else half - 2
    canonical = (codes[:, first : first + 2] == pair).all(axis=1)
    borders, strands, spans = borders[canonical], strands[canonical], spans[canonical]
    decoys = _decoys(genome, borders, strands, spans, pair, site)
    places, signs = np.concatenate([borders, decoys]), np.concatenate([strands, strands])
    labels = np.repeat([1, 0], len(borders))
    kept = np.flatnonzero(places >= 0)
    places, signs, labels = places[kept], signs[kept], labels[kept]
    codes = windows_at(genome, places, signs)
    whole = np.flatnonzero((codes < UNKNOWN).all(axis=1))
    places, labels = places[whole], labels[whole]
    table = _table(base_texts(codes[whole]), labels, f"chr20 {site}s", places)
    draws = np.random.default_rng(_SEED).permutation(
        np.unique(np.arange(0, len(genome.letters), SPLICE_BLOCK) // SPLICE_BLOCK)
    )
    block = places // SPLICE_BLOCK
    test, validation = draws[: len(draws) // 3], draws[len(draws) // 3 : len(draws) // 2]
    parts = {
        "test": np.flatnonzero(np.isin(block, test)),
        "validation": np.flatnonzero(np.isin(block, validation)),
        "train": np.flatnonzero(~np.isin(block, [*test, *validation])),
    }
    groups = np.array([str(place // 50_000) for place in places])
    source = (
        f"introns of 100 to 800 bp listed on chromosome 20, windows of {SPLICE_BASES} bp; decoys: "
        f"{'GT' if site == 'donor' else 'AG'} at random places of the same transcript and strand, "
        "among which unlisted sites may be; split by blocks of 2 Mb"
    )
    return _without_shared(f"splice {site}s, chr20", table, parts, groups, source)


def _borders(
    transcripts: ListedTranscripts, site: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The base to the right of each border, the strand, and the transcript's bounds."""
    introns = transcripts.introns
    forward = introns.strands > 0
    at_start = forward if site == "donor" else ~forward
    borders = np.where(at_start, introns.starts, introns.ends)
    _, first = np.unique(borders, return_index=True)
    return borders[first], introns.strands[first], transcripts.spans[transcripts.transcript][first]


def windows_at(genome: Genome, borders: np.ndarray, strands: np.ndarray) -> np.ndarray:
    """Cut windows with a border between bases in their middle, on the strand of the gene."""
    codes = read_windows(genome, borders - SPLICE_BASES // 2, SPLICE_BASES)
    turned = strands < 0
    codes[turned] = reverse_complement_codes(codes[turned])
    return codes


def _decoys(
    genome: Genome,
    borders: np.ndarray,
    strands: np.ndarray,
    spans: np.ndarray,
    pair: np.ndarray,
    site: str,
) -> np.ndarray:
    """Draw a border at another such pair of each site's transcript: int64 [sites], -1 for none."""
    random, used = np.random.default_rng(_SEED), set(borders.tolist())
    found = np.full(len(borders), -1, np.int64)
    for row, (strand, (low, high)) in enumerate(zip(strands, spans, strict=True)):
        text = np.asarray(genome.letters[low:high])
        wanted = pair if strand > 0 else reverse_complement_codes(pair[None])[0]
        starts = low + np.flatnonzero((text[:-1] == wanted[0]) & (text[1:] == wanted[1]))
        # The border is before a donor's pair and behind an acceptor's, as the gene is read.
        behind = (site == "acceptor") == (strand > 0)
        for place in random.permutation(starts + 2 * behind).tolist():
            if place not in used:
                found[row] = place
                used.add(place)
                break
    return found


def tata_published() -> Resplit:
    """Read TATA promoters and the negatives made of them, in the published parts."""
    folder = data_folder() / "human_promoters"
    train, validation, test = (
        read_table(folder / f"tata_{part}.csv.gz", label_column="class")
        for part in ("train", "val", "test")
    )
    groups = np.arange(len(test)).astype(str)
    source = "as published: negatives are promoters with segments exchanged, of training promoters"
    return Resplit("TATA, as published", train, validation, test, groups, 0, source)


def tata_shuffled() -> Resplit:
    """Put each TATA promoter beside itself shuffled, both in one part."""
    published = tata_published()
    tables = (published.train, published.validation, published.test)
    promoters = sorted(
        {
            sequence
            for table in tables
            for sequence, label in zip(table.sequences, table.labels or (), strict=True)
            if label == "1" and "N" not in sequence
        }
    )
    random = np.random.default_rng(_SEED)
    shuffled = [
        base_texts(shuffled_keeping_dinucleotides(base_codes(text), random)[None])[0]
        for text in promoters
    ]
    shares = {"train": 0.65, "validation": 0.1, "test": 0.25}
    of_parent = grouped_split(promoters, None, shares, seed=_SEED)
    sequences = [text for both in zip(promoters, shuffled, strict=True) for text in both]
    labels = np.tile([1, 0], len(promoters))
    table = _table(sequences, labels, "TATA promoters and their shuffles", np.arange(len(labels)))
    parts = {
        part: np.sort(np.concatenate([2 * rows, 2 * rows + 1])) for part, rows in of_parent.items()
    }
    groups = np.repeat(np.arange(len(promoters)), 2).astype(str)
    source = "promoters of all published parts, each beside itself with its dinucleotides shuffled"
    return _without_shared("TATA, shuffled", table, parts, groups, source)


def enhancers(clean: bool) -> Resplit:
    """Read iEnhancer's layer 1; of training rows those that share sequence with the test go."""
    folder = data_folder() / "enhancers"
    tables = {}
    for part in ("train", "test"):
        texts, labels = [], []
        for label, kind in ((1, "enhancers"), (0, "nonenhancers")):
            path = folder / f"layer1_{part}_{kind}.fa.gz"
            own = [record.sequence.upper() for record in read_fasta(path)]
            texts += own
            labels += [label] * len(own)
        tables[part] = _table(texts, np.array(labels), f"iEnhancer {part}", np.arange(len(texts)))
    whole = tables["train"]
    shares = {"train": 0.9, "validation": 0.1}
    rows = grouped_split(whole.sequences, whole.labels, shares, seed=_SEED)
    train, validation = (whole.take(rows[part]) for part in shares)
    groups = np.arange(len(tables["test"])).astype(str)
    source = "layer 1 as published, a tenth of training for validation"
    made = Resplit("enhancers, as published", train, validation, tables["test"], groups, 0, source)
    if not clean:
        return made
    kept, lost = [], 0
    for table in (train, validation):
        shares_bases = rows_sharing_kmers(table.sequences, made.test.sequences, SHARED)
        kept.append(table.take(np.flatnonzero(~shares_bases)))
        lost += int(shares_bases.sum())
    source = "layer 1 without training rows that share 31 bases with a test row"
    return replace(
        made,
        name="enhancers, clean",
        train=kept[0],
        validation=kept[1],
        left_out=lost,
        source=source,
    )


def _table(
    sequences: list[str], labels: np.ndarray, source: str, names: np.ndarray
) -> SequenceTable:
    texts = tuple(str(label) for label in labels)
    numbers = tuple(range(1, len(sequences) + 1))
    return SequenceTable(tuple(map(str, names)), tuple(sequences), texts, source, numbers)


def _without_shared(
    name: str,
    table: SequenceTable,
    parts: Mapping[str, np.ndarray],
    groups: np.ndarray,
    source: str,
) -> Resplit:
    test = table.take(parts["test"])
    validation, train = table.take(parts["validation"]), table.take(parts["train"])
    own = rows_sharing_kmers(validation.sequences, test.sequences, SHARED)
    later = (*test.sequences, *validation.sequences)
    also = rows_sharing_kmers(train.sequences, later, SHARED)
    return Resplit(
        name,
        train.take(np.flatnonzero(~also)),
        validation.take(np.flatnonzero(~own)),
        test,
        groups[parts["test"]],
        int(own.sum() + also.sum()),
        source,
    )


TASKS: dict[str, Callable[[], Resplit]] = {
    **{f"yeast {mark}": partial(histone, mark) for mark in MARKS},
    "splice donors, chr20": partial(splice, "donor"),
    "splice acceptors, chr20": partial(splice, "acceptor"),
    "TATA, as published": tata_published,
    "TATA, shuffled": tata_shuffled,
    "enhancers, as published": partial(enhancers, False),
    "enhancers, clean": partial(enhancers, True),
}
"""Every task by name."""
