import numpy as np
import pytest

from ntjax.datasets.reverse_complements import average_strands, with_reverse_complements
from ntjax.errors import UserError

SEQUENCES = ["AACG", "TTTN", "GATC"]
REVERSED = ["CGTT", "NAAA", "GATC"]


def test_none_adds_nothing():
    sequences, labels = with_reverse_complements(SEQUENCES, [0, 1, 1], "none")
    assert sequences == SEQUENCES
    np.testing.assert_array_equal(labels, [0, 1, 1])


@pytest.mark.parametrize(("how", "added"), [("same", [0, 1, 1]), ("flip-label", [1, 0, 0])])
def test_reverse_complements_stand_behind_all_rows(how, added):
    sequences, labels = with_reverse_complements(SEQUENCES, [0, 1, 1], how)
    assert sequences == SEQUENCES + REVERSED
    np.testing.assert_array_equal(labels, [0, 1, 1, *added])


def test_values_and_several_labels_are_kept():
    _, values = with_reverse_complements(SEQUENCES, np.array([0.5, -1, 2]), "same")
    np.testing.assert_array_equal(values, [0.5, -1, 2, 0.5, -1, 2])
    several = np.array([[0, 1], [1, 1], [-1, 0]])
    _, doubled = with_reverse_complements(SEQUENCES, several, "same")
    np.testing.assert_array_equal(doubled, np.concatenate([several, several]))


@pytest.mark.parametrize("labels", [[0, 1, 2], [0.0, 1.0, 1.0], [[0, 1], [1, 0], [1, 1]]])
def test_only_two_classes_can_flip(labels):
    with pytest.raises(UserError, match="flip-label is for two classes: give same or none"):
        with_reverse_complements(SEQUENCES, np.array(labels), "flip-label")


def first_base(sequences):
    """Logits [n, 2]: the code of the first base, and its square."""
    codes = np.array(["ACGTN".index(sequence[0]) for sequence in sequences], np.float32)
    return np.stack([codes, codes**2], axis=1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [[0, 0], [3, 9], [2, 4]]),
        ("same", [[0.5, 0.5], [3.5, 12.5], [2, 4]]),
        ("flip-label", [[0.5, 0.5], [9.5, 6.5], [3, 3]]),
    ],
)
def test_averages(how, expected):
    found = average_strands(first_base, SEQUENCES, how)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def test_flipped_averages_of_both_strands_are_opposite():
    both = [average_strands(first_base, s, "flip-label") for s in (SEQUENCES, REVERSED)]
    np.testing.assert_array_equal(both[0], both[1][:, ::-1])
