"""Shared k-mers: which sequences are so alike that a model could remember instead of learn.

Two sequences that share a stretch of k letters on either strand count as related. Overlapping
windows of one genome, close homologues and verbatim copies share 16-mers; two random promoters
almost never do (4¹⁶ = 4.3·10⁹ words). In large sets of long sequences some pair always does by
chance, which matters when relatives of relatives are grouped: see `kmer_length_for`.

Every k-mer is a 2-bit code (`ntjax.sequences.kmers`) and *canonical*: the smaller of its own code
and that of its reverse complement. Windows that hold N are skipped. A sequence without any k-mer
(shorter than k, or with an N in every window) is one unit of its own: it is shared only with
sequences that equal it, or its reverse complement, from end to end.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ntjax.errors import UserError
from ntjax.sequences.alphabet import BASES, base_codes, reverse_complement
from ntjax.sequences.kmers import LONGEST_KMER, canonical_codes, find_sorted, whole_windows

KMER_LENGTH = 16
"""Length of the shared stretch that makes two sequences related, in letters."""

_WHOLE_SEQUENCE = np.uint64(1 << 63)  # no k-mer reaches this bit
_CHANCE_PARTNERS = 0.25
_LETTERS_AT_ONCE = 1 << 22  # bounds the working memory to about 100 MB


def canonical_kmers(
    sequences: Sequence[str], k: int = KMER_LENGTH
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical codes of all k-mers of all sequences.

    Arguments:
        sequences: upper-case sequences of A, C, G, T and N.
        k: length in letters, 1 to 31.

    Returns:
        codes, uint64 `[kmers]`, and owners, int64 `[kmers]`: the index of the sequence that holds
        each. A k-mer that occurs twice in a sequence is listed twice. Owners ascend.

    Raises:
        UserError: k is not between 1 and 31.
    """
    if not 1 <= k <= LONGEST_KMER:
        raise UserError(f"k-mers can be 1 to {LONGEST_KMER} letters long, not {k}")
    codes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for first, last in _batches(sequences):
        batch_codes, batch_owners = _kmers_of_batch(sequences[first:last], k)
        codes.append(batch_codes)
        owners.append(batch_owners + first)
    return np.concatenate(codes), np.concatenate(owners)


def rows_sharing_kmers(
    queries: Sequence[str], references: Sequence[str], k: int = KMER_LENGTH
) -> np.ndarray:
    """Which queries share a k-mer, on either strand, with any of the references.

    Returns:
        bool `[queries]`.
    """
    known = np.unique(canonical_kmers(references, k)[0])
    codes, owners = canonical_kmers(queries, k)
    shared = np.zeros(len(queries), bool)
    shared[owners[find_sorted(known, codes)[1]]] = True
    return shared


def shared_kmer_groups(sequences: Sequence[str], k: int = KMER_LENGTH) -> np.ndarray:
    """Groups of sequences that share k-mers with each other, directly or through others.

    The second sequence here is the reverse complement of the first:

    >>> shared_kmer_groups(["AACCGGTTTA", "TAAACCGGTT", "GGGGGGGGGG"], k=8).tolist()
    [0, 0, 1]

    Returns:
        int64 `[sequences]`: group numbers in order of appearance, from 0.
    """
    return linked_groups(*kmer_links(*canonical_kmers(sequences, k)), len(sequences))


def kmer_links(codes: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Links that connect all owners of each code: a chain through them, no list of all pairs.

    Arguments:
        codes: uint64 [kmers].
        owners: int64 [kmers].

    Returns:
        one end and the other of every link, int64 [links] each.
    """
    order = np.argsort(codes)
    codes, owners = codes[order], owners[order]
    linked = (codes[1:] == codes[:-1]) & (owners[1:] != owners[:-1])
    return owners[:-1][linked], owners[1:][linked]


def linked_groups(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """Groups of rows that links connect, directly or through others.

    Arguments:
        left: int64 [links], row at one end.
        right: int64 [links], row at the other.
        size: number of rows.

    Returns:
        int64 [rows]: group numbers in order of appearance, from 0.
    """
    links = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    _, first_seen, component = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first_seen), np.int64)
    rank[np.argsort(first_seen)] = np.arange(len(first_seen))
    return rank[component]


def joined_groups(several: Sequence[np.ndarray]) -> np.ndarray:
    """Join numberings of groups, int64 [rows] each: rows of one group in any of them share one.

    >>> joined_groups([np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])]).tolist()
    [0, 0, 0, 1]

    Returns:
        int64 [rows]: group numbers in order of appearance, from 0.
    """
    firsts = []
    for groups in several:
        _, first, number = np.unique(groups, return_index=True, return_inverse=True)
        firsts.append(first[number])
    rows = len(several[0])
    left = np.tile(np.arange(rows), len(several))
    return linked_groups(left, np.concatenate(firsts), rows)


def most_common_kmer(sequences: Sequence[str], k: int = KMER_LENGTH) -> tuple[str, int]:
    """The k-mer that the most sequences hold, on either strand.

    Returns:
        its letters, as they stand in the first sequence that holds it, and the number of
        sequences that hold it. Of equally common ones, that with the smallest code.

    Raises:
        ValueError: there are no sequences.
    """
    codes, owners = canonical_kmers(sequences, k)
    order = np.lexsort((owners, codes))
    codes, owners = codes[order], owners[order]
    repeated = np.zeros(len(codes), bool)  # within one sequence
    repeated[1:] = (codes[1:] == codes[:-1]) & (owners[1:] == owners[:-1])
    codes, owners = codes[~repeated], owners[~repeated]
    distinct, first, counts = np.unique(codes, return_index=True, return_counts=True)
    best = int(np.argmax(counts))
    holder = sequences[owners[first[best]]]
    if distinct[best] >= _WHOLE_SEQUENCE:
        return holder, int(counts[best])
    kmer = _letters_of(int(distinct[best]), k)
    return kmer if kmer in holder else reverse_complement([kmer])[0], int(counts[best])


def kmer_length_for(sequences: Sequence[str]) -> int:
    """The shortest k, 16 at least, that chance alone does not link everything by.

    With w windows in all, a sequence of v windows has about 2 v w / 4ᵏ relatives by chance. Near
    one relative each, a single group suddenly takes in most of the set (the giant component of a
    random graph); k grows until there are at most 0.25. That is 16 for 15,000 promoters of 81
    letters and 18 for 30,000 sequences of 500.
    """
    windows = sum(max(len(sequence) - KMER_LENGTH + 1, 0) for sequence in sequences)
    pairs = 2 * windows * windows / max(len(sequences), 1)
    k = KMER_LENGTH
    while pairs / 4**k > _CHANCE_PARTNERS:
        k += 1
    return k


def _batches(sequences: Sequence[str]) -> list[tuple[int, int]]:
    """Cut the list into ranges of at most about `_LETTERS_AT_ONCE` letters."""
    if not len(sequences):
        return []
    ends = np.cumsum([len(sequence) + 1 for sequence in sequences])
    cuts = np.flatnonzero(np.diff(ends // _LETTERS_AT_ONCE)) + 1
    edges = [0, *cuts.tolist(), len(sequences)]
    return list(pairwise(edges))


def _kmers_of_batch(sequences: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(sequence) for sequence in sequences])
    # One N behind every sequence: no window that crosses a border is ever counted.
    bases = base_codes("N".join(sequences) + "N")
    starts = np.flatnonzero(whole_windows(bases, k))
    codes = canonical_codes(bases, k)[starts]
    owners = np.repeat(np.arange(len(sequences)), lengths + 1)[starts]

    without = np.setdiff1d(np.arange(len(sequences)), owners)
    if not len(without):
        return codes, owners
    whole = np.array([_whole_sequence_code(sequences[index]) for index in without], np.uint64)
    codes, owners = np.concatenate((codes, whole)), np.concatenate((owners, without))
    order = np.argsort(owners, kind="stable")
    return codes[order], owners[order]


def _whole_sequence_code(sequence: str) -> int:
    """Hash a sequence that has no k-mer, the same for both strands, outside the k-mers' range."""
    canonical = min(sequence, *reverse_complement([sequence]))
    digest = hashlib.blake2b(canonical.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") | int(_WHOLE_SEQUENCE)


def _letters_of(code: int, k: int) -> str:
    return "".join(BASES[code >> 2 * place & 3] for place in reversed(range(k)))
