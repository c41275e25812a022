import time
from itertools import product

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.leakage.kmer_groups import (
    canonical_kmers,
    kmer_length_for,
    most_common_kmer,
    rows_sharing_kmers,
    shared_kmer_groups,
)

COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def reverse_complement(sequence):
    return "".join(COMPLEMENT[letter] for letter in reversed(sequence))


def random_sequences(count, length, seed, letters="ACGT"):
    chosen = np.random.default_rng(seed).integers(0, len(letters), (count, length))
    return ["".join(letters[letter] for letter in row) for row in chosen]


def naive_units(sequence, k):
    """All that a sequence shares with its relatives, as text: k-mers or, without any, the whole."""
    kmers = {sequence[start : start + k] for start in range(len(sequence) - k + 1)}
    kmers = {min(kmer, reverse_complement(kmer)) for kmer in kmers if "N" not in kmer}
    return kmers or {"whole:" + min(sequence, reverse_complement(sequence))}


def naive_groups(sequences, k):
    """Union-find over all pairs."""
    units = [naive_units(sequence, k) for sequence in sequences]
    parent = list(range(len(sequences)))

    def root(index):
        while parent[index] != index:
            index = parent[index]
        return index

    for left in range(len(sequences)):
        for right in range(left):
            if units[left] & units[right]:
                parent[root(left)] = root(right)
    numbers = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(sequences))]


def mixed_lengths(seed, letters="ACGT"):
    pieces = random_sequences(60, 30, seed, letters)
    lengths = np.random.default_rng(seed).integers(1, 31, 60)
    return [piece[:length] for piece, length in zip(pieces, lengths, strict=True)]


def test_codes_and_owners_of_a_short_example():
    codes, owners = canonical_kmers(["ACG", "TT", "ANGGT"], k=2)

    # A, T, C, G are 0 to 3: AC = 0·4+2, CG = 2·4+3; TT is AA = 0; GG is CC = 10, GT is AC = 2
    assert codes.tolist() == [2, 11, 0, 10, 2]
    assert owners.tolist() == [0, 0, 1, 2, 2]
    assert codes.dtype == np.uint64
    assert owners.dtype == np.int64


def test_first_letters_count_most_at_sixteen():
    codes, _ = canonical_kmers(["ACGTACGTACGTACGA"])
    assert codes.tolist() == [int("0231023102310230", 4)]


@pytest.mark.parametrize("k", [1, 4, 15, 31])
def test_equal_codes_are_equal_canonical_kmers(k):
    sequences = random_sequences(40, 34, seed=k, letters="ACGTN"[: 4 + (k < 5)])
    codes, owners = canonical_kmers(sequences, k)
    kmers = [
        (min(kmer, reverse_complement(kmer)), row)
        for row, sequence in enumerate(sequences)
        for kmer in (sequence[start : start + k] for start in range(len(sequence) - k + 1))
        if "N" not in kmer
    ]
    assert owners.tolist() == [row for _, row in kmers]
    pairs = set(zip(codes.tolist(), (text for text, _ in kmers), strict=True))
    assert len(pairs) == len({code for code, _ in pairs}) == len({text for _, text in pairs})


def test_both_strands_have_the_same_codes():
    sequences = random_sequences(20, 50, seed=1, letters="ACGTN")
    forward, _ = canonical_kmers(sequences, 5)
    backward, _ = canonical_kmers([reverse_complement(s) for s in sequences], 5)
    assert sorted(forward.tolist()) == sorted(backward.tolist())


@pytest.mark.parametrize("seed", range(4))
def test_rows_sharing_kmers_against_all_pairs(seed):
    # Four letters make 256 words: many are shared, many are not.
    queries, references = mixed_lengths(seed, "ACGTN"), mixed_lengths(seed + 50, "ACGTN")[:4]
    known = set().union(*(naive_units(reference, 4) for reference in references))
    expected = [bool(naive_units(query, 4) & known) for query in queries]

    assert rows_sharing_kmers(queries, references, 4).tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_rows_sharing_a_sixteen_mer_on_the_other_strand():
    shared, other, third, flank = random_sequences(4, 16, seed=3)
    reference = flank + shared
    queries = [
        other + reverse_complement(shared),
        third + reverse_complement(shared)[1:] + "N",  # 15 letters are not enough
        third + shared[:8] + "N" + shared[8:],
    ]
    assert rows_sharing_kmers(queries, [reference]).tolist() == [True, False, False]


def test_no_references_and_no_queries():
    assert rows_sharing_kmers(["ACGT" * 5], []).tolist() == [False]
    assert rows_sharing_kmers([], ["ACGT" * 5]).tolist() == []
    assert shared_kmer_groups([]).tolist() == []


@pytest.mark.parametrize(("k", "letters"), list(product([3, 6, 8], ["ACGT", "ACGTN"])))
def test_groups_against_union_find(k, letters):
    sequences = mixed_lengths(k, letters)
    groups = shared_kmer_groups(sequences, k)

    assert groups.tolist() == naive_groups(sequences, k)
    assert groups.dtype == np.int64


def test_groups_are_transitive():
    left, shared, middle, linked, right = random_sequences(5, 20, seed=8)
    sequences = [left + shared, right, shared + middle + linked, left[:10], linked + right]
    assert shared_kmer_groups(sequences).tolist() == [0, 0, 0, 1, 0]
    assert shared_kmer_groups(sequences[:3]).tolist() == [0, 1, 0]


def test_sequences_without_kmers_are_shared_as_a_whole():
    sequences = ["ACGTT", "AACGT", "ACGT", "N" * 20, "ACGTT" + "N" * 20, "N" * 20, "ACGTT" * 4]
    assert shared_kmer_groups(sequences).tolist() == [0, 0, 1, 2, 3, 2, 4]
    assert rows_sharing_kmers(["AACGT", "CGTT"], sequences).tolist() == [True, False]


def test_most_common_kmer_as_it_stands_in_the_first_holder():
    primer = "TTTTTCCCCCGGGGGA"
    rest = random_sequences(9, 40, seed=2)
    sequences = rest[:3] + [text + primer for text in rest[3:8]] + [reverse_complement(primer) * 3]
    assert most_common_kmer(sequences) == (primer, 6)
    assert most_common_kmer(["ACGTA", "TACGT", "AAAAA"]) == ("ACGTA", 2)


@pytest.mark.parametrize("k", [0, 32])
def test_impossible_length_is_refused(k):
    with pytest.raises(UserError, match=f"1 to 31 letters long, not {k}"):
        canonical_kmers(["ACGT"], k)


def test_kmer_length_grows_with_the_set():
    assert kmer_length_for(["A" * 81] * 15_484) == 16
    assert kmer_length_for(["A" * 500] * 30_000) == 18
    assert kmer_length_for([]) == 16


def test_kmer_length_prevents_a_giant_group():
    # 600 random sequences of 3,000: one group by 16-mers, by chance alone.
    sequences = random_sequences(600, 3000, seed=4)
    sequences += [sequence[:100] for sequence in sequences]
    assert np.bincount(shared_kmer_groups(sequences, 16)).max() > 200
    assert np.bincount(shared_kmer_groups(sequences, kmer_length_for(sequences))).max() < 20


@pytest.mark.slow
def test_a_quarter_of_a_million_promoters_take_seconds():
    sequences = random_sequences(250_000, 81, seed=0)
    start = time.process_time()
    shared_kmer_groups(sequences)
    assert time.process_time() - start < 30
