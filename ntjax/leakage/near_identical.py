"""Near-identical sequences: those that agree letter for letter but for a few.

Identity is counted as CD-HIT-EST counts it (Li & Godzik 2006, Bioinformatics 22:1658): equal
letters over the length of the shorter sequence, here in the best alignment without gaps at any
offset, on either strand. At 0.9, the usual threshold, two rows of 81 letters may differ in up to
eight: letters replaced, or left over at the ends, or some of both. Sequences of which one contains
the other have identity 1. N equals nothing, not even N.

An alignment with few differences holds a run without any: m equal letters and d differences make
at most d + 1 runs, one of them of ceil(m / (d + 1)) letters or more. Seeds of that length (9 for
81 letters at 0.9) miss no pair.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.search import repeated_ranges
from ntjax.sequences.alphabet import UNKNOWN, base_codes, reverse_complement
from ntjax.sequences.kmers import LONGEST_KMER, kmer_codes, whole_windows

IDENTITY = 0.9
"""From this identity on two sequences are near-identical: CD-HIT-EST's default."""

_CHANCE_HITS = 1 << 24
_HITS_AT_ONCE, _LETTERS_AT_ONCE = 1 << 20, 1 << 26
# What stands for N and behind the end: of two kinds, so that it equals nothing.
_QUERY_PADDING, _REFERENCE_PADDING = UNKNOWN, UNKNOWN + 1


class Seed(NamedTuple):
    """`length` of the seeds, in letters; `complete`: whether they miss no pair."""

    length: int
    complete: bool


def seed_for(queries: Sequence[str], references: Sequence[str], identity: float = IDENTITY) -> Seed:
    """The seeds that two sets are searched with.

    As short as it takes to miss no pair, unless that many letters would be shared by chance more
    than about 16 million times: then longer. Such seeds miss pairs whose differences are spread
    evenly; where they fall at random, a run of 16 is all but certain in some hundred letters.

    Raises:
        UserError: the identity is not above 0.5, or above 1.
    """
    if not 0.5 < identity <= 1:
        raise UserError(f"identity {identity:g}: it must be above 0.5 and at most 1")
    lengths = {len(sequence) for sequence in (*queries, *references)}
    certain = min((_certain_run(length, identity) for length in lengths), default=1)
    pairs = 2.0 * sum(map(len, queries)) * sum(map(len, references))
    length = certain = min(certain, LONGEST_KMER)
    while pairs / 4**length > _CHANCE_HITS:
        length += 1
    return Seed(length, length == certain)


def _certain_run(length: int, identity: float) -> int:
    equal = _equal_letters(length, identity)
    return math.ceil(equal / (length - equal + 1))


def _equal_letters(lengths: np.ndarray | int, identity: float) -> np.ndarray:
    """Letters that must be equal, of a shorter sequence of so many."""
    return np.ceil(np.asarray(lengths) * identity - 1e-9).astype(np.int64)  # 0.9 · 10 is 9


def near_identical_pairs(
    queries: Sequence[str], references: Sequence[str], identity: float = IDENTITY
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a query and a reference that are near-identical or equal, on either strand.

    They come in portions, so that memory does not grow with their number; a pair may come again.

    Arguments:
        queries: upper-case sequences of A, C, G, T and N.
        references: the same.
        identity: least share of equal letters, above 0.5.

    Yields:
        numbers of queries, int64 [pairs], and of references, int64 [pairs].

    Raises:
        UserError: the identity is not above 0.5, or above 1.
    """
    k = seed_for(queries, references, identity).length
    if not len(queries) or not len(references):
        return
    both = _letters([*queries, *reverse_complement(queries)], _QUERY_PADDING)
    known = _letters(references, _REFERENCE_PADDING)
    for hits in _seed_hits(both, known, k):
        hits = _distinct_alignments(hits, both, known, identity)
        near = _agreeing(hits, both, known, identity)
        yield hits.queries[near] % len(queries), hits.references[near]


class _Letters(NamedTuple):
    """Codes, uint8 [sequences, longest + 1], with padding behind the end, and lengths."""

    codes: np.ndarray
    lengths: np.ndarray


def _letters(sequences: Sequence[str], padding: int) -> _Letters:
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    codes = base_codes("".join(sequences))
    rows = np.full((len(sequences), lengths.max() + 1), padding, np.uint8)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = np.where(codes < UNKNOWN, codes, padding)
    return _Letters(rows, lengths)


class _Hits(NamedTuple):
    """Alignments: letter i of the reference stands below letter i + offset of the query."""

    queries: np.ndarray
    references: np.ndarray
    offsets: np.ndarray

    def take(self, rows: np.ndarray) -> "_Hits":
        return _Hits(*(column[rows] for column in self))


def _seed_hits(queries: _Letters, references: _Letters, k: int) -> Iterator[_Hits]:
    """Every shared k-mer, as the alignment that it suggests."""
    known, known_owners, known_places = _kmers(references, k)
    order = np.argsort(known, kind="stable")
    known, known_owners, known_places = known[order], known_owners[order], known_places[order]
    codes, owners, places = _kmers(queries, k)
    low = np.searchsorted(known, codes)
    counts = np.searchsorted(known, codes, side="right") - low
    at_once = max(1, min(_HITS_AT_ONCE, _LETTERS_AT_ONCE // queries.codes.shape[1]))
    portion = np.cumsum(counts) // at_once
    for chosen in np.split(np.arange(len(codes)), np.flatnonzero(np.diff(portion)) + 1):
        which = repeated_ranges(low[chosen], counts[chosen])
        of = np.repeat(chosen, counts[chosen])
        yield _Hits(owners[of], known_owners[which], places[of] - known_places[which])


def _kmers(letters: _Letters, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of all k-mers, the sequences that hold them, and where in these."""
    text = letters.codes.ravel()
    starts = np.flatnonzero(whole_windows(text, k))
    width = letters.codes.shape[1]
    return kmer_codes(text, k)[starts], starts // width, starts % width


def _distinct_alignments(
    hits: _Hits, queries: _Letters, references: _Letters, identity: float
) -> _Hits:
    """Each alignment once, without those whose overlap is too short for the identity."""
    own, other = queries.lengths[hits.queries], references.lengths[hits.references]
    overlap = np.minimum(own, other + hits.offsets) - np.maximum(hits.offsets, 0)
    hits = hits.take(overlap >= _equal_letters(np.minimum(own, other), identity))
    width = references.codes.shape[1]
    pairs = hits.queries * len(references.codes) + hits.references
    keys = pairs * (width + queries.codes.shape[1]) + hits.offsets + width
    return hits.take(np.unique(keys, return_index=True)[1])


def _agreeing(hits: _Hits, queries: _Letters, references: _Letters, identity: float) -> np.ndarray:
    """Which alignments have enough equal letters, bool [hits]."""
    equal = np.zeros(len(hits.offsets), np.int64)
    for offset in np.unique(hits.offsets).tolist():
        rows = np.flatnonzero(hits.offsets == offset)
        above, below = max(offset, 0), max(-offset, 0)
        width = min(queries.codes.shape[1] - above, references.codes.shape[1] - below)
        own = queries.codes[hits.queries[rows], above : above + width]
        equal[rows] = (own == references.codes[hits.references[rows], below : below + width]).sum(1)
    shorter = np.minimum(queries.lengths[hits.queries], references.lengths[hits.references])
    return equal >= _equal_letters(shorter, identity)
