import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.leakage.overlap import (
    UNLABELLED,
    chance_of_sharing,
    conflicting_copies,
    find_overlap,
    overlap_counts,
    sharing_by_label,
)

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def other_strand(text):
    return text.translate(COMPLEMENT)[::-1]


def random_texts(count, seed, letters=81, gc=0.5):
    chances = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    chosen = np.random.default_rng(seed).choice(list("ACGT"), (count, letters), p=chances)
    return ["".join(row) for row in chosen]


def table(sequences, labels):
    count = len(sequences)
    rows = tuple(range(2, count + 2))
    return SequenceTable(tuple(f"row {r}" for r in rows), tuple(sequences), labels, "made", rows)


def every_eleventh_changed(text):
    """Seven letters replaced, so that no two sequences of 81 share more than 10 in a row."""
    swap = str.maketrans("ACGT", "CATG")
    return "".join(x.translate(swap) if n % 11 == 10 else x for n, x in enumerate(text))


@pytest.fixture
def tables():
    base = random_texts(8, 0)
    test = table(
        [
            base[0],  # an exact copy
            base[1],  # a copy on the other strand, of another label
            base[2],  # shifted by 40
            base[3],  # near-identical, no 16-mer
            base[4],  # shifted by 4: near-identical, too
            base[5],  # nothing
            base[0],  # again, under the other label
        ],
        ("1", "1", "1", "1", "0", "0", "0"),
    )
    train = table(
        [
            base[0],
            other_strand(base[1]),
            other_strand(base[2][40:] + base[6][:40]),
            other_strand(every_eleventh_changed(base[3])),
            base[4][4:] + base[7][:4],
            base[0][1:] + "A",
        ],
        ("1", "0", "1", "0", "0", "2"),
    )
    return train, test


def test_each_kind_of_relative(tables):
    train, test = tables
    overlap = find_overlap(train, test)
    assert overlap.classes == ("0", "1", "2")

    def rows(held):
        return [np.flatnonzero(column).tolist() for column in held.T]

    assert rows(overlap.exact) == [[], [0, 6], []]
    assert rows(overlap.reverse_complement) == [[1], [], []]
    assert rows(overlap.sharing) == [[1, 4], [0, 2, 6], [0, 6]]
    assert rows(overlap.near_identical) == [[3, 4], [], [0, 6]]


def test_counts_by_label(tables):
    train, test = tables
    overlap = find_overlap(train, test)
    counts = overlap_counts(overlap, test.labels, np.full(7, 0.5))
    assert counts["by_label"]["1"] == {
        "rows": 4,
        "exact_copy": 1,
        "reverse_complement_copy": 1,
        "shifted": 1,
        "near_identical": 2,
        "near_identical_without_shared_kmer": 1,
        "related": 4,
        "copy_with_other_label": 1,
        "shared_kmer_with_other_label": 2,
        "near_identical_with_other_label": 2,
        "shared_kmer_expected_by_chance": 2.0,
    }
    by_label = counts["by_label"].values()
    assert counts["total"] == {key: sum(c[key] for c in by_label) for key in counts["total"]}
    assert counts["total"]["related"] == 6


def test_copies_of_another_label_are_named(tables):
    train, test = tables
    found = conflicting_copies(find_overlap(train, test), test)
    assert found == [
        {"row": 3, "name": "row 3", "label": "1", "training_labels": ["0"]},
        {"row": 8, "name": "row 8", "label": "0", "training_labels": ["1"]},
    ]


def test_shared_kmers_are_counted_from_the_other_side_too(tables):
    train, test = tables
    related = sharing_by_label(train.sequences, test, ("0", "1"))
    assert related.tolist() == [[1, 1], [0, 1], [0, 1], [0, 0], [1, 0], [1, 1]]
    assert (related.any(axis=1) == rows_sharing_kmers(train.sequences, test.sequences)).all()


def test_without_labels(tables):
    train, test = (table(t.sequences, None) for t in tables)
    overlap = find_overlap(train, test)
    assert overlap.classes == (UNLABELLED,)
    assert overlap.sharing[:, 0].tolist() == [True, True, True, False, True, False, True]
    assert conflicting_copies(overlap, test) == []


@pytest.mark.parametrize(("gc", "k"), [(0.5, 12), (0.3, 13)])
def test_chance_is_what_random_rows_show(gc, k):
    train, test = random_texts(400, 1, gc=gc), random_texts(4_000, 2, gc=gc)
    shared = rows_sharing_kmers(test, train, k).mean()
    expected = chance_of_sharing(test, train, k).mean()
    assert 0.1 < shared < 0.3
    assert expected == pytest.approx(shared, rel=0.15)


def test_chance_of_short_and_unknown_rows():
    train = random_texts(400, 1)
    assert chance_of_sharing(["ACGT", "N" * 81], train, 12)[0] == 0
    assert np.isfinite(chance_of_sharing(["N" * 81], ["N" * 81], 12)).all()
    assert chance_of_sharing(random_texts(5, 3), train, 6).min() > 0.99


def test_bad_lengths(tables):
    with pytest.raises(UserError, match="1 to 31 letters long, not 32"):
        find_overlap(*tables, k=32)
