"""Where sequences stand in a genome, letter for letter."""

from collections.abc import Iterator, Sequence

import numpy as np

from ntjax.genomes.store import Genome
from ntjax.genomes.windows import read_windows
from ntjax.io.files import release
from ntjax.sequences.kmers import LONGEST_KMER, kmer_codes, whole_windows

_LETTERS_AT_ONCE = 1 << 22  # bounds the working memory to about 150 MB


def occurrences(genome: Genome, patterns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every place at which a pattern stands, on the strand that the file holds.

    The genome is read once for all patterns of 31 letters and more, and once for each shorter
    length.

    Arguments:
        patterns: uint8 [letters] each, 0 to 3 for A, T, C, G, of any length from 1.

    Returns:
        first places, int64 [occurrences], and numbers of the patterns, int64 [occurrences]. None
        reaches from one contig into the next.
    """
    lengths = np.array([len(pattern) for pattern in patterns], np.int64)
    anchors = np.minimum(lengths, LONGEST_KMER)
    places, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for anchor in np.unique(anchors).tolist():
        of = np.flatnonzero(anchors == anchor)
        heads = np.concatenate([patterns[number][:anchor] for number in of])
        wanted = kmer_codes(heads, anchor)[::anchor]
        for begun, which in _anchored(genome, wanted, anchor):
            which = of[which]
            equal = _equal(genome, begun, [patterns[number] for number in which], lengths[which])
            places.append(begun[equal])
            numbers.append(which[equal])
    return np.concatenate(places), np.concatenate(numbers)


def _anchored(
    genome: Genome, wanted: np.ndarray, anchor: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of `wanted` codes [patterns] and their numbers, piece by piece of the genome."""
    order = np.argsort(wanted, kind="stable")
    wanted = wanted[order]
    for begin in range(0, len(genome.letters) - anchor + 1, _LETTERS_AT_ONCE):
        piece = np.asarray(genome.letters[begin : begin + _LETTERS_AT_ONCE + anchor - 1])
        codes = kmer_codes(piece, anchor)
        low = np.searchsorted(wanted, codes)
        known = wanted[np.minimum(low, len(wanted) - 1)] == codes
        hit = np.flatnonzero(known & whole_windows(piece, anchor))
        low = low[hit]
        counts = np.searchsorted(wanted, codes[hit], side="right") - low
        release(genome.letters)
        yield begin + np.repeat(hit, counts), order[repeated_ranges(low, counts)]


def repeated_ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`first`, `first + 1`, ... of each range [ranges], `counts` [ranges] numbers of each."""
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + within


def _equal(
    genome: Genome, places: np.ndarray, patterns: list[np.ndarray], lengths: np.ndarray
) -> np.ndarray:
    """Whether each pattern stands at its place, in one contig, bool [places]."""
    borders = np.array([contig.end for contig in genome.contigs])
    contig = np.searchsorted(borders, places, side="right")
    equal = places + lengths <= borders[contig]
    for length in np.unique(lengths[equal]).tolist():
        rows = np.flatnonzero(equal & (lengths == length))
        windows = read_windows(genome, places[rows], length)
        equal[rows] = (windows == np.stack([patterns[row] for row in rows])).all(axis=1)
    return equal
