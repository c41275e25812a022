import os

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntjax.datasets.registry import load_dataset
from ntjax.io.tables import SequenceTable
from ntjax.leakage.composition import auroc_of, describe_composition

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)


def drawn(seed, counts, shares, letters=50):
    """Rows of each label with that share of G and C."""
    random, sequences, labels = np.random.default_rng(seed), [], []
    for label, count in counts.items():
        gc = shares[label]
        chance = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
        for row in random.choice(list("ACGT"), (count, letters), p=chance):
            sequences.append("".join(row))
            labels.append(label)
    rows = tuple(range(len(labels)))
    return SequenceTable(tuple(map(str, rows)), tuple(sequences), tuple(labels), "made", rows)


def gc(table):
    return np.array([sum(x in "GC" for x in s) / len(s) for s in table.sequences])


def test_three_labels_as_scikit_learn_ranks_them():
    counts = {"a": 40, "b": 60, "c": 50}
    train = drawn(0, counts, {"a": 0.3, "b": 0.5, "c": 0.6})
    test = drawn(1, counts, {"a": 0.5, "b": 0.5, "c": 0.6})
    found = describe_composition(train, test)
    assert list(found) == ["a", "b", "c"]
    assert [line["predicts"] for line in found.values()] == ["lower", "higher", "higher"]
    for label, line in found.items():
        sign = -1 if label == "a" else 1
        for part, table in (("train", train), ("test", test)):
            own = np.array(table.labels) == label
            assert line[f"{part}_auroc"] == pytest.approx(roc_auc_score(own, sign * gc(table)))
            assert line[f"{part}_gc"] == pytest.approx(gc(table)[own].mean())
    assert [line["gc_differs"] for line in found.values()] == [True, False, False]
    assert found["a"]["auroc_differs"]
    assert not found["b"]["gc_differs"]


def test_what_few_rows_show_is_not_named():
    shares = {"0": 0.5, "1": 0.5}
    few = describe_composition(*(drawn(seed, {"0": 6, "1": 6}, shares) for seed in (0, 1)))
    assert not any(line["auroc_differs"] or line["gc_differs"] for line in few.values())
    assert few["0"]["train_auroc"] == pytest.approx(few["1"]["train_auroc"])
    assert {line["predicts"] for line in few.values()} == {"lower", "higher"}


def test_undefined_is_none():
    rows = SequenceTable(
        ("a", "b", "c"), ("NNNN", "ACGG", "GGGG"), ("0", "1", "1"), "made", (1, 2, 3)
    )
    found = describe_composition(rows, drawn(0, {"2": 5}, {"2": 0.5}))
    assert found["0"]["train_gc"] is found["0"]["train_auroc"] is found["0"]["predicts"] is None
    assert found["1"]["train_gc"] == 0.875
    assert found["2"]["train_gc"] is None
    assert found["2"]["test_auroc"] is None
    assert not any(line["auroc_differs"] or line["gc_differs"] for line in found.values())
    assert auroc_of(np.array([True, False, True, False]), np.array([2.0, 1.0, 1.0, 0.0])) == 0.875


@needs_data
def test_gc_gives_promoters_away_in_the_published_training_file_alone():
    data = load_dataset("ecoli_promoters", "published")
    promoters = describe_composition(data.train, data.test)["1"]
    assert promoters["predicts"] == "lower"
    assert (round(promoters["train_auroc"], 2), round(promoters["test_auroc"], 2)) == (0.64, 0.49)
    assert (round(promoters["train_gc"], 3), round(promoters["test_gc"], 3)) == (0.445, 0.404)
    assert promoters["auroc_differs"]
