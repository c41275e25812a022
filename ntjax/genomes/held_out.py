"""Blocks of genomes that are kept out of training, to choose the checkpoint and to report with."""

import hashlib
from collections.abc import Mapping

import numpy as np

from ntjax.genomes.indexing import Genome
from ntjax.genomes.windows import Region


def split_blocks(
    genome: Genome, fractions: Mapping[str, float], block_letters: int, seed: int
) -> dict[str, Region]:
    """A genome in parts made of whole blocks, each part a region.

    Every contig is cut into blocks of `block_letters`. Which part a block goes to is drawn from
    the seed, the contig's name and the block's number, so that neither other genomes nor the
    order of files change it. A genome of a block for each part or more has at least one in each.

    Arguments:
        fractions: share of the blocks of the parts besides `train`, which gets the rest.
    """
    blocks, draws = [], []
    for contig in genome.contigs:
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


def joined(intervals: np.ndarray) -> np.ndarray:
    """Intervals [n, 2] sorted, those that touch or overlap made one.

    Two contigs may touch in a store; the intersection with its stretches parts them again.
    """
    intervals = intervals[np.argsort(intervals[:, 0])]
    if not len(intervals):
        return intervals
    reached = np.maximum.accumulate(intervals[:, 1])
    begins = np.concatenate([[True], intervals[1:, 0] > reached[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([intervals[begins, 0], reached[ends]], axis=1)


def intersection(stretches: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """What two lists of sorted, disjoint intervals have in common, int64 [n, 2]."""
    first = np.searchsorted(stretches[:, 1], intervals[:, 0], side="right")
    behind = np.searchsorted(stretches[:, 0], intervals[:, 1], side="left")
    common = [
        (max(begin, int(stretches[number, 0])), min(end, int(stretches[number, 1])))
        for (begin, end), low, high in zip(intervals.tolist(), first, behind, strict=True)
        for number in range(low, high)
    ]
    return np.array(common, np.int64).reshape(-1, 2)
