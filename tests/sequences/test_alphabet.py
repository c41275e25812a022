import time

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.sequences.alphabet import clean_sequences, gc_content, reverse_complement


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
    assert clean_sequences([" acgtN\n", "ACGT", "\tnnn "], [1, 2, 3], "x") == [
        "ACGTN",
        "ACGT",
        "NNN",
    ]


def test_no_sequences():
    assert clean_sequences([], [], "x") == []


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


@pytest.mark.parametrize("character", ["-", ".", "*", "1", " ", "\n", '"', "X", "é", "\u0410"])
def test_other_characters_are_refused(character):
    message = problem([f"AC{character}GT"])
    assert f"row 2, position 3: {character!r}" in message
    assert "--ambiguous n" in message


def test_letters_that_only_look_latin_are_told_by_their_code():
    assert "(U+0410)" in problem(["CG\u0410T"])  # Cyrillic A


def test_the_first_offence_is_named():
    assert "row 30, position 2: 'R'" in problem(["ACGT", "ARGY", "K"], rows=[10, 30, 20])


def test_ambiguous_n_maps_every_other_character_once():
    mapped = clean_sequences(
        ["acRyswkmbdhvT", "A-C.1é", "AßC", "A\nC"], [1, 2, 3, 4], "x", ambiguous="n"
    )
    assert mapped == ["ACNNNNNNNNNNT", "ANCNNN", "ANC", "ANC"]


@pytest.mark.parametrize("ambiguous", ["refuse", "n"])
@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_empty_sequences_are_refused(empty, ambiguous):
    message = problem(["ACGT", empty], ambiguous=ambiguous)
    assert "row 3: the sequence is empty" in message


@pytest.mark.parametrize("missing", ["nan", "NaN", "NA"])
def test_missing_values_of_pandas_and_r_are_not_taken_for_dna(missing):
    message = problem(["ACGT", missing])
    assert f"row 3: the sequence is missing ({missing!r})" in message
    assert clean_sequences([missing + "T"], [1], "x") == [missing.upper() + "T"]


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
    assert cleaned == sequences
