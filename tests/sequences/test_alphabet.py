import time

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.sequences.alphabet import (
    clean_sequences,
    gc_content,
    given_sequences,
    reverse_complement,
)


def problem(sequences, rows=None, ambiguous="refuse"):
    """The one-line message about bad sequences."""
    with pytest.raises(UserError) as caught:
        clean_sequences(sequences, rows or range(2, len(sequences) + 2), "cells.csv", ambiguous)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("cells.csv: row ")
    return message


def random_sequences(count, length, seed):
    letters = np.frombuffer(b"ACGTN", dtype=np.uint8)
    drawn = letters[np.random.default_rng(seed).integers(0, 5, (count, length))]
    return [row.tobytes().decode() for row in drawn]


def test_lower_case_and_surrounding_space():
    cleaned = clean_sequences([" acgtN\n", "ACGT", "\tnnn "], [1, 2, 3], "x")
    assert cleaned == (["ACGTN", "ACGT", "NNN"], ())


def test_no_sequences():
    assert clean_sequences([], [], "x") == ([], ())


@pytest.mark.parametrize("letter", "RYSWKMBDHV")
def test_iupac_codes_are_refused_with_their_place(letter):
    for written in (letter, letter.lower()):
        message = problem(["ACGT", f"ACG{written}T"])
        assert f"row 3, position 4: '{written}'" in message
        assert "IUPAC" in message
        assert "--ambiguous n" in message


def test_position_counts_from_the_first_letter_after_the_space():
    assert "position 2: '-'" in problem(["  A-C"])


def test_rna_and_protein_are_recognised_by_the_whole_sequence():
    rna = problem(["ACGUUA"])
    assert "position 4: 'U'" in rna
    assert "RNA" in rna
    assert "--ambiguous" not in rna
    # M, the usual first residue, is an IUPAC nucleotide code as well.
    protein = problem(["MKVLAAGIVG"])
    assert "position 1: 'M'" in protein
    assert "protein" in protein
    assert "--ambiguous" not in protein


@pytest.mark.parametrize("ambiguous", ["refuse", "n"])
@pytest.mark.parametrize("character", ["-", ".", "*", "1", " ", "\n", '"', "X", "é", "\u0410"])
def test_other_characters_are_refused(character, ambiguous):
    message = problem([f"AC{character}GT"], ambiguous=ambiguous)
    assert f"row 2, position 3: {character!r}" in message
    assert "--ambiguous" not in message  # N in its place would change the sequence


def test_gaps_are_counted_and_their_rows_named():
    message = problem(["A--C", "ACGT", *["AC-G"] * 6], rows=[2, 3, 5, 6, 7, 8, 9, 10])
    assert "row 2, position 2: '-'" in message
    assert "8 gaps ('-') in 7 rows (2, 5, 6, 7, 8, …)" in message
    assert "aligned sequences: remove the gaps" in message


def test_letters_that_only_look_latin_are_told_by_their_code():
    assert "(U+0410)" in problem(["CG\u0410T"])  # Cyrillic A


def test_the_first_offence_is_named():
    assert "row 30, position 2: 'R'" in problem(["ACGT", "ARGY", "K"], rows=[10, 30, 20])


def test_ambiguous_n_maps_iupac_codes_only_and_counts_them():
    mapped = clean_sequences(["acRyswkmbdhvT", "ACGT", "rAN"], [1, 2, 3], "x", ambiguous="n")
    assert mapped == (["ACNNNNNNNNNNT", "ACGT", "NAN"], ("N replaced 11 IUPAC codes in 2 rows",))
    assert clean_sequences(["AR"], [1], "x", "n").notes == ("N replaced 1 IUPAC code in 1 row",)
    assert "row 3, position 3: '-'" in problem(["ACR", "RR-"], ambiguous="n")


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_overlapping_kmers_are_joined(k):
    sequences = random_sequences(20, 81, seed=k)
    texts = [" ".join(s[i : i + k] for i in range(len(s) - k + 1)) for s in sequences]
    joined = clean_sequences([texts[0].lower(), *texts[1:], "ACGT"], range(21), "x")
    assert joined.sequences == [*sequences, "ACGT"]
    assert joined.notes == (f"joined the overlapping {k}-mers of 20 rows",)


def test_kmers_with_iupac_codes_are_joined_before_the_codes_are_mapped():
    mapped = clean_sequences(["ACR CRT RTT"], [1], "x", ambiguous="n")
    assert mapped.sequences == ["ACNTT"]
    assert mapped.notes[1] == "N replaced 1 IUPAC code in 1 row"


@pytest.mark.parametrize("text", ["ACG TAC", "ACG CGT TTA", "ACG CG", "AC CGT", "ACGTACGTAC G"])
@pytest.mark.parametrize("ambiguous", ["refuse", "n"])
def test_blanks_between_anything_else_are_refused(text, ambiguous):
    message = problem(["ACG CGT", text], ambiguous=ambiguous)
    assert f"row 3, position {text.index(' ') + 1}: ' '" in message
    assert message.endswith("these do not all overlap: write the sequence without blanks")


def test_given_sequences_are_read_as_those_of_a_file():
    with pytest.warns(UserWarning, match="sequences: joined the overlapping 3-mers of 1 row"):
        assert given_sequences(["ACG CGT", "acgt"]) == ["ACGT", "ACGT"]
    with pytest.warns(UserWarning, match="N replaced 1 IUPAC code in 1 row"):
        assert given_sequences(["ACR"], ambiguous="n") == ["ACN"]
    with pytest.raises(UserError, match="position 3: 'R'"):
        given_sequences(["ACR"])


@pytest.mark.parametrize("ambiguous", ["refuse", "n"])
@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_empty_sequences_are_refused(empty, ambiguous):
    message = problem(["ACGT", empty], ambiguous=ambiguous)
    assert "row 3: the sequence is empty" in message


@pytest.mark.parametrize("missing", ["nan", "NaN", "NA"])
def test_missing_values_of_pandas_and_r_are_not_taken_for_dna(missing):
    message = problem(["ACGT", missing])
    assert f"row 3: the sequence is missing ({missing!r})" in message
    assert clean_sequences([missing + "T"], [1], "x").sequences == [missing.upper() + "T"]


def test_unknown_choice_for_ambiguous():
    with pytest.raises(ValueError, match="refuse"):
        clean_sequences(["ACGT"], [1], "x", ambiguous="N")


def test_reverse_complement_against_numpy():
    sequences = [*random_sequences(50, 81, seed=0), "", "acgtn"]
    code = np.zeros(256, dtype=np.uint8)
    for letter, partner in zip("ACGTNacgtn", "TGCANtgcan", strict=True):
        code[ord(letter)] = ord(partner)
    expected = [
        code[np.frombuffer(sequence.encode(), dtype=np.uint8)[::-1]].tobytes().decode()
        for sequence in sequences
    ]
    assert reverse_complement(sequences) == expected
    assert reverse_complement(["AACGN", "GATTACA"]) == ["NCGTT", "TGTAATC"]


def test_gc_content_against_numpy():
    sequences = random_sequences(200, 81, seed=1)
    letters = np.array([list(sequence) for sequence in sequences])
    strong = ((letters == "G") | (letters == "C")).sum(axis=1)
    known = (letters != "N").sum(axis=1)
    computed = gc_content(sequences)
    assert computed.dtype == np.float64
    np.testing.assert_array_equal(computed, strong / known)


def test_gc_content_of_nothing_known():
    np.testing.assert_array_equal(gc_content(["GGCA", "NNA", "NN"]), [0.75, 0.0, np.nan])
    assert gc_content([]).shape == (0,)


def test_a_quarter_million_promoters_take_under_a_second():
    sequences = random_sequences(250_000, 81, seed=2)
    start = time.perf_counter()
    cleaned = clean_sequences(sequences, range(250_000), "x")
    assert time.perf_counter() - start < 1  # 0.1 s measured
    assert cleaned.sequences == sequences
