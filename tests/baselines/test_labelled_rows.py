import numpy as np
import pytest

from ntjax.baselines.labelled_rows import check_labelled_rows
from ntjax.errors import UserError


def test_counts_classes_of_both_sets():
    labels, held_out, classes = check_labelled_rows((["A", "C"], [0, 1]), (["G"], np.array([2])))
    assert labels.tolist() == [0, 1]
    assert held_out.tolist() == [2]
    assert classes == 3
    assert check_labelled_rows((["A", "C"], [0, 1]), None)[1:] == (None, 2)


@pytest.mark.parametrize(
    ("training", "validation", "message"),
    [
        (([], []), None, "training set has no rows"),
        ((["A", "C"], [1, 1]), None, "at least two classes"),
        ((["A", "C"], [0, 1]), ([], []), "validation set has no rows"),
        ((["A", "C"], [0]), None, "one label per sequence"),
        ((["A", "C"], [0.0, 1.0]), None, "class numbers"),
        ((["A", "C"], [-1, 1]), None, "class numbers"),
        ((["A", "C"], ["0", "1"]), None, "class numbers"),
    ],
)
def test_refuses(training, validation, message):
    with pytest.raises(UserError, match=message):
        check_labelled_rows(training, validation)
