import numpy as np
import pytest

from ntjax.datasets.simulated import simulate_sigma70
from ntjax.datasets.splits import grouped_split
from ntjax.errors import UserError
from ntjax.leakage.kmer_groups import rows_sharing_kmers, shared_kmer_groups

THREE_PARTS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def random_sequences(count, length, seed):
    letters = np.array(list("ACGT"))[np.random.default_rng(seed).integers(0, 4, (count, length))]
    return ["".join(row) for row in letters]


def families(sizes, seed=0, length=60):
    """Sequences of which those of one family share 40 letters; the families' numbers."""
    cores = random_sequences(len(sizes), 40, seed)
    ends = iter(random_sequences(sum(sizes), length - 40, seed + 1))
    sequences = [
        core + next(ends) for core, size in zip(cores, sizes, strict=True) for _ in range(size)
    ]
    family = np.repeat(np.arange(len(sizes)), sizes)
    order = np.random.default_rng(seed + 2).permutation(len(sequences))
    return [sequences[row] for row in order], family[order]


def typical(seed=0):
    sizes = [30, 20, 12, 10, 8, *[5] * 20, *[2] * 100, *[1] * 620]
    sequences, family = families(sizes, seed)
    labels = np.where(np.random.default_rng(seed).random(len(sequences)) < 0.3, "1", "0")
    return sequences, labels, family


def assert_partition(parts, count):
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))
    for rows in parts.values():
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()


def test_families_stay_together():
    sequences, labels, family = typical()
    parts = grouped_split(sequences, labels, THREE_PARTS, seed=1)

    assert list(parts) == ["train", "validation", "test"]
    assert_partition(parts, 1000)
    families_of = [set(family[rows]) for rows in parts.values()]
    assert sum(map(len, families_of)) == len(set(family))


def test_no_part_shares_a_kmer_with_another():
    sequences, labels, _ = typical()
    parts = {
        name: [sequences[row] for row in rows]
        for name, rows in grouped_split(sequences, labels, THREE_PARTS, seed=2).items()
    }
    assert not rows_sharing_kmers(parts["train"], parts["test"]).any()
    assert not rows_sharing_kmers(parts["train"], parts["validation"]).any()
    assert not rows_sharing_kmers(parts["validation"], parts["test"]).any()


@pytest.mark.parametrize("seed", range(5))
def test_sizes_and_class_balance(seed):
    sequences, labels, _ = typical()
    parts = grouped_split(sequences, labels, THREE_PARTS, seed)
    overall = np.mean(labels == "1")
    for name, share in THREE_PARTS.items():
        assert len(parts[name]) == pytest.approx(1000 * share, abs=2)
        assert np.mean(labels[parts[name]] == "1") == pytest.approx(overall, abs=0.02)


def test_unrelated_rows_are_split_exactly():
    sequences = random_sequences(200, 50, seed=0)
    labels = ["a"] * 50 + ["b"] * 150
    parts = grouped_split(sequences, labels, {"train": 0.9, "test": 0.1}, seed=0)
    assert (parts["test"] < 50).sum() == 5
    assert len(parts["test"]) == 20


def test_small_parts_are_not_one_family():
    sequences, labels, family = typical()
    parts = grouped_split(sequences, labels, THREE_PARTS, seed=3)
    for name in ("validation", "test"):
        assert np.bincount(family[parts[name]]).max() <= 0.2 * len(parts[name])


def test_the_seed_decides_and_repeats():
    sequences, labels, _ = typical()
    first, again, other = (
        grouped_split(sequences, labels, THREE_PARTS, seed) for seed in (7, 7, 8)
    )
    for name in THREE_PARTS:
        np.testing.assert_array_equal(first[name], again[name])
        assert len(np.intersect1d(first[name], other[name])) < 0.95 * len(first[name])


def test_pinned_rows():
    # So that a run of today can be repeated with any later NumPy.
    table, _ = simulate_sigma70(1000, seed=0)
    parts = grouped_split(table.sequences, table.labels, THREE_PARTS, seed=7)
    assert parts["test"][:6].tolist() == [16, 19, 27, 58, 68, 76]


def test_rows_are_drawn_from_everywhere():
    sequences = random_sequences(1000, 50, seed=0)
    test = grouped_split(sequences, None, {"train": 0.8, "test": 0.2}, seed=0)["test"]
    assert np.bincount(test // 250, minlength=4).min() > 30


def test_without_labels_only_sizes_count():
    sequences, _, family = typical()
    parts = grouped_split(sequences, None, THREE_PARTS, seed=0)
    assert_partition(parts, 1000)
    assert [len(rows) for rows in parts.values()] == [800, 100, 100]
    assert sum(len(set(family[rows])) for rows in parts.values()) == len(set(family))


def test_a_rare_class_reaches_every_part():
    sequences = random_sequences(300, 50, seed=5)
    labels = np.array(["common"] * 297 + ["rare"] * 3)
    parts = grouped_split(sequences, labels, THREE_PARTS, seed=0)
    assert [(labels[rows] == "rare").sum() for rows in parts.values()] == [1, 1, 1]


def test_a_class_of_two_large_families_reaches_both_parts():
    sequences, family = families([4, 4, *[1] * 92], seed=3)
    labels = np.where(family < 2, "1", "0")
    parts = grouped_split(sequences, labels, {"train": 0.9, "test": 0.1}, seed=0)
    assert [(labels[rows] == "1").sum() for rows in parts.values()] == [4, 4]


def test_a_class_of_one_family_is_refused():
    sequences, family = families([6, *[1] * 94], seed=3)
    labels = np.where(family == 0, "rare", "common")
    with pytest.raises(UserError, match=r"no row of class 'rare' is left for \w+: the 6 such rows"):
        grouped_split(sequences, labels, {"train": 0.8, "test": 0.2}, seed=0)


def test_a_shared_primer_is_named():
    primer = "ACGTTGCAACGTAGCT"
    sequences = [primer + text for text in random_sequences(95, 40, seed=1)]
    sequences += random_sequences(5, 56, seed=2)
    with pytest.raises(UserError) as caught:
        grouped_split(sequences, ["0", "1"] * 50, THREE_PARTS, seed=0)
    message = str(caught.value)
    assert "95 of the 100 rows are linked by shared 16-mers" in message
    assert f"{primer}, is in 95 rows: trim it" in message
    assert "--validation FILE and --test FILE" in message
    assert "\n" not in message


def test_a_large_family_that_fits_is_no_obstacle():
    sequences, family = families([60, *[1] * 40], seed=4)
    parts = grouped_split(sequences, None, THREE_PARTS, seed=0)
    assert set(family[parts["train"]]) >= {0}
    assert [len(rows) for rows in parts.values()] == [80, 10, 10]


def test_sequences_too_short_to_differ_are_named_as_such():
    sequences = [text[: 1 + number % 4] for number, text in enumerate(["ACGT", "TTAC"] * 40)]
    with pytest.raises(UserError) as caught:
        grouped_split(sequences, ["0", "1"] * 40, THREE_PARTS, seed=0)
    message = str(caught.value)
    assert "80 of the 80 rows are shorter than 16 bp" in message
    assert "(TTAC stands in 20)" in message
    assert "16-mers" not in message


def test_too_few_rows_are_refused():
    with pytest.raises(UserError, match="no row is left for test: the 1 such rows make only 1"):
        grouped_split(random_sequences(1, 50, seed=0), None, {"train": 0.5, "test": 0.5}, seed=0)


@pytest.mark.parametrize(
    "fractions", [{}, {"train": 0.8, "test": 0.1}, {"train": 1.2, "test": -0.2}]
)
def test_fractions_must_make_a_whole(fractions):
    with pytest.raises(ValueError, match="add up to 1"):
        grouped_split(["ACGT"] * 4, None, fractions, seed=0)


def test_kmer_length_can_be_given():
    sequences, _, _ = typical()
    groups = shared_kmer_groups(sequences, 12)
    parts = grouped_split(sequences, None, {"train": 0.5, "test": 0.5}, seed=0, k=12)
    assert not set(groups[parts["train"]]) & set(groups[parts["test"]])


def test_classes_can_be_balanced_without_being_demanded():
    sequences, labels, _ = typical()
    rare = labels.astype("U4")
    rare[:2] = "rare"
    with pytest.raises(UserError, match="no row of class 'rare'"):
        grouped_split(sequences, rare, THREE_PARTS, seed=0)
    parts = grouped_split(sequences, rare, THREE_PARTS, seed=0, every_class=False)
    assert_partition(parts, len(sequences))
    for rows in parts.values():
        assert (rare[rows] == "1").mean() == pytest.approx((rare == "1").mean(), abs=0.03)


def test_no_part_is_empty_where_no_class_is_demanded():
    sequences = random_sequences(4, 50, seed=0)
    parts = grouped_split(sequences, list("abcd"), THREE_PARTS, seed=0, every_class=False)
    assert min(len(rows) for rows in parts.values()) == 1
    fractions = {"train": 0.5, "test": 0.5}
    with pytest.raises(UserError, match="no row is left for test"):
        grouped_split(sequences[:1], ["a"], fractions, seed=0, every_class=False)
