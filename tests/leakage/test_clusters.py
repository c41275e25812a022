import os

import numpy as np
import pytest

from ntjax.datasets.registry import load_dataset
from ntjax.io.tables import SequenceTable
from ntjax.leakage.clusters import conflicting_labels, describe_clusters

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)


def random_text(letters, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters))


def test_groups_and_duplicates():
    a, b, c, d = (random_text(60, seed) for seed in range(4))
    other = c.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    sequences = (a, b, c, a, other, a[20:] + d[:20], d, c)
    labels = ("1", "1", "1", "1", "0", "1", "1", "1")
    names = tuple("abcdefgh")
    table = SequenceTable(names, sequences, labels, "made", tuple(range(2, 10)))
    assert describe_clusters(table) == {
        "kmer_length": 16,
        "groups": 3,
        "largest": 4,
        "rows_in_larger_groups": 7,
        "duplicate_rows": 2,
        "reverse_complement_rows": 1,
        "conflicting_duplicates": [
            {"rows": [4, 6, 9], "names": ["c", "e", "h"], "labels": ["1", "0", "1"]}
        ],
    }
    assert describe_clusters(table, k=22)["groups"] == 4
    without = SequenceTable(names, sequences, None, "made", table.rows)
    assert describe_clusters(without)["conflicting_duplicates"] == []


@needs_data
def test_published_training_file():
    found = describe_clusters(load_dataset("ecoli_promoters", "published").train)
    assert found["duplicate_rows"] == 164
    assert found["kmer_length"] == 16
    assert found["conflicting_duplicates"] == []


def test_labels_in_conflict_are_counted():
    sequences = ["AACC", "ACGT", "AACC", "GGTT", "ACGT", "TTTT", "ACGT", "TTTT"]
    labels = ["0", "0", "1", "1", "1", "0", "0", "0"]
    rows = range(2, 10)
    assert conflicting_labels(sequences, labels, rows) == (
        "2 sequences have several labels, in 5 rows, the first in rows 2 (0), 4 (1): no model can "
        "call them all right"
    )
    assert conflicting_labels(sequences[:3], labels[:3]).startswith(
        "1 sequence has several labels, in 2 rows, the first in rows 1 (0), 3 (1)"
    )
    assert conflicting_labels(["AACC", "GGTT"], ["0", "1"]) is None  # the two strands
