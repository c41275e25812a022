import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.io.labels import (
    UNKNOWN_LABEL,
    classes_of,
    encode_label_sets,
    encode_labels,
    encode_values,
    look_like_measurements,
    require_both_values,
    require_different_values,
    require_similar_values,
    require_two_classes,
)
from ntjax.io.tables import read_table


def test_classes_in_order():
    assert classes_of(["10", "9", "-1", "9"]) == ("-1", "9", "10")
    assert classes_of(["10", "9", "a"]) == ("10", "9", "a")
    assert classes_of(["0.5", "0"]) == ("0", "0.5")
    assert classes_of(["promoter", "none", "promoter"]) == ("none", "promoter")
    assert classes_of([]) == ()


def test_encoded_labels():
    encoded = encode_labels(("9", "10", "9"), ("9", "10"), "some.csv")
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(encoded, [0, 1, 0])
    with pytest.raises(UserError, match=r"^some\.csv: row 3: class 'c' is not one of 'a', 'b': "):
        encode_labels(("a", "b", "c"), ("a", "b"), "some.csv")
    with pytest.raises(UserError, match="row 17: class 'c'"):
        encode_labels(("a", "c"), ("a", "b"), "some.csv", rows=(12, 17))


def test_two_classes_are_needed():
    assert require_two_classes(("1", "0", "1"), "some.csv") == ("0", "1")
    with pytest.raises(UserError, match=r"^some\.csv: all 2 rows have the label '1': "):
        require_two_classes(("1", "1"), "some.csv")
    with pytest.raises(UserError, match=r"^some\.csv: has no labels: "):
        require_two_classes(None, "some.csv")


def written(folder, text, name="some.csv"):
    path = folder / name
    path.write_text(text)
    return path


def problem(call, *given, **options):
    with pytest.raises(UserError) as caught:
        call(*given, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-0.5", -0.5),
        ("+.25", 0.25),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("-2.5E+2", -250.0),
    ],
)
def test_values(text, value):
    encoded = encode_values((text, "0"), "some.csv")
    assert encoded.dtype == np.float64
    assert encoded.tolist() == [value, 0.0]


@pytest.mark.parametrize(
    "text", ["high", "1_000", "inf", "-Infinity", "1e999", "0x1p3", "١", "1 2"]
)
def test_what_is_not_a_finite_number_is_refused(text):
    assert problem(encode_values, ("1", text), "some.csv", (4, 9)) == (
        f"some.csv: row 9: {text!r} is not a finite number: correct the label or remove the row"
    )
    assert "row 2" in problem(encode_values, ("1", text), "some.csv")


@pytest.mark.parametrize("text", ["1e39", "-1e308", "1e31"])
def test_too_large_a_value_is_refused(text):
    assert encode_values(("1e30", "-1e30"), "some.csv").tolist() == [1e30, -1e30]
    assert problem(encode_values, ("1", text), "some.csv", (4, 9)) == (
        f"some.csv: row 9: {text!r} is too large a value (they may reach 1e+30): check its unit, "
        "correct the label or remove the row"
    )


def test_a_decimal_comma_is_pointed_out():
    assert problem(encode_values, ("0,53",), "some.csv").endswith("write decimals with a point")


def test_values_must_differ():
    require_different_values(np.array([1.0, 1.5]), "some.csv")
    message = problem(require_different_values, np.array([1.5, 1.5]), "some.csv")
    assert message == "some.csv: all 2 rows have the value 1.5: add rows with others"
    assert "no labels" in problem(require_different_values, np.empty(0), "some.csv")


@pytest.mark.parametrize("smallest", [5e-324, 1e-300, 1e-160, 1e-31])
def test_values_must_not_differ_by_next_to_nothing(smallest):
    message = problem(require_different_values, np.array([0, smallest]), "some.csv")
    assert message == (
        f"some.csv: the values, from 0 to {smallest:g}, differ by less than 1e-30: check their "
        "unit, or write them in a smaller one"
    )
    require_different_values(np.array([0, 1e-29]), "some.csv")


@pytest.mark.parametrize("far", [-1e20, 4.1e6])
def test_a_value_far_from_the_others_is_refused(far):
    others = np.array([1.0, 3.0, 5.0])
    assert problem(require_similar_values, np.array([2.0, far]), others, "some.csv", (4, 9)) == (
        f"some.csv: row 9: {far:g} is too far from the other values (1 to 5): check its unit, "
        "correct the label or remove the row"
    )
    require_similar_values(np.array([2.0, 3.9e6, -3.9e6]), others, "some.csv", (4, 9, 10))
    require_similar_values(np.array([far]), np.ones(3), "some.csv", (4,))


def test_labels_that_are_measurements():
    random = np.random.default_rng(0)
    decimals = [f"{value:.1f}".replace(".0", "") for value in random.normal(2, 1, 400)]
    counts = [str(count) for count in random.poisson(3000, 100)]  # most of them once
    names = [f"gene{n}" for n in range(60)]
    for labels in (decimals, counts, names):
        assert look_like_measurements(labels), labels
    ten_classes = [str(n) for n in random.integers(0, 10, 400)]
    families = [f"PF{n:05}" for n in random.zipf(1.5, 400)]
    for labels in (ten_classes, families, ["0", "0.5"] * 9, list("012") * 3, list("abc") * 2):
        assert not look_like_measurements(labels), labels


# Several labels


def test_several_label_columns(tmp_path):
    text = "sequence,a,b c,d\nAC,1,0,\nGT,0.0,1.0,NA\nTT,nan,,1\n"
    table = read_table(written(tmp_path, text), label_column=("a", "b c", "d"))
    assert table.labels == ("1,0,", "0,1,", ",,1")
    encoded = encode_label_sets(table.labels, table.source, table.rows)
    assert encoded.dtype == np.int32
    expected = [[1, 0, UNKNOWN_LABEL], [0, 1, UNKNOWN_LABEL], [UNKNOWN_LABEL, UNKNOWN_LABEL, 1]]
    assert encoded.tolist() == expected
    again = read_table(written(tmp_path, text), label_column=["d", "a"])
    assert again.labels == (",1", ",0", "1,")


@pytest.mark.parametrize("cell", ["2", "yes", "0.5", "-1", "True"])
def test_a_label_is_0_or_1(tmp_path, cell):
    path = written(tmp_path, f"sequence,a,b\nAC,1,0\n\nGT,0,{cell}\n")
    assert problem(read_table, path, label_column=("a", "b")) == (
        f"{path}: row 4: column 'b' holds {cell!r}: write 1 where the label applies, 0 where it "
        "does not, nothing where it is not known"
    )


def test_label_columns_of_parquet(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (ntjax[parquet])")
    path = tmp_path / "some.parquet"
    columns = {"sequence": ["AC", "GT"], "a": [1, 0], "b": [None, 1.0]}
    pd.DataFrame(columns).to_parquet(path)
    assert read_table(path, label_column=("a", "b")).labels == ("1,", "0,1")


def test_a_missing_label_column_is_named(tmp_path):
    path = written(tmp_path, "sequence,a,tata\nAC,1,0\n")
    message = problem(read_table, path, label_column=("a", "tatta"))
    assert message == (
        f"{path}: no column 'tatta' among 'sequence', 'a', 'tata': did you mean --label-column "
        "'tata'?"
    )


def test_fasta_has_one_label(tmp_path):
    path = written(tmp_path, ">x|1\nACGT\n", "some.fa")
    assert problem(read_table, path, label_column=("a", "b")) == (
        f"{path}: a FASTA header holds one label, not 2: give a table (CSV, TSV or Parquet) with a "
        "column for each"
    )


def test_a_row_without_any_known_label():
    message = problem(encode_label_sets, ("1,0", ","), "some.csv", (2, 7))
    assert message.startswith("some.csv: row 7: none of its labels is known: ")


def test_each_label_needs_both_values():
    labels = np.array([[1, 0], [0, 0], [UNKNOWN_LABEL, UNKNOWN_LABEL]])
    require_both_values(labels[:, :1], ["a"], "some.csv")
    labels[:, 0] = UNKNOWN_LABEL
    assert problem(require_both_values, labels[:, :1], ["a"], "some.csv") == (
        "some.csv: no row has a value in column 'a': fill it in or leave the column out of "
        "--label-column"
    )
    labels[:2, 0] = [1, 0]
    message = problem(require_both_values, labels, ["a", "b"], "some.csv")
    assert message == (
        "some.csv: no row has a 1 in column 'b': add such rows or leave the column out of "
        "--label-column"
    )
