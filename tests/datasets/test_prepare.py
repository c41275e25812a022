"""Parts that stay apart: every row in one of them, no shared 16-mer across, notes that count."""

import hashlib
import json
from itertools import combinations

import numpy as np
import pytest

from ntjax.datasets.calibration_slice import calibration_share
from ntjax.datasets.notes import rows_sharing_by_chance
from ntjax.datasets.prepare import (
    NONE_TO_CALIBRATE,
    PARTS,
    describe_rows,
    fingerprint,
    read_parts,
    tokenise,
)
from ntjax.datasets.registry import load_dataset
from ntjax.errors import UserError
from ntjax.genomes.windows import WindowGeometry
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks import Classification, Regression
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
    assert parts.task.outputs == ("0", "1")
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
    expected = rows_sharing_by_chance(queries, references, 8)
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
        "has 3): a group counts as one in intervals"
    ) in parts.notes


def test_test_rows_with_a_common_primer_are_drawn_one_by_one_and_it_is_said(folder, train):
    rows = [("ACGTTGCATGCATGCCAGTA" + seq, y) for seq, y in families(30, seed=6)]
    parts = read_parts(Settings(train=train, test=write(folder / "primer.csv", rows), **FRACTIONS))
    assert len(set(parts.test_groups)) == len(rows)
    assert any("intervals count single rows and are too narrow" in note for note in parts.notes)


def test_without_overlap_there_is_no_such_note(parts):
    assert not [note for note in parts.notes if "test rows share a 16-mer" in note]


def test_small_parts_are_pointed_out(folder, train, parts):
    few = [note for note in parts.notes if note.startswith("only ")]
    sizes = [len(parts.tables[part]) for part in ("validation", "calibration")]
    assert few == [
        f"only {sizes[0]} validation rows: the choice of the checkpoint may rest on chance; a "
        "higher --validation-fraction sets more aside",
        f"only {sizes[1]} calibration rows: the calibrated probabilities may rest on chance; a "
        "higher --calibration-fraction sets more aside",
    ]
    path = write(folder / "few.csv", families(9, seed=8))
    given = read_parts(Settings(train=train, validation=path, calibration_fraction=0.4))
    assert [note for note in given.notes if note.startswith("only ")] == [
        "only 18 validation rows: the choice of the checkpoint may rest on chance"
    ]


def test_a_data_set_brings_its_test_rows():
    parts = read_parts(Settings(train="simulated_sigma70"))
    dataset = load_dataset("simulated_sigma70")
    assert parts.tables["test"] == dataset.test
    own = [parts.tables[part].rows for part in ("train", "validation", "calibration")]
    assert sorted(row for rows in own for row in rows) == sorted(dataset.train.rows)
    shares = [len(rows) / len(dataset.train) for rows in own]
    assert shares == pytest.approx([0.85, 0.05, 0.1], abs=1e-3)
    assert parts.notes[: len(dataset.notes)] == dataset.notes


@pytest.mark.parametrize(
    ("count", "positive", "share"),
    [(2000, 1000, 0.1), (500, 250, 0.2), (400, 200, 0.25), (1000, 100, 0.3)],
)
def test_a_tenth_of_the_rows_calibrates_or_more_where_that_is_few(count, positive, share):
    labels = (np.arange(count) < positive).astype(int)
    assert calibration_share(Classification(("a", "b")), labels, "x.csv") == (share, "")


@pytest.mark.parametrize(("count", "positive"), [(299, 150), (1000, 89)])
def test_rows_that_training_needs_more_do_not_calibrate(count, positive):
    labels = (np.arange(count) < positive).astype(int)
    share, note = calibration_share(Classification(("a", "b")), labels, "x.csv")
    assert share == 0
    assert note == (
        "the model is not calibrated: 100 rows, 30 of each class, set aside for that would be more "
        f"than a third of the {count:,} rows of x.csv; --calibration-fraction sets some aside all "
        "the same"
    )


def test_the_interval_of_values_needs_fewer_rows():
    values = np.arange(100.0)
    assert calibration_share(Regression(("y",)), values, "x.csv") == (0.2, "")
    assert (
        "values have no interval: 20 rows"
        in calibration_share(Regression(("y",)), values[:50], "x.csv")[1]
    )


def test_no_row_calibrates_where_none_is_wanted(train):
    parts = read_parts(Settings(train=train, calibration_fraction=0.0))
    assert len(parts.tables["calibration"]) == 0
    assert NONE_TO_CALIBRATE in parts.notes
    shares = [len(parts.tables[part]) / len(families(90, seed=1)) for part in ("train", "test")]
    assert shares == pytest.approx([0.85, 0.1], abs=0.02)
    with pytest.raises(UserError, match=r"calibration \(-0.1\)"):
        read_parts(Settings(train=train, calibration_fraction=-0.1))


def test_few_rows_are_split_without_a_part_that_calibrates(train):
    parts = read_parts(Settings(train=train, validation_fraction=0.1))
    assert len(parts.tables["calibration"]) == len(parts.labels["calibration"]) == 0
    assert len(parts.calibration_groups) == 0
    whole = sum(len(table) for table in parts.tables.values())
    assert whole == len(families(90, seed=1))
    assert (
        [note for note in parts.notes if "calibrat" in note]
        == [
            note for note in parts.notes if note.startswith("the model is not calibrated: 100 rows")
        ]
        != []
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"validation_fraction": 0.5, "calibration_fraction": 0.3, "test_fraction": 0.2},
            "the fractions set aside for validation (0.5), calibration (0.3), test (0.2) must be "
            "above 0 and leave rows to train on",
        ),
        (
            {"validation_fraction": 0.0, "calibration_fraction": 0.1},
            "the fractions set aside for validation (0), calibration (0.1), test (0.1) must be "
            "above 0 and leave rows to train on",
        ),
        (
            {"test_fraction": -0.1},
            "the fractions set aside for validation (0.05), test (-0.1) must be above 0 and leave "
            "rows to train on",
        ),
    ],
)
def test_fractions_that_leave_nothing_are_refused(train, values, message):
    with pytest.raises(UserError) as caught:
        read_parts(Settings(train=train, **values))
    assert str(caught.value) == message


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("far", "problem"),
    [("1e39", "'1e39' is too large a value"), ("1e25", "1e+25 is too far from the other values (")],
)
def test_one_value_in_another_unit_is_refused_with_its_row(folder, part, far, problem):
    random = np.random.default_rng(0)
    rows = [(sequence, f"{random.normal():.3f}") for sequence, _ in families(60, seed=9)]
    strange = [(sequence, far if i == 5 else y) for i, (sequence, y) in enumerate(rows)]
    files = {"train": write(folder / "in_one_unit.csv", rows)}
    files[part] = write(folder / "in_another.csv", strange)
    with pytest.raises(UserError) as caught:
        read_parts(Settings(**files, task="regression", **FRACTIONS))
    assert str(caught.value).startswith(f"{files[part]}: row 7: {problem}")


@pytest.mark.parametrize(
    ("unit", "problem"),
    [(1e300, "is too large a value"), (1e-300, "differ by less than 1e-30")],
)
def test_a_unit_far_off_is_named(folder, unit, problem):
    random = np.random.default_rng(0)
    rows = [(sequence, random.normal() * unit) for sequence, _ in families(60, seed=9)]
    file = write(folder / "far_off.csv", rows)
    with pytest.raises(UserError, match=f"far_off.csv: .*{problem}"):
        read_parts(Settings(train=file, task="regression", **FRACTIONS))


def test_too_few_rows_are_refused(folder):
    path = write(folder / "five.csv", families(2, seed=3))
    with pytest.raises(UserError, match=r"no row of class .* is left|no split into") as caught:
        read_parts(Settings(train=path))
    assert "--test FILE" in str(caught.value)


@pytest.mark.parametrize("rows", [60, 3000])
def test_measurements_are_not_classes(folder, rows):
    random = np.random.default_rng(0)
    sequences = ["".join(row) for row in random.choice(list("ACGT"), (rows, 20))]
    path = write(folder / "expression.csv", zip(sequences, random.normal(size=rows), strict=True))
    with pytest.raises(UserError) as caught:
        read_parts(Settings(train=path))
    assert f"the {rows:,} rows have {rows:,} different labels, such as -" in str(caught.value)
    assert "choose another --label-column than 'label'" in str(caught.value)


def test_rounded_measurements_are_not_classes(folder):
    random = np.random.default_rng(0)
    sequences = ["".join(row) for row in random.choice(list("ACGT"), (300, 20))]
    values = [f"{value:.1f}" for value in random.normal(2, 1, 300)]
    path = write(folder / "rounded.csv", zip(sequences, values, strict=True))
    with pytest.raises(UserError, match=r"look like measurements, .* --task regression"):
        read_parts(Settings(train=path))


def test_more_than_a_thousand_classes_are_measurements(folder):
    random = np.random.default_rng(0)
    sequences = ["".join(row) for row in random.choice(list("ACGT"), (4000, 20))]
    labels = np.arange(4000) % 1001
    path = write(folder / "integers.csv", zip(sequences, labels, strict=True))
    with pytest.raises(UserError, match="the 4,000 rows have 1,001 different labels"):
        read_parts(Settings(train=path))


def test_a_class_that_training_lacks_is_refused(folder, train):
    path = write(folder / "third.csv", [("ACGTAC", 0), ("ACGTTT", 2)])
    with pytest.raises(UserError) as caught:
        read_parts(Settings(train=train, test=path))
    assert str(caught.value).startswith(f"{path}: row 3: class '2' is not one of '0', '1'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ecoli_promotors", "there is no such file or data set; did you mean 'ecoli_promoters'?"),
        ("mine", "there is no such file or data set; data sets are ecoli_promoters, simulated_si"),
    ],
)
def test_a_misspelt_data_set_is_suggested(name, message):
    with pytest.raises(UserError) as caught:
        read_parts(Settings(train=name))
    assert str(caught.value).startswith(f"--train {name}: {message}")


def test_a_sequence_beyond_the_models_positions_is_named(golden_model):
    model = golden_model("rotary_gelu")
    most = (model.config.max_positions - 1) * 6
    table = SequenceTable(("a", "b"), ("A" * most, "A" * most + "C"), ("0", "1"), "x.csv", (2, 9))
    fits = tokenise(table.take([0]), np.array([0]), model.tokenizer, model.config)
    assert fits.tokens.shape == (1, model.config.max_positions)
    with pytest.raises(UserError) as caught:
        tokenise(table, np.array([0, 1]), model.tokenizer, model.config)
    assert str(caught.value).startswith("x.csv, row 9: the sequence is too long: ")
    assert f"{most} letters" in str(caught.value)


def test_tokens_lengths_and_labels(golden_model):
    tokenizer = Tokenizer.for_vocabulary_size(4107, 6)
    table = SequenceTable(("a", "b"), ("ACGTAC" * 3, "ACGTACA"), ("0", "1"), "x.csv", (2, 3))
    data = tokenise(table, np.array([0, 1]), tokenizer, golden_model("rotary_gelu").config)
    np.testing.assert_array_equal(data.tokens, tokenizer.encode(table.sequences))
    np.testing.assert_array_equal(data.lengths, [4, 3])  # <cls>, then 6-mers and single letters
    np.testing.assert_array_equal(data.labels, [0, 1])


def test_the_fingerprint_is_of_names_sequences_and_labels_in_order():
    table = SequenceTable(("a", "b"), ("ACGT", "GGCC"), ("0", "1"), "x.csv", (2, 3))
    expected = hashlib.sha256(b"a\nb\0ACGT\nGGCC\x000\n1\0").hexdigest()
    assert fingerprint(table) == expected
    assert fingerprint(table.take([1, 0])) != expected
    moved = SequenceTable(table.names, table.sequences, table.labels, "y.csv", (7, 8))
    assert fingerprint(moved) == expected


def test_rows_are_described_by_their_number_in_the_file():
    table = SequenceTable(tuple("abc"), ("ACGT",) * 3, tuple("010"), "x.csv", rows=(12, 3, 7))
    assert describe_rows(table, np.array([0, 1, 1])) == "rows 3, 12 of x.csv"
    assert describe_rows(table, np.array([0, 1, 2]), most=2) == "rows 3, 7, … of x.csv"


def test_what_is_guessed_and_what_contradicts_itself_is_said(tmp_path):
    """A k-mer file is joined back, and a sequence with both labels is named."""
    random = np.random.default_rng(5)
    sequences = ["".join(row) for row in random.choice(list("ACGT"), (200, 60))]
    labels = ["a", "b"] * 100
    sequences[1] = sequences[0]  # labelled a and b
    words = [" ".join(s[i : i + 6] for i in range(len(s) - 5)) for s in sequences]
    path = tmp_path / "kmers.tsv"
    path.write_text(
        "sequence\tlabel\n"
        + "".join(f"{word}\t{label}\n" for word, label in zip(words, labels, strict=True))
    )
    settings = Settings(train=str(path), **{f"{p}_fraction": 0.2 for p in ("validation", "test")})
    parts = read_parts(settings)
    assert any("joined" in note for note in parts.notes), parts.notes
    [conflict] = [note for note in parts.notes if "sequence has several labels" in note]
    assert "rows 2 (a), 3 (b)" in conflict
    assert {len(s) for table in parts.tables.values() for s in table.sequences} == {60}


def test_windows_are_those_of_the_records_beside_the_files(tmp_path):
    """Geometry of the training rows, negatives of the test rows."""
    rows = families(60, seed=3)
    files = {}
    for name, before, negatives in (("one", 40, "genomic"), ("two", 40, "iid"), ("three", 9, "x")):
        (tmp_path / name).mkdir()
        geometry = {"before": before, "after": 19}
        record = {
            "counts": {"rows": {}},
            "geometry": geometry,
            "settings": {"negatives": negatives},
        }
        (tmp_path / name / "windows.json").write_text(json.dumps(record))
        files[name] = write(tmp_path / name / "rows.csv", rows)
    bare = write(tmp_path / "rows.csv", rows)

    def windows(train, **others):
        return read_parts(Settings(train=train, **others, **FRACTIONS)).windows

    geometry = WindowGeometry(40, 19)
    assert windows(files["one"]) == (geometry, "genomic")
    assert windows(files["one"], test=files["two"]) == (geometry, "iid")
    assert windows(files["one"], test=files["three"]) == (geometry, "")
    assert windows(files["one"], test=bare) == (geometry, "")
    assert windows(bare, test=files["one"]) is None
    given = read_parts(Settings(**FRACTIONS), {"train": read_table(files["one"])}).windows
    assert given is None
    sigma70 = read_parts(Settings(train="simulated_sigma70", **FRACTIONS)).windows
    assert sigma70 == (WindowGeometry(60, 20), "shuffled")
