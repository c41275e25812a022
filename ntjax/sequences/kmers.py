"""k-mers as numbers: two bits a base, the first base counts most."""

import numpy as np

from ntjax.sequences.alphabet import UNKNOWN, complement

LONGEST_KMER = 31  # bit 63 of a code stays free for those who need a mark


def kmer_codes(bases: np.ndarray, k: int) -> np.ndarray:
    """Code of every window of k bases, uint64 [n - k + 1].

    Arguments:
        bases: uint8 [n], codes as `ntjax.sequences.alphabet.base_codes` gives them. The codes of
            windows with anything above 3 mean nothing: see `whole_windows`.
        k: 1 to 31.
    """
    return _joined(bases, k, first_counts_most=True)


def canonical_codes(bases: np.ndarray, k: int) -> np.ndarray:
    """The smaller of each window's code and that of its reverse complement, uint64 [n - k + 1].

    Arguments:
        bases: uint8 [n], as of `kmer_codes`.
        k: 1 to 31.
    """
    forward = _joined(bases, k, first_counts_most=True)
    reverse = _joined(complement(bases), k, first_counts_most=False)
    return np.minimum(forward, reverse, out=forward)


def _joined(bases: np.ndarray, k: int, first_counts_most: bool) -> np.ndarray:
    codes = bases.astype(np.uint64) & np.uint64(3)
    width = 1
    while width < k:
        # Two windows make one of up to twice the width. Where they overlap, both say the same.
        step = min(width, k - width)
        high, low = codes[:-step], codes[step:]
        if not first_counts_most:
            high, low = low, high
        codes = high << np.uint64(2 * step)
        codes |= low
        width += step
    return codes


def whole_windows(bases: np.ndarray, k: int) -> np.ndarray:
    """Which windows of k bases hold nothing unknown, bool [n - k + 1]."""
    is_known = bases < UNKNOWN
    windows = max(len(bases) - k + 1, 0)
    if is_known.all():
        return np.ones(windows, bool)
    known = np.concatenate([[0], np.cumsum(is_known, dtype=np.int64)])
    return known[k:] - known[: len(known) - k] == k if windows else np.zeros(0, bool)


def find_sorted(known: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look codes up among known ones.

    Arguments:
        known: uint64 [known], ascending.
        codes: uint64 [codes].

    Returns:
        where each would stand in `known`, int64 [codes] (one that is larger than all, at the last),
        and whether it does stand there, bool [codes].
    """
    if not len(known):
        return np.zeros(len(codes), np.int64), np.zeros(len(codes), bool)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return places, known[places] == codes
