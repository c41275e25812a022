"""Promoters and what they are to be told from, in parts of their genome that share nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntjax.datasets.negatives import (
    MADE_KINDS,
    Kind,
    MadeWindows,
    Places,
    draw_matched,
    find_places,
    made_windows,
    replace_refused,
)
from ntjax.errors import UserError
from ntjax.genomes.annotation import Annotation
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import holds, shrunk, split_blocks, without
from ntjax.genomes.windows import Region
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import KMER_LENGTH, rows_sharing_kmers
from ntjax.sequences.alphabet import gc_content

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class NegativeOptions:
    """How negatives are drawn and the genome is split.

    Attributes:
        reach: no letter of a negative window is nearer than this to a known TSS, on any strand.
        room: letters that every window must have at each side within its part, for context.
        compared: letters at each side that count, too, when parts are compared for 16-mers.
        redraw: whether a negative that shares a 16-mer with a later part is drawn anew; else its
            promoter is left out with it.
        block_letters: size of the blocks.
        validation: share of the blocks for validation.
        test: share of the blocks for the test; training gets the rest.
        seed: of the blocks and the negatives.
    """

    reach: int = 200
    room: int = 0
    compared: int = 0
    redraw: bool = True
    block_letters: int = 50_000
    validation: float = 0.1
    test: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class LabelledSites:
    """Promoters and as many negatives, row by row of the same part."""

    promoters: Sites
    negatives: Sites | MadeWindows

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

    @property
    def loci(self) -> int | None:
        """Stretches of the genome that the negatives cover; windows that overlap share one."""
        if isinstance(self.negatives, MadeWindows):
            return None
        starts = np.sort(self.negatives.starts())
        return int((np.diff(starts) >= self.negatives.geometry.length()).sum()) + bool(len(starts))


class PromoterWindows(NamedTuple):
    """`parts` by name: train, validation and test; `notes` say what was left out, with counts."""

    parts: dict[str, LabelledSites]
    notes: tuple[str, ...]


def labelled_windows(
    promoters: Sites,
    known: Sites,
    kind: Kind,
    annotation: Annotation | None = None,
    options: NegativeOptions = NegativeOptions(),
) -> PromoterWindows:
    """Promoters in parts of their genome, each with a negative of a kind: see `windows_by_kind`."""
    return windows_by_kind(promoters, known, [kind], annotation, options)[kind]


def against_genomic_windows(
    promoters: Sites, known: Sites, options: NegativeOptions = NegativeOptions()
) -> PromoterWindows:
    """Promoters, each with a window of the same genome, of the same part and equal GC."""
    return labelled_windows(promoters, known, "genomic", None, options)


def windows_by_kind(
    promoters: Sites,
    known: Sites,
    kinds: Sequence[Kind],
    annotation: Annotation | None = None,
    options: NegativeOptions = NegativeOptions(),
) -> dict[Kind, PromoterWindows]:
    """The same promoters in the same parts of their genome, against negatives of several kinds.

    A promoter whose window (with `room`) does not lie within one part is left out, so that no two
    parts share a letter. What repeats in the genome, such as insertion elements, would still
    connect them: promoters that share, they or a negative of theirs, a 16-mer with a later part
    (train, validation, test) are left out of the earlier one with their negatives of all kinds, so
    that the test rows stay as they were drawn, and a model trained against one kind can be tested
    against another. Negatives from the genome are drawn anew first (`redraw`): what lies between
    genes is so full of repeats that a third of the promoters would go with them.

    Negatives from the genome (`negatives.find_places`) match the promoters' GC and keep the
    `reach`; both, and what a kind says of genes, concern the window without context. The test rows
    of a kind do not depend on the other kinds.

    Arguments:
        promoters: the positives.
        known: every TSS of the genome that is known, the positives' among them.
        annotation: for the kinds "cds", "convergent" and "intergenic".

    Raises:
        UserError: a part has no promoter, or too few places for negatives.
    """
    fractions = {"validation": options.validation, "test": options.test}
    regions = split_blocks(promoters.genome, fractions, options.block_letters, options.seed)
    letters, room = promoters.geometry.length(), options.room
    own = {
        part: promoters.take(holds(region, promoters.starts(room), letters + 2 * room))
        for part, region in regions.items()
    }
    drawn = {kind: _drawn(kind, own, known, regions, annotation, options) for kind in kinds}
    negatives, kept, notes = _unrelated(own, drawn, options)
    inside = sum(map(len, own.values()))
    first = (
        f"{len(promoters) - inside:,} of {len(promoters):,} promoters lie across a border of "
        f"blocks of {options.block_letters:,} bp, or too near to it, and were left out"
    )
    found = {}
    for kind in kinds:
        parts = {
            part: LabelledSites(own[part], negatives[part][kind]).take(kept[part]) for part in PARTS
        }
        found[kind] = PromoterWindows(parts, (first, *notes, *_remarks(parts)))
    return found


class _Draw(NamedTuple):
    """Negatives, and the places they were drawn from; None if they are made."""

    negatives: Sites | MadeWindows
    places: Places | None


def _drawn(
    kind: Kind,
    own: dict[str, Sites],
    known: Sites,
    regions: dict[str, Region],
    annotation: Annotation | None,
    options: NegativeOptions,
) -> dict[str, _Draw]:
    """A negative for each promoter of each part."""
    random = np.random.default_rng(options.seed)
    drawn = {}
    for part, promoters in own.items():
        if kind in MADE_KINDS:
            _require(promoters, None, kind, part)
            made = made_windows(kind, promoters, options.room, options.seed)
            drawn[part] = _Draw(made, None)
            continue
        free = shrunk(regions[part], options.room)
        if options.reach:
            free = without(free, known.places, options.reach - 1)
        places = find_places(kind, free, promoters.geometry.length(), annotation)
        _require(promoters, places, kind, part)
        drawn[part] = _Draw(draw_matched(promoters, places, random), places)
    return drawn


def _require(promoters: Sites, places: Places | None, kind: Kind, part: str) -> None:
    if not len(promoters):
        raise UserError(
            f"{promoters.genome.name}: no promoter lies in the part '{part}': choose smaller "
            "blocks, or give more start sites"
        )
    if places and len(places.starts) < len(promoters):
        raise UserError(
            f"{promoters.genome.name}: {len(promoters):,} promoters and {len(places.starts):,} "
            f"places for '{kind}' windows lie in the part '{part}': choose smaller blocks, or a "
            "shorter reach, or another kind"
        )


def _unrelated(
    own: dict[str, Sites], drawn: dict[Kind, dict[str, _Draw]], options: NegativeOptions
) -> tuple[dict[str, dict[Kind, Sites | MadeWindows]], dict[str, np.ndarray], list[str]]:
    """Negatives by part and kind, and which rows of a part share no 16-mer with a later part."""
    negatives, kept, notes, later = {}, {}, [], []
    for part in reversed(PARTS):
        draws = {kind: of_parts[part] for kind, of_parts in drawn.items()}
        negatives[part], own_notes = _redrawn(part, own[part], draws, later, options)
        columns = [own[part], *negatives[part].values()]
        texts = [text for sites in columns for text in sites.sequences(options.compared)]
        related = rows_sharing_kmers(texts, later).reshape(len(columns), -1).any(axis=0)
        kept[part] = ~related
        if later:
            own_notes.append(
                f"{related.sum():,} of {len(related):,} pairs were left out of {part}: a window of "
                f"theirs shares a {KMER_LENGTH}-mer with a later part"
            )
        later += [texts[row] for row in np.flatnonzero(np.tile(~related, len(columns)))]
        notes = own_notes + notes
    return negatives, kept, notes


def _redrawn(
    part: str,
    promoters: Sites,
    draws: dict[Kind, _Draw],
    later: list[str],
    options: NegativeOptions,
) -> tuple[dict[Kind, Sites | MadeWindows], list[str]]:
    """The negatives, those that share a 16-mer with a later part drawn anew if they can be."""

    def is_related(sites: Sites) -> np.ndarray:
        return rows_sharing_kmers(sites.sequences(options.compared), later)

    negatives, notes = {}, []
    for kind, (first, places) in draws.items():
        negatives[kind] = first
        if places is None or not later or not options.redraw:
            continue
        random = np.random.default_rng([options.seed, PARTS.index(part)])
        negatives[kind] = replace_refused(promoters, first, places, is_related, random)
        if count := np.count_nonzero(negatives[kind].places != first.places):
            notes.append(
                f"{count:,} '{kind}' windows of {part} were drawn anew: the first shared a "
                f"{KMER_LENGTH}-mer with a later part"
            )
    return negatives, notes


def _remarks(parts: dict[str, LabelledSites]) -> list[str]:
    """How far negatives from the genome are from what one would wish."""
    notes = []
    for name, part in parts.items():
        if part.loci is None:
            continue
        letters = part.promoters.geometry.length()
        gc = [gc_content(sites.sequences()) for sites in (part.promoters, part.negatives)]
        apart = np.abs(np.rint((gc[0] - gc[1]) * letters))
        if apart.any():
            notes.append(
                f"{np.count_nonzero(apart):,} of {len(part):,} pairs of {name} differ in G and C, "
                f"by up to {int(apart.max())} bp: no better position was left"
            )
        if 2 * part.loci < len(part):
            notes.append(
                f"the {len(part):,} negatives of {name} cover {part.loci:,} intervals of the "
                "genome: within one they overlap"
            )
    return notes
