"""Windows read in each phase of the k-mers, and which token holds which base.

A k-mer model reads a window in k ways, by where the first k-mer begins. In phase p the first p
bases are dropped, and the end is cut so that only whole k-mers are left. Where N interrupts a
window the tokenizer begins anew behind it, as it does in all sequences.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntjax.sequences.alphabet import BASES, UNKNOWN, base_texts
from ntjax.sequences.tokenizer import Tokenizer


class PhaseTokens(NamedTuple):
    """Windows in one phase.

    Attributes:
        ids: int32 [windows, tokens], padded.
        spans: int64 [windows, 2], first token over the site and the token behind its last one;
            0, 1 where the phase does not hold the site.
        held: bool [windows], whether all bases of the site are in these tokens.
        offsets: int64 [windows], index of the site's first base in its token.
    """

    ids: np.ndarray
    spans: np.ndarray
    held: np.ndarray
    offsets: np.ndarray


def phase_tokens(
    tokenizer: Tokenizer, windows: np.ndarray, sites: np.ndarray, phase: int
) -> PhaseTokens:
    """Read windows in a phase.

    >>> from ntjax.sequences.alphabet import code_matrix
    >>> tokenizer = Tokenizer.for_vocabulary_size(4107, k=6)
    >>> windows = code_matrix(["ACGTACGTACGTACGTAC"])
    >>> read = phase_tokens(tokenizer, windows, np.array([[7, 8]]), phase=2)
    >>> tokenizer.decode(read.ids), read.spans.tolist(), read.offsets.tolist()
    (['GTACGTACGTAC'], [[1, 2]], [5])

    Arguments:
        tokenizer: of the model.
        windows: uint8 [windows, bases], codes 0 to 4.
        sites: int64 [windows, 2], first base of each site and the base behind its last one.
        phase: bases dropped from the left, less than k.
    """
    k = tokenizer.k
    kmers = (windows.shape[1] - phase) // k
    codes = windows[:, phase : phase + k * kmers]
    low, high = sites[:, 0] - phase, sites[:, 1] - phase
    held = (low >= 0) & (high <= k * kmers)
    texts = base_texts(codes)
    ids = tokenizer.encode(texts)
    spans = np.stack([1 + low // k, 2 + (high - 1) // k], axis=1)
    offsets = low % k
    for row in np.flatnonzero((codes >= UNKNOWN).any(axis=1) & held):
        tokens = token_of_base(texts[row], k)
        spans[row] = tokens[low[row]], tokens[high[row] - 1] + 1
        offsets[row] = low[row] - np.searchsorted(tokens, spans[row, 0])
    spans[~held] = 0, 1
    return PhaseTokens(ids, spans, held, offsets)


def token_of_base(text: str, k: int) -> np.ndarray:
    """Tell which token holds each base of a sequence, `<cls>` being token 0.

    >>> token_of_base("ACGTACGTNACGTAC", 6).tolist()
    [1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5]

    Arguments:
        text: of A, C, G, T and N, in upper case.
        k: bases of a k-mer.

    Returns:
        int64 [bases], which never falls.
    """
    tokens, behind = np.empty(len(text), np.int64), 1
    for found in re.finditer("N|[^N]+", text):
        index = np.arange(found.end() - found.start())
        whole = 0 if found[0] == "N" else len(index) // k
        own = np.minimum(index // k, whole) + np.maximum(index - whole * k, 0)
        tokens[slice(*found.span())] = behind + own
        behind += whole + len(index) - whole * k
    return tokens


def most_tokens(tokenizer: Tokenizer, windows: np.ndarray, phases: Sequence[int]) -> np.ndarray:
    """Count the tokens of windows in the phase in which they have most, int64 [windows]."""
    k, counts = tokenizer.k, []
    for phase in phases:
        kmers = (windows.shape[1] - phase) // k
        counts.append(tokenizer.count_tokens(base_texts(windows[:, phase : phase + k * kmers])))
    return np.max(counts, axis=0)


def is_whole_kmer(tokenizer: Tokenizer, ids: np.ndarray) -> np.ndarray:
    """Tell k-mers of A, C, G and T from other tokens, such as single bases: bool, as `ids`."""
    first = tokenizer.id_of("A" * tokenizer.k)  # all k-mers follow
    return (ids >= first) & (ids < first + len(BASES) ** tokenizer.k)


def base_kmers(tokenizer: Tokenizer, kmers: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Exchange one base of k-mers for each of the four.

    Arguments:
        tokenizer: of the model.
        kmers: int [n], ids of whole k-mers.
        offsets: int [n], index of the base in its k-mer.

    Returns:
        int32 [n, 4], ids with the base of code 0 to 3 in its place.
    """
    first = tokenizer.id_of("A" * tokenizer.k)  # the first k-mer: the code of A is 0
    power = 4 ** (tokenizer.k - 1 - offsets)
    numbers = kmers - first
    without = numbers - (numbers // power % 4) * power
    return (first + without[:, None] + power[:, None] * np.arange(4)).astype(np.int32)
