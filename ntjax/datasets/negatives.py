"""What promoters are told from: random letters, shuffled promoters, or places of their genome.

Random letters are told from promoters by anyone who knows natural DNA, and shuffled ones by anyone
who knows its words. Windows of the same genome, with as many G and C, far from every known TSS,
ask for more, and the more so the less of it is coding sequence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.annotation import Annotation, between_genes
from ntjax.genomes.intervals import joined
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import holds
from ntjax.genomes.windows import Region
from ntjax.sequences.alphabet import BASES, base_texts
from ntjax.sequences.shuffles import shuffled_keeping_dinucleotides

MadeKind = Literal["iid", "shuffled"]
PlaceKind = Literal["genomic", "cds", "convergent", "intergenic"]
Kind = Literal[MadeKind, PlaceKind]
MADE_KINDS: tuple[Kind, ...] = get_args(MadeKind)
KINDS: tuple[Kind, ...] = get_args(Kind)

_ROUNDS = 20
_STRONG = BASES.index("C")  # C and G are the last two codes


@dataclass(frozen=True)
class MadeWindows:
    """Sequences that stand nowhere in the genome, one for each of some promoters.

    A sequence depends on the seed and on its promoter alone (`iid`: and on the shares), not on
    the other rows. It is made anew for each size of context.

    Attributes:
        kind: "iid", letters drawn independently; "shuffled", the promoter's own letters in a
            random order that keeps the number of each dinucleotide.
        models: the promoters.
        shares: of A, T, C and G, [4], for "iid".
        seed: not negative.
    """

    kind: MadeKind
    models: Sites
    shares: np.ndarray
    seed: int

    def __len__(self) -> int:
        return len(self.models)

    def take(self, rows: np.ndarray) -> "MadeWindows":
        """Those of the given rows."""
        return replace(self, models=self.models.take(rows))

    def windows(self, context: int = 0) -> np.ndarray:
        """As `Sites.windows`, uint8 [promoters, letters]."""
        windows = self.models.windows(context)
        for row, random in enumerate(self._generators()):
            if self.kind == "iid":
                windows[row] = random.choice(len(self.shares), windows.shape[1], p=self.shares)
            else:
                windows[row] = shuffled_keeping_dinucleotides(windows[row], random)
        return windows

    def _generators(self) -> Iterator[np.random.Generator]:
        """One for each promoter."""
        kind = MADE_KINDS.index(self.kind)
        for place, reverse in zip(self.models.places, self.models.reverse, strict=True):
            yield np.random.default_rng([self.seed, kind, int(place), int(reverse)])

    def sequences(self, context: int = 0) -> list[str]:
        """The windows as text."""
        return base_texts(self.windows(context))

    def names(self) -> list[str]:
        """Such as `NC_000913.3:12345:+:shuffled`: the promoter's, and the kind."""
        return [f"{name}:{self.kind}" for name in self.models.names()]


def made_windows(kind: MadeKind, promoters: Sites, context: int, seed: int) -> MadeWindows:
    """A sequence for each promoter; "iid" has the shares of letters of all their windows."""
    counts = np.bincount(promoters.windows(context).ravel(), minlength=len(BASES))
    return MadeWindows(kind, promoters, counts / counts.sum(), seed)


class Places(NamedTuple):
    """Where windows can begin: places, int64 [n], and strands, int8 [n]: 1, -1, 0 for either."""

    starts: np.ndarray
    strands: np.ndarray

    def take(self, rows: np.ndarray) -> "Places":
        """Those of the given rows."""
        return Places(self.starts[rows], self.strands[rows])


def find_places(
    kind: PlaceKind, free: Region, letters: int, annotation: Annotation | None
) -> Places:
    """All places of a kind for windows of so many letters.

    `genomic`: anywhere in `free`. `cds`: within one CDS, read in its direction; places that lie
    in a CDS of the other strand too are left out. `intergenic`: outside any gene of either strand.
    `convergent`: within the gap between two genes that point at each other; where the gap is
    shorter than a window, the one window that is centred on it and overlaps the genes' ends.

    Arguments:
        free: what windows may lie in.

    Raises:
        UserError: the kind needs an annotation.
    """
    if kind == "genomic":
        starts = free.places(np.arange(free.count(letters)), letters)
        return Places(starts, np.zeros(len(starts), np.int8))
    if annotation is None:
        raise UserError(f"negatives of kind '{kind}' need an annotation: give --annotation GFF")
    if kind == "cds":
        return _coding(free, letters, annotation)
    bounds, convergent = between_genes(annotation)
    starts = _within(free, bounds[convergent] if kind == "convergent" else bounds, letters)
    if kind == "convergent":
        short = bounds[convergent & (np.diff(bounds)[:, 0] < letters)]
        centred = (short.sum(axis=1) - letters) // 2
        centred = centred[holds(free, centred, letters)]
        starts = np.sort(np.concatenate([starts, centred]))
    return Places(starts, np.zeros(len(starts), np.int8))


def _coding(free: Region, letters: int, annotation: Annotation) -> Places:
    forward, reverse = (
        _within(free, annotation.coding.bounds[annotation.coding.strands == strand], letters)
        for strand in (1, -1)
    )
    starts = np.setxor1d(forward, reverse, assume_unique=True)
    return Places(starts, np.where(np.isin(starts, forward), 1, -1).astype(np.int8))


def _within(free: Region, bounds: np.ndarray, letters: int) -> np.ndarray:
    """Starts of the windows that lie in `free` and within one of `bounds` [n, 2], ascending."""
    starts = bounds + np.array([0, 1 - letters])
    starts = Region(free.genome, joined(starts[starts[:, 0] < starts[:, 1]]))
    places = starts.places(np.arange(starts.count(1)), 1)
    return places[holds(free, places, letters)]


def draw_matched(promoters: Sites, places: Places, random: np.random.Generator) -> Sites:
    """A window for each promoter with as many G and C, or the nearest number left.

    No place is taken twice. Where a place is good for either strand, one is drawn.

    Arguments:
        places: at least as many as promoters.
    """
    geometry = promoters.geometry
    letters = geometry.length()
    strong = np.concatenate([[0], np.cumsum(promoters.genome.letters >= _STRONG, dtype=np.int32)])
    wanted = (promoters.windows() >= _STRONG).sum(axis=1)
    found = (strong[letters:] - strong[:-letters])[places.starts]
    rows = _matched(wanted, found, random)
    reverse = random.random(len(rows)) < 0.5
    strands = places.strands[rows]
    reverse = np.where(strands == 0, reverse, strands < 0)
    return Sites(promoters.genome, places.starts[rows] + geometry.lead(reverse), reverse, geometry)


def replace_refused(
    promoters: Sites,
    negatives: Sites,
    places: Places,
    is_refused: Callable[[Sites], np.ndarray],
    random: np.random.Generator,
) -> Sites:
    """The negatives, those that are refused replaced by others as `draw_matched` draws them.

    After 20 rounds, or where no place is left, those that are refused stay.

    Arguments:
        negatives: one for each promoter.
        places: that they were drawn from.
        is_refused: says so of windows, bool [windows].
    """
    refused = np.flatnonzero(is_refused(negatives))
    for _ in range(_ROUNDS):
        # What was refused in earlier rounds stays out, for it was taken then.
        places = places.take(~np.isin(places.starts, negatives.starts()))
        refused = refused[: len(places.starts)]
        if not len(refused):
            break
        found = draw_matched(promoters.take(refused), places, random)
        negatives = negatives.replaced(refused, found)
        refused = refused[is_refused(found)]
    return negatives


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
