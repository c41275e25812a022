"""Promoters in their genome: where they lie, and windows without any to set against them.

A window reaches from `BEFORE` letters before a transcription start site (TSS) to `AFTER` letters
behind it, read in the direction of transcription. Random letters are told from promoters by
anyone who knows natural DNA; the negatives made here are windows of the same genome, with as many
G and C, far from every known TSS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ntjax.data.genome_windows import Region, read_windows, reverse_complement
from ntjax.data.genomes import NUCLEOTIDES, UNKNOWN, Genome
from ntjax.data.held_out import split_blocks
from ntjax.data.leakage import KMER_LENGTH, rows_sharing_kmers
from ntjax.data.occurrences import occurrences
from ntjax.data.regions import holds, shrunk, without
from ntjax.data.tables import SequenceTable
from ntjax.errors import UserError

BEFORE, AFTER = 60, 20
_LETTERS = np.frombuffer(NUCLEOTIDES.encode(), np.uint8)
_STRONG = NUCLEOTIDES.index("C")  # C and G are the last two codes

_CODE_OF_BYTE = np.full(256, UNKNOWN, np.uint8)
_CODE_OF_BYTE[_LETTERS] = np.arange(len(NUCLEOTIDES))


@dataclass(frozen=True)
class Sites:
    """Places on the strands of a genome.

    Attributes:
        genome: the store.
        places: int64 [sites], of the TSS, or of what is in its place in a negative.
        reverse: bool [sites], whether it is read from the other strand.
    """

    genome: Genome
    places: np.ndarray
    reverse: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: np.ndarray) -> "Sites":
        """Those of the given rows."""
        return replace(self, places=self.places[rows], reverse=self.reverse[rows])

    def starts(self, context: int = 0) -> np.ndarray:
        """First place of the windows with so many letters more at each side, int64 [sites]."""
        return self.places - context - np.where(self.reverse, AFTER, BEFORE)

    def windows(self, context: int = 0) -> np.ndarray:
        """Letters in the direction of transcription, uint8 [sites, letters]."""
        windows = read_windows(self.genome, self.starts(context), window_letters(context))
        windows[self.reverse] = reverse_complement(windows[self.reverse])
        return windows

    def sequences(self, context: int = 0) -> list[str]:
        """The windows as text."""
        return [row.tobytes().decode() for row in _LETTERS[self.windows(context)]]

    def names(self) -> list[str]:
        """Such as `NC_000913.3:12345:+`: contig, place in it counted from 1, strand."""
        contigs = self.genome.contigs
        starts = np.array([contig.start for contig in contigs])
        of = np.searchsorted(starts, self.places, side="right") - 1
        return [
            f"{contigs[c].name}:{place - contigs[c].start + 1}:{'-' if reverse else '+'}"
            for c, place, reverse in zip(
                of.tolist(), self.places.tolist(), self.reverse.tolist(), strict=True
            )
        ]


def window_letters(context: int = 0) -> int:
    """Letters of a window with so many letters more at each side."""
    return BEFORE + 1 + AFTER + 2 * context


class Located(NamedTuple):
    """Where sequences occur in a genome.

    Attributes:
        sites: of every occurrence of every sequence, on either strand.
        rows: int64 [occurrences], which sequence it is of.
        counts: int64 [sequences], occurrences of each.
    """

    sites: Sites
    rows: np.ndarray
    counts: np.ndarray

    @property
    def start_sites(self) -> Sites:
        """Every TSS once, by place and strand."""
        return _distinct(self.sites)

    @property
    def unique(self) -> Sites:
        """Every TSS once, of the sequences that occur only once."""
        return _distinct(self.sites.take(self.counts[self.rows] == 1))

    def described(self) -> str:
        """How many sequences were found."""
        once, several = (self.counts == 1).sum(), (self.counts > 1).sum()
        return (
            f"of {len(self.counts):,} sequences {once + several:,} occur in "
            f"{self.sites.genome.name} ({several:,} of them more than once) and "
            f"{len(self.counts) - once - several:,} do not; {len(self.start_sites):,} start sites"
        )


def _distinct(sites: Sites) -> Sites:
    _, rows = np.unique(2 * sites.places + sites.reverse, return_index=True)
    return sites.take(rows)


def locate(genome: Genome, promoters: Sequence[str]) -> Located:
    """Every exact occurrence of promoters on either strand of a genome.

    Arguments:
        promoters: upper-case windows around a TSS, `BEFORE` letters before it, `AFTER` behind it.

    Raises:
        UserError: a sequence has another length.
    """
    letters = window_letters()
    for number, promoter in enumerate(promoters, 1):
        if len(promoter) != letters:
            raise UserError(
                f"promoter {number} has {len(promoter)} letters, not {letters} (−{BEFORE} to "
                f"+{AFTER} about the start site): cut it to these"
            )
    patterns = coded_sequences(promoters) if promoters else np.empty((0, letters), np.uint8)
    known = np.flatnonzero((patterns < UNKNOWN).all(axis=1))
    both = np.concatenate([patterns[known], reverse_complement(patterns[known])])
    starts, found = occurrences(genome, both)
    reverse = found >= len(known)
    rows = known[found % len(known)] if len(known) else found
    sites = Sites(genome, starts + np.where(reverse, AFTER, BEFORE), reverse)
    return Located(sites, rows, np.bincount(rows, minlength=len(promoters)))


def coded_sequences(sequences: Sequence[str]) -> np.ndarray:
    """Sequences of equal length as a store keeps them, uint8 [sequences, letters]."""
    text = np.frombuffer("".join(sequences).encode(), np.uint8)
    return _CODE_OF_BYTE[text].reshape(len(sequences), -1)


@dataclass(frozen=True)
class NegativeOptions:
    """How negatives are drawn and the genome is split.

    Attributes:
        reach: no letter of a negative window is nearer than this to a known TSS, on any strand.
        room: letters that every window must have at each side within its part, for context.
        block_letters: size of the blocks.
        validation: share of the blocks for validation.
        test: share of the blocks for the test; training gets the rest.
        seed: of the blocks and the negatives.
    """

    reach: int = 200
    room: int = 0
    block_letters: int = 50_000
    validation: float = 0.1
    test: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class LabelledSites:
    """Promoters and as many negatives: row by row of equal GC and of the same part."""

    promoters: Sites
    negatives: Sites

    def __len__(self) -> int:
        return len(self.promoters)

    def take(self, rows: np.ndarray) -> "LabelledSites":
        """Those pairs."""
        return LabelledSites(self.promoters.take(rows), self.negatives.take(rows))

    def table(self, context: int = 0) -> SequenceTable:
        """Windows with so many letters more at each side; label 1 for promoters, else 0."""
        both = self.promoters, self.negatives
        count = 2 * len(self)
        return SequenceTable(
            names=tuple(name for sites in both for name in sites.names()),
            sequences=tuple(text for sites in both for text in sites.sequences(context)),
            labels=("1",) * len(self) + ("0",) * len(self),
            source=self.promoters.genome.name,
            rows=tuple(range(1, count + 1)),
        )


class PromoterWindows(NamedTuple):
    """`parts` by name: train, validation and test; `notes` say what was left out, with counts."""

    parts: dict[str, LabelledSites]
    notes: tuple[str, ...]


def against_genomic_windows(
    promoters: Sites, known: Sites, options: NegativeOptions = NegativeOptions()
) -> PromoterWindows:
    """Promoters in parts of their genome, each with a negative of the same part and equal GC.

    A promoter whose window (with `room`) does not lie within one part is left out, so that no two
    parts share a letter. What repeats in the genome, such as insertion elements, would still
    connect them: pairs of which a window shares a 16-mer with a later part (train, validation,
    test) are left out of the earlier one, so that the test rows stay as they were drawn.

    Arguments:
        promoters: the positives.
        known: every TSS of the genome that is known, the positives' among them.

    Raises:
        UserError: a part has no promoter, or no place for a negative.
    """
    genome = promoters.genome
    regions = split_blocks(
        genome,
        {"validation": options.validation, "test": options.test},
        options.block_letters,
        options.seed,
    )
    letters, room = window_letters(), options.room
    random = np.random.default_rng(options.seed)
    parts = {}
    for name, region in regions.items():
        own = promoters.take(holds(region, promoters.starts(room), letters + 2 * room))
        free = without(shrunk(region, room), known.places, options.reach - 1)
        parts[name] = LabelledSites(own, _negatives(own, free, name, random))
    inside = sum(len(part) for part in parts.values())
    parts, notes = _unrelated(parts)
    first = (
        f"{len(promoters) - inside:,} of {len(promoters):,} promoters lie across a border of "
        f"blocks of {options.block_letters:,} letters, or too near to it, and were left out"
    )
    return PromoterWindows(parts, (first, *notes))


def _negatives(promoters: Sites, free: Region, part: str, random: np.random.Generator) -> Sites:
    """A window of `free` for each promoter, on a strand at random, no place taken twice."""
    letters = window_letters()
    starts = free.places(np.arange(free.count(letters)), letters)
    if not len(promoters) or len(starts) < len(promoters):
        raise UserError(
            f"{promoters.genome.name}: {len(promoters):,} promoters and {len(starts):,} places for "
            f"other windows lie in the part '{part}': choose smaller blocks, or a shorter reach"
        )
    strong = np.concatenate([[0], np.cumsum(promoters.genome.letters >= _STRONG, dtype=np.int32)])
    wanted = (promoters.windows() >= _STRONG).sum(axis=1)
    chosen = starts[_matched(wanted, (strong[letters:] - strong[:-letters])[starts], random)]
    reverse = random.random(len(chosen)) < 0.5
    return Sites(promoters.genome, chosen + np.where(reverse, AFTER, BEFORE), reverse)


def _matched(wanted: np.ndarray, found: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For each wanted count a different row of `found` with that count, or the nearest left."""
    order = random.permutation(len(found))
    order = order[np.argsort(found[order], kind="stable")]
    values, begins, sizes = np.unique(found[order], return_index=True, return_counts=True)
    used = np.zeros_like(sizes)
    rows = np.empty(len(wanted), np.int64)
    for place in random.permutation(len(wanted)):
        distance = np.where(used < sizes, np.abs(values - wanted[place]), np.iinfo(np.int64).max)
        nearest = np.argmin(distance)
        rows[place] = order[begins[nearest] + used[nearest]]
        used[nearest] += 1
    return rows


def _unrelated(parts: dict[str, LabelledSites]) -> tuple[dict[str, LabelledSites], list[str]]:
    """Each part without the pairs that share a 16-mer with a later one."""
    kept, notes, later = {}, [], []
    for name in ("test", "validation", "train"):
        sequences = parts[name].table().sequences
        related = rows_sharing_kmers(sequences, later).reshape(2, -1).any(axis=0)
        kept[name] = parts[name].take(~related)
        if later:
            notes.append(
                f"{related.sum():,} of {len(related):,} pairs were left out of {name}: a window of "
                f"theirs shares a {KMER_LENGTH}-mer with a later part"
            )
        later += kept[name].table().sequences
    return dict(reversed(kept.items())), notes[::-1]
