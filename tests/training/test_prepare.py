"""Parts that stay apart: every row in one of them, no shared 16-mer across, notes that count."""

from itertools import combinations

import numpy as np
import pytest

from ntjax.data.leakage import rows_sharing_kmers
from ntjax.data.tables import read_table
from ntjax.errors import UserError
from ntjax.training.prepare import (
    PARTS,
    _rows_sharing_by_chance,
    read_parts,
)
from ntjax.training.settings import Settings

FRACTIONS = {"validation_fraction": 0.1, "calibration_fraction": 0.1, "test_fraction": 0.1}
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def reverse_complement(sequence):
    return sequence.translate(COMPLEMENT)[::-1]


def words(sequence):
    """All 16-mers of both strands."""
    strands = (sequence, reverse_complement(sequence))
    return {strand[i : i + 16] for strand in strands for i in range(len(strand) - 15)}


def families(count, seed):
    """Sequences of which a third are alone, and the others overlap with one or two more."""
    letters = np.random.default_rng(seed).choice(list("ACGT"), (count, 60))
    rows = []
    for number, row in enumerate("".join(row) for row in letters):
        related = [row, row[20:] + "ACGTACCA", reverse_complement(row[:40])][: number % 3 + 1]
        rows += [(sequence, (number + place) % 2) for place, sequence in enumerate(related)]
    return rows


def write(path, rows, header="sequence,label"):
    path.write_text("\n".join([header, *(f"{s},{y}" for s, y in rows)]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(scope="module")
def train(folder):
    return write(folder / "train.csv", families(90, seed=1))


@pytest.fixture(scope="module")
def parts(train):
    return read_parts(Settings(train=train, **FRACTIONS))


def test_every_row_is_in_exactly_one_part(parts, train):
    assert tuple(parts.tables) == PARTS == ("train", "validation", "calibration", "test")
    rows = [row for table in parts.tables.values() for row in table.rows]
    assert sorted(rows) == list(range(2, 2 + 180))  # line 1 is the header
    whole = read_table(train)
    for table in parts.tables.values():
        for row, sequence, label in zip(table.rows, table.sequences, table.labels, strict=True):
            assert (sequence, label) == (whole.sequences[row - 2], whole.labels[row - 2])


def test_parts_have_the_sizes_asked_for(parts):
    sizes = [len(table) for table in parts.tables.values()]
    assert sizes[0] == pytest.approx(126, abs=6)
    assert sizes[1:] == pytest.approx([18, 18, 18], abs=3)


def test_no_16mer_is_in_two_parts_on_either_strand(parts):
    of_part = {
        name: set().union(*map(words, table.sequences)) for name, table in parts.tables.items()
    }
    for one, other in combinations(PARTS, 2):
        assert not of_part[one] & of_part[other], (one, other)


def test_class_numbers_follow_the_labels(parts):
    assert parts.classes == ("0", "1")
    for name, table in parts.tables.items():
        np.testing.assert_array_equal(parts.labels[name], [int(label) for label in table.labels])
        assert set(parts.labels[name]) == {0, 1}


def test_another_seed_is_another_split(parts, train):
    again = read_parts(Settings(train=train, **FRACTIONS))
    other = read_parts(Settings(train=train, seed=1, **FRACTIONS))
    assert again.tables == parts.tables
    assert other.tables["test"].rows != parts.tables["test"].rows


@pytest.mark.parametrize("given", [("validation",), ("test",), ("validation", "test")])
def test_files_that_are_given_are_used_whole_and_in_order(folder, train, given):
    files = {part: write(folder / f"{part}.csv", families(9, seed=len(part))) for part in given}
    parts = read_parts(Settings(train=train, **files, **FRACTIONS))
    for part, path in files.items():
        assert parts.tables[part] == read_table(path)
    # What was not given comes from the training file, and nothing of it is used twice.
    own = [table for part, table in parts.tables.items() if part not in given]
    assert sorted(row for table in own for row in table.rows) == list(range(2, 2 + 180))
    assert all(table.source == train for table in own)
    calibration = set().union(*map(words, parts.tables["calibration"].sequences))
    for part in {"train", "validation", "test"} - set(given):
        assert not calibration & set().union(*map(words, parts.tables[part].sequences))


def test_the_note_counts_test_rows_related_to_training_rows(folder, train):
    whole = read_table(train).sequences
    fresh = families(5, seed=8)
    related = [(whole[n][3:30], n % 2) for n in range(0, 60, 4)]
    related += [(reverse_complement(whole[n]), n % 2) for n in range(1, 60, 7)]
    path = write(folder / "related.csv", fresh + related)
    parts = read_parts(Settings(train=train, test=path, **FRACTIONS))
    total = len(fresh) + len(related)
    expected = []
    for part, name in (("train", "training"), ("validation",) * 2, ("calibration",) * 2):
        known = set().union(*map(words, parts.tables[part].sequences))
        count = sum(bool(words(sequence) & known) for sequence in parts.tables["test"].sequences)
        assert count < total
        if count:
            expected.append(f"{count} of {total} test rows share a 16-mer with a {name} row, ")
    assert len(expected) > 1
    found = [note for note in parts.notes if "test rows share a 16-mer" in note]
    assert [note.partition("on either")[0] for note in found] == expected


def test_a_validation_file_that_is_the_test_file_is_pointed_out(folder, train):
    path = write(folder / "twice.csv", families(9, seed=4))
    parts = read_parts(Settings(train=train, validation=path, test=path, **FRACTIONS))
    total = len(parts.tables["test"])
    assert any(
        note.startswith(f"{total} of {total} test rows share a 16-mer with a validation row")
        for note in parts.notes
    )


def test_chance_matches_are_put_in_proportion():
    random = np.random.default_rng(0)
    queries, references = (
        ["".join(random.choice(list("ACGT"), 60)) for _ in range(n)] for n in (400, 300)
    )
    expected = _rows_sharing_by_chance(queries, references, 8)
    assert expected == pytest.approx(rows_sharing_kmers(queries, references, 8).sum(), rel=0.1)


def test_validation_rows_of_one_class_are_refused_before_training(folder, train):
    path = write(folder / "ones.csv", [(seq, 1) for seq, _ in families(9, seed=5)])
    with pytest.raises(UserError, match=r"ones\.csv: the validation rows are all of one class"):
        read_parts(Settings(train=train, validation=path, **FRACTIONS))


def test_related_test_rows_are_drawn_together(folder, train):
    rows = families(30, seed=6)
    path = write(folder / "families.csv", rows)
    parts = read_parts(Settings(train=train, test=path, **FRACTIONS))
    assert len(parts.test_groups) == len(rows)
    for i, j in combinations(range(len(rows)), 2):
        if words(rows[i][0]) & words(rows[j][0]):
            assert parts.test_groups[i] == parts.test_groups[j]
    assert len(set(parts.test_groups)) == 30
    assert (
        f"the {len(rows)} test rows form 30 groups of sequences that share a 16-mer (the largest "
        "has 3): intervals draw whole groups"
    ) in parts.notes


def test_test_rows_with_a_common_primer_are_drawn_one_by_one_and_it_is_said(folder, train):
    rows = [("ACGTTGCATGCATGCCAGTA" + seq, y) for seq, y in families(30, seed=6)]
    parts = read_parts(Settings(train=train, test=write(folder / "primer.csv", rows), **FRACTIONS))
    assert len(set(parts.test_groups)) == len(rows)
    assert any("intervals draw single rows and are too narrow" in note for note in parts.notes)
