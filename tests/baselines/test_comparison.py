"""Baselines beside a model: notes, and rows learned from on both strands."""

import dataclasses

import numpy as np
import pytest
from planted_motif import planted_rows
from threadpoolctl import threadpool_limits

from ntjax.baselines import comparison
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.datasets.prepare import LabelledParts
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.tasks import Classification

SIZES = {"train": 60, "validation": 20, "calibration": 20, "test": 30}


@pytest.fixture(scope="module")
def parts():
    tables, labels = {}, {}
    for seed, (part, rows) in enumerate(SIZES.items()):
        sequences, labels[part] = planted_rows(rows, seed=seed)
        names = tuple(str(number) for number in range(rows))
        texts = tuple(str(label) for label in labels[part])
        tables[part] = SequenceTable(names, tuple(sequences), texts, part, tuple(range(rows)))
    groups = (np.arange(SIZES[part]) for part in ("test", "calibration"))
    return LabelledParts(tables, labels, Classification(("0", "1")), *groups)


@pytest.fixture(autouse=True)
def quick_baselines(monkeypatch):
    def quick(*rows, **options):
        small = CNNConfig(filters=(4, 4, 4), batch_size=20, epochs=1)
        return fit_cnn(*rows, **options, config=small)

    monkeypatch.setattr(comparison, "fit_cnn", quick)
    with threadpool_limits(1, user_api="openmp"):
        yield


@pytest.mark.end_to_end
def test_rows_of_the_lengths_trained_on_need_no_note(parts):
    results = comparison.score_baselines(parts, progress=False)
    assert results.keys() == {"gradient boosting", "CNN"}
    assert all("notes" not in result for result in results.values())


@pytest.mark.slow
def test_cropped_test_rows_are_told(parts):
    test = parts.tables["test"]
    longer = dataclasses.replace(
        test, sequences=("ACGT" * 10, "A" * 31, *test.sequences[2:])
    )  # 30 bp each in training
    changed = dataclasses.replace(parts, tables=parts.tables | {"test": longer})
    for result in comparison.score_baselines(changed, progress=False).values():
        assert result["notes"] == [
            "2 of 30 test rows are longer than the longest training row: of these the baselines "
            "see only the first 30 bp, position by position"
        ]


def test_both_strands_are_learned_from_if_the_task_allows_it(parts):
    alone, both = (
        comparison.score_baselines(parts, progress=False, reverse_complement=how)
        for how in ("none", "same")
    )
    for name in alone:
        assert alone[name]["brier"] != both[name]["brier"]


def test_only_two_classes_can_flip(parts):
    three = dataclasses.replace(
        parts,
        labels=parts.labels | {"train": np.arange(60) % 3},
        task=Classification(("a", "b", "c")),
    )
    with pytest.raises(UserError, match="is for two classes"):
        comparison.score_baselines(three, progress=False, reverse_complement="flip-label")
