"""Regions of a genome: in blocks, shrunk, without what lies around positions, read in pieces."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ntjax.genomes.intervals import intersection, joined
from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import Region
from ntjax.io.files import release
from ntjax.sequences.alphabet import UNKNOWN

_BREAK = np.array([UNKNOWN], np.uint8)


def whole_genome(genome: Genome) -> Region:
    """All of a genome but its N."""
    return Region(genome, genome.stretches)


def without(region: Region, places: np.ndarray, reach: int) -> Region:
    """The region but for the letters at `places` [n] and up to `reach` letters from them."""
    places = np.unique(places)
    starts = np.concatenate([[0], places + reach + 1])
    ends = np.concatenate([places - reach, [len(region.genome.letters)]])
    left = np.stack([starts, ends], axis=1)[starts < ends]
    return replace(region, stretches=intersection(region.stretches, left))


def with_room(region: Region, length: int) -> Region:
    """Keep the runs free of N that hold a window of so many bases."""
    runs = region.stretches
    return replace(region, stretches=runs[runs[:, 1] - runs[:, 0] >= length])


def shrunk(region: Region, letters: int) -> Region:
    """The region without so many letters at both ends of every stretch."""
    stretches = region.stretches + np.array([letters, -letters])
    return replace(region, stretches=stretches[stretches[:, 0] < stretches[:, 1]])


def holds(region: Region, starts: np.ndarray, letters: int) -> np.ndarray:
    """Whether windows of so many letters that begin at `starts` lie in one stretch, bool [n]."""
    if not len(region.stretches):
        return np.zeros(len(starts), bool)
    stretch = np.searchsorted(region.stretches[:, 0], starts, side="right") - 1
    first, end = region.stretches[stretch].T
    return (stretch >= 0) & (first <= starts) & (starts + letters <= end)


def stretch_pieces(region: Region, window: int, letters_at_once: int) -> Iterator[np.ndarray]:
    """The letters of a region's stretches, piece by piece, uint8 [letters].

    A piece may hold several stretches, each with an UNKNOWN behind it; a long stretch may be cut
    into several pieces. Every window that lies in a stretch is in exactly one piece.

    Arguments:
        window: letters of the windows.
        letters_at_once: a piece has less than twice as many, and a window.
    """
    letters = np.asarray(region.genome.letters)
    parts, waiting = [], 0
    for start, end in region.stretches.tolist():
        for begin in range(start, end - window + 1, letters_at_once):
            part = letters[begin : min(begin + letters_at_once + window - 1, end)]
            parts += [part, _BREAK]
            waiting += len(part) + 1
            if waiting >= letters_at_once:
                yield np.concatenate(parts)
                release(region.genome.letters)
                parts, waiting = [], 0
    if parts:
        yield np.concatenate(parts)
        release(region.genome.letters)


def split_blocks(
    genome: Genome,
    fractions: Mapping[str, float],
    block_letters: int,
    seed: int,
    window: int = 1,
) -> dict[str, Region]:
    """A genome in parts made of whole blocks, each part a region.

    Every contig is cut into blocks of `block_letters`. Which part a block goes to is drawn from
    the seed, the contig's name and the block's number, so that neither other genomes nor the
    order of files change it. A genome of a block for each part or more has at least one in each.

    Arguments:
        fractions: share of the blocks of the parts besides `train`, which gets the rest.
        window: contigs without a run of so many known bases belong to no part, so that a draft
            assembly's many short contigs do not use up the parts' shares.
    """
    blocks, draws = [], []
    for contig in _contigs_with_room(genome, window):
        edges = np.arange(contig.start, contig.end, block_letters)
        ends = np.minimum(edges + block_letters, contig.end)
        blocks.append(np.stack([edges, ends], axis=1))
        draws.append(_draws(contig.name, len(edges), seed))
    blocks, draws = np.concatenate(blocks), np.concatenate(draws)
    order = blocks[np.argsort(draws)]
    counts = _counts(len(order), fractions, draws.min())
    bounds = np.cumsum([0, *counts.values()])
    parts = {part: order[bounds[n] : bounds[n + 1]] for n, part in enumerate(counts)}
    parts["train"] = order[bounds[-1] :]
    return {
        part: Region(genome, intersection(genome.stretches, joined(chosen)))
        for part, chosen in parts.items()
    }


def _contigs_with_room(genome: Genome, window: int) -> Sequence[Contig]:
    """The contigs that hold a window; all of them if none does."""
    runs = with_room(whole_genome(genome), window).stretches
    holding = np.unique(genome.contig_numbers(runs[:, 0]))
    return [genome.contigs[number] for number in holding] or genome.contigs


def _counts(blocks: int, fractions: Mapping[str, float], draw: float) -> dict[str, int]:
    """Blocks of each part but `train`; of very few blocks, one as often as its share says."""
    if blocks > len(fractions):
        return {part: max(1, round(share * blocks)) for part, share in fractions.items()}
    bounds = np.cumsum([0.0, *fractions.values()]) * blocks
    return {
        part: int(bounds[number] <= draw < bounds[number + 1])
        for number, part in enumerate(fractions)
    }


def _draws(name: str, count: int, seed: int) -> np.ndarray:
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, np.uint32)]).random(count)
