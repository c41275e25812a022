"""Held-out windows whose sequence stands in the training genomes too.

Close relatives share much: of the 31-mers of *E. coli* K-12, 44% occur in *E. coli* 536. A window
that shares one with a training genome asks for memory, not for knowledge.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ntjax.genomes.regions import stretch_pieces
from ntjax.genomes.windows import Region
from ntjax.sequences.alphabet import UNKNOWN
from ntjax.sequences.kmers import LONGEST_KMER, canonical_codes, find_sorted, whole_windows

SHARED_LETTERS = 31
"""A shared stretch of so many letters is no chance: there are 4³¹ = 4.6·10¹⁸ of them."""

# Small pieces stay in the processor's cache; windows are coded many at a time.
_PIECE_LETTERS, _WINDOW_LETTERS = 1 << 17, 1 << 22
# Odd, with its bits in disorder (2⁶⁴ over the golden ratio): the top bits of a multiple of it
# depend on all bits of the code.
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


def windows_seen_in_training(
    windows: np.ndarray, training: Sequence[Region], k: int = SHARED_LETTERS
) -> np.ndarray:
    """Which windows have a k-mer, on either strand, that stands in some training stretch.

    Memory grows with the windows (about 40 bytes a letter), not with the training genomes.

    Arguments:
        windows: uint8 [n, letters], 0 to 3 for A, T, C, G; k-mers with anything else do not count.
        training: the regions that are learnt from.
        k: 1 to 31 letters, at most as many as a window has.

    Returns:
        bool [n].
    """
    if not 1 <= k <= min(LONGEST_KMER, windows.shape[1]):
        raise ValueError(f"k={k} does not fit windows of {windows.shape[1]} letters")
    codes = [np.unique(codes) for codes, _ in _coded_windows(windows, k)]
    wanted = np.unique(np.concatenate([np.zeros(0, np.uint64), *codes]))
    present = _occurring(wanted, training, k)
    seen = np.zeros(len(windows), bool)
    for codes, owners in _coded_windows(windows, k):
        places, _ = find_sorted(wanted, codes)
        seen[owners[present[places]]] = True
    return seen


def kmer_occurrences(
    windows: np.ndarray, regions: Sequence[Region], k: int = SHARED_LETTERS
) -> np.ndarray:
    """Count how often the k-mers of windows occur in regions, both strands as one.

    Arguments:
        windows: uint8 [n, letters], 0 to 3 for A, T, C, G.
        regions: where they are looked for.
        k: 1 to 31 letters, at most as many as a window has.

    Returns:
        int64 [n, letters - k + 1]; 0 for a k-mer that holds anything but A, C, G and T.
    """
    n, letters = windows.shape
    codes = np.zeros((n, letters - k + 1), np.uint64)
    known = np.zeros(codes.shape, bool)
    for row, window in enumerate(windows):
        codes[row], known[row] = canonical_codes(window, k), whole_windows(window, k)
    wanted = np.unique(codes[known])
    counts = np.zeros(len(wanted), np.int64)
    for places in _found(wanted, regions, k):
        np.add.at(counts, places, 1)
    places, _ = find_sorted(wanted, codes)
    return np.where(known, counts[places] if len(counts) else 0, 0)


def _coded_windows(windows: np.ndarray, k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Canonical k-mers [kmers] of windows and the number of the window [kmers], in batches."""
    n, letters = windows.shape
    rows = max(1, _WINDOW_LETTERS // (letters + 1))
    for first in range(0, n, rows):
        # An UNKNOWN behind each, so that no k-mer reaches into the next.
        batch = np.pad(windows[first : first + rows], ((0, 0), (0, 1)), constant_values=UNKNOWN)
        text = batch.reshape(-1)
        starts = np.flatnonzero(whole_windows(text, k))
        yield canonical_codes(text, k)[starts], first + starts // (letters + 1)


def _occurring(wanted: np.ndarray, training: Sequence[Region], k: int) -> np.ndarray:
    """Which of the codes `wanted` (ascending) occur in the regions, bool [wanted]."""
    present = np.zeros(len(wanted), bool)
    for places in _found(wanted, training, k):
        present[places] = True
    return present


def _found(wanted: np.ndarray, regions: Sequence[Region], k: int) -> Iterator[np.ndarray]:
    """Indices in `wanted` (ascending) of every k-mer of the regions that is there, in batches."""
    # Most of a genome is not wanted: a look at a table of a place for each hash, one in sixteen or
    # less of them set, spares the search for it.
    bits = int(np.clip(np.ceil(np.log2(16 * len(wanted) + 1)), 10, 27))
    table = np.zeros(1 << bits, bool)
    table[_hashes(wanted, bits)] = True
    for region in regions:
        for piece in stretch_pieces(region, k, _PIECE_LETTERS):
            codes = canonical_codes(piece, k)
            candidates = codes[table[_hashes(codes, bits)] & whole_windows(piece, k)]
            places, found = find_sorted(wanted, candidates)
            yield places[found]


def _hashes(codes: np.ndarray, bits: int) -> np.ndarray:
    return (codes * _MIX >> np.uint64(64 - bits)).view(np.int64)
