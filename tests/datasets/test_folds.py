"""Folds of related rows, as parts of a run."""

import numpy as np
import pytest

from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.folds import grouped_folds
from ntjax.datasets.prepare import read_parts
from ntjax.errors import UserError


def rows(count=200, seed=0):
    """Sequences in pairs that share their first half, and labels of both classes."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count // 2):
        first, *ends = ("".join(random.choice(list("ACGT"), 30)) for _ in range(3))
        made += [first + end for end in ends]
    labels = [str(number // 2 % 2) for number in range(count)]
    return made, labels


def parts(fold, protocol, **given):
    settings = DataSettings(
        train="rows",
        folds=10,
        fold=fold,
        fold_protocol=protocol,
        validation_fraction=0.1,
        calibration_fraction=0.1,
    )
    return read_parts(settings, {"train": rows(), **given})


def sequences_of(read, part):
    return set(read.tables[part].sequences)


def test_pairs_stay_together_and_classes_are_balanced():
    sequences, labels = rows()
    folds = grouped_folds(sequences, np.array(labels), 10, seed=0)
    assert (folds[::2] == folds[1::2]).all()
    assert set(np.bincount(folds)) == {20}
    for fold in range(10):
        assert np.bincount(np.array(labels, int)[folds == fold]).tolist() == [10, 10]


def test_pooled_folds_test_every_row_once():
    all_parts = [parts(fold, "pooled") for fold in range(10)]
    tested = [seq for read in all_parts for seq in read.tables["test"].sequences]
    assert sorted(tested) == sorted(rows()[0])
    for read in all_parts:
        names = ("train", "validation", "calibration", "test")
        assert sum(len(read.tables[part]) for part in names) == 200
        assert not sequences_of(read, "test") & sequences_of(read, "train")


def test_official_folds_validate_every_training_row_once_beside_one_test_set():
    test = rows(40, seed=1)
    all_parts = [parts(fold, "official", test=test) for fold in range(10)]
    validated = [seq for read in all_parts for seq in read.tables["validation"].sequences]
    assert sorted(validated) == sorted(rows()[0])
    assert all(list(read.tables["test"].sequences) == test[0] for read in all_parts)


@pytest.mark.parametrize(
    ("protocol", "given", "problem"),
    [
        ("official", {}, "there is none: give --test FILE, or --fold-protocol pooled"),
        ("official", {"test": rows(40, 1), "validation": rows(40, 2)}, "leave --validation out"),
        ("pooled", {"test": rows(40, 1)}, "give --fold-protocol official"),
    ],
)
def test_folds_that_cannot_be_are_refused(protocol, given, problem):
    with pytest.raises(UserError, match=problem):
        parts(0, protocol, **given)
