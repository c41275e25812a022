import numpy as np
import pytest

from ntjax.sequences.one_hot import column_indices, one_hot

SEQUENCES = ["ACGT", "NNACGTTTGA", "", "acgtnR", "TTTTTTTT"]


@pytest.mark.parametrize("length", [1, 4, 7, 12])
def test_agrees_with_a_loop_over_letters(length):
    expected = np.zeros((len(SEQUENCES), length, 4))
    for row, sequence in enumerate(SEQUENCES):
        for position, letter in enumerate(sequence[:length]):
            if letter.upper() in "ACGT":
                expected[row, position, "ACGT".index(letter.upper())] = 1
    encoded = one_hot(SEQUENCES, length)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded, expected)


def test_codes():
    assert column_indices(["ACGTN", "t"], 5).tolist() == [[0, 1, 2, 3, 4], [3, 4, 4, 4, 4]]


def test_no_sequences():
    assert one_hot([], 6).shape == (0, 6, 4)
