"""Codes, k-mers, tokens and reverse complements agree with each other and with plain text."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ntjax.sequences.alphabet import (
    BASES,
    UNKNOWN,
    base_codes,
    base_texts,
    code_matrix,
    complement,
    reverse_complement,
    reverse_complement_codes,
)
from ntjax.sequences.kmers import canonical_codes, kmer_codes, whole_windows
from ntjax.sequences.one_hot import column_indices, column_texts, one_hot
from ntjax.sequences.tokenizer import Tokenizer

DNA = st.text("ACGTN", min_size=1, max_size=60)
BASES_ONLY = st.text("ACGT", min_size=1, max_size=60)
PAIRS = {"A": "T", "T": "A", "C": "G", "G": "C", "N": "N"}
TOKENIZERS = {k: Tokenizer.for_vocabulary_size(4**k + 9, k) for k in (2, 3, 6)}

every = settings(deadline=None, database=None)


def other_strand(text):
    return "".join(PAIRS[base] for base in reversed(text))


@given(st.characters(max_codepoint=255))
def test_every_character_has_the_code_of_its_kind(character):
    upper = character.upper() if character.isascii() else character
    if upper in "ATCG":
        expected = "ATCG".index(upper)
    else:
        expected = 4 if upper == "N" else 5 if upper in "RYSWKMBDHV" else 255
    assert base_codes(character).tolist() == [expected]


@every
@given(DNA, st.booleans())
def test_text_and_codes_are_the_same_sequence(text, lower):
    codes = base_codes(text.lower() if lower else text)
    assert base_texts(codes[None]) == [text]
    assert column_texts(column_indices([text], len(text))) == [text]
    np.testing.assert_array_equal(one_hot([text], len(text))[0].sum(axis=1), codes < UNKNOWN)


@every
@given(DNA)
def test_one_reverse_complement(text):
    codes = base_codes(text)
    assert reverse_complement([text]) == [other_strand(text)]
    assert base_texts(reverse_complement_codes(codes)[None]) == [other_strand(text)]
    np.testing.assert_array_equal(complement(complement(codes)), codes)
    np.testing.assert_array_equal(reverse_complement_codes(reverse_complement_codes(codes)), codes)


@every
@given(DNA, st.integers(1, 31))
def test_kmers_of_both_strands_are_the_same(text, k):
    forward, reverse = code_matrix([text, other_strand(text)])
    whole = whole_windows(forward, k)
    expected = [
        min(sum(BASES.index(base) << 2 * (k - 1 - i) for i, base in enumerate(kmer)) for kmer in
            (text[start : start + k], other_strand(text[start : start + k])))
        for start in np.flatnonzero(whole).tolist()
    ]  # fmt: skip
    assert canonical_codes(forward, k)[whole].tolist() == expected
    backward = canonical_codes(reverse, k)[whole_windows(reverse, k)]
    assert backward[::-1].tolist() == expected


@every
@given(BASES_ONLY, st.sampled_from(sorted(TOKENIZERS)))
def test_a_kmer_has_the_rank_of_its_code_in_the_vocabulary(text, k):
    tokenizer = TOKENIZERS[k]
    count = len(text) // k
    ids = tokenizer.encode([text])[0, 1 : 1 + count] - tokenizer.id_of(BASES[0] * k)
    codes = kmer_codes(base_codes(text), k)
    assert ids.tolist() == codes[::k][:count].tolist()


@every
@given(st.lists(DNA, min_size=1, max_size=4), st.sampled_from(sorted(TOKENIZERS)))
def test_tokens_spell_the_sequences(texts, k):
    assert TOKENIZERS[k].decode(TOKENIZERS[k].encode(texts)) == texts
