"""Whole regions of genomes, read from beginning to end without holding them in memory."""

from collections.abc import Iterator

import numpy as np

from ntjax.genomes.store import UNKNOWN
from ntjax.genomes.windows import Region
from ntjax.io.mapped_memory import release

_BREAK = np.array([UNKNOWN], np.uint8)


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
