"""Tables in parts: joined to the same bytes, gone on with, and never mixed."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
from ntjax.io.part_formats import ARRAYS, TABLES, check_name
from ntjax.io.parts import Parts, PartsError, of_this_input

FRAMES = [
    pd.DataFrame({"name": [f"a,{i}" for i in range(4)], "x": np.arange(4) / 3, "note": [""] * 4}),
    pd.DataFrame({"name": ["b"], "x": [np.nan], "note": ["short"]}),
]
PLAN = {"input": "abc", "prior": ("a", 0.5)}


def written(parts, numbers=(0, 1)):
    for number in numbers:
        parts.write(number, FRAMES[number])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_parts_are_joined(tmp_path, suffix):
    out = tmp_path / f"table{suffix}"
    parts = Parts(out, PLAN)
    assert not parts.folder.exists()
    written(parts)
    assert not out.exists()
    parts.join(2)
    assert not parts.folder.exists()
    whole = pd.concat(FRAMES, ignore_index=True)
    if suffix == ".parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(out), whole, check_dtype=False)
        return
    expected = io.StringIO()
    whole.to_csv(expected, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert out.read_text() == expected.getvalue()


def test_going_on(tmp_path):
    out = tmp_path / "table.csv"
    written(Parts(out, PLAN), [0])
    with pytest.raises(UserError, match="--resume"):
        Parts(out, PLAN)
    with pytest.raises(UserError, match="prior changed"):
        Parts(out, PLAN | {"prior": 0.1}, resume=True)
    parts = Parts(out, PLAN, resume=True)
    assert [parts.has(0), parts.has(1), parts.is_whole] == [True, False, False]
    written(parts, [1])
    parts.join(2)
    with pytest.raises(UserError, match="there already"):
        Parts(out, PLAN)


def test_killed_between_the_file_and_its_parts(tmp_path, monkeypatch):
    out = tmp_path / "table.csv"
    parts = Parts(out, PLAN)
    written(parts)
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "discard", lambda self: None)
        parts.join(2)
    whole = out.read_bytes()
    again = Parts(out, PLAN, resume=True)
    assert again.is_whole
    assert not again.folder.exists()
    assert out.read_bytes() == whole


def test_what_lies_there_of_something_else_is_not_touched(tmp_path):
    out = tmp_path / "table.csv"
    written(Parts(out, PLAN))
    out.write_text("another file")
    with pytest.raises(UserError, match="not of the run that is to go on"):
        Parts(out, PLAN, resume=True)
    assert Parts(tmp_path / "other.csv", PLAN).folder.name == "other.csv.parts"
    folder = tmp_path / "mine.csv.parts"
    folder.mkdir()
    (folder / "00000000.csv").write_text("rows of something else")
    for resume in (False, True):
        with pytest.raises(UserError, match="is in the way"):
            Parts(tmp_path / "mine.csv", PLAN, resume)
    assert (folder / "00000000.csv").exists()


def test_an_unusable_input_leaves_no_parts(tmp_path):
    for error, left in ((UserError("row 3"), False), (PartsError("disk full"), True)):
        parts = Parts(tmp_path / f"{left}.csv", PLAN)
        written(parts, [0])
        with pytest.raises(UserError), of_this_input(parts):
            raise error
        assert parts.folder.exists() == left


def test_cells_that_hold_the_end_of_a_line(tmp_path):
    parts, cells = Parts(tmp_path / "table.csv", PLAN), ["a\rb", "a\nb", 'a,"b', "plain"]
    parts.write(0, pd.DataFrame({"cell": cells, "x": range(4)}))
    parts.join(1)
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)][1:] == cells


def test_categories_can_be_read_again(tmp_path):
    parts = Parts(tmp_path / "table.parquet", PLAN)
    for number, kinds in enumerate((["x", "y"], ["z", "y"])):
        frame = pd.DataFrame({"kind": pd.Categorical(kinds), "n": pd.array([1, None], "Int64")})
        parts.write(number, frame.convert_dtypes(dtype_backend="pyarrow"))
    parts.join(2)
    found = pd.read_parquet(tmp_path / "table.parquet")
    assert found["kind"].tolist() == ["x", "y", "z", "y"]


@pytest.mark.parametrize("suffixes", [TABLES, ARRAYS])
def test_a_name_tells_the_format(tmp_path, suffixes):
    check_name(tmp_path / f"some{suffixes[0].upper()}", suffixes)
    with pytest.raises(UserError, match=r"should end in \.\w+ or \."):
        check_name(tmp_path / "table.xlsx", suffixes)


def test_arrays_are_joined(tmp_path):
    parts, random = Parts(tmp_path / "some.npz", PLAN), np.random.default_rng(0)
    pieces = []
    for number, rows in enumerate((3, 1, 4)):
        lengths = random.integers(0, 5, rows)
        pieces.append(
            {
                "names": np.array(["x" * (number + n) for n in range(rows)]),
                "values": random.normal(size=(rows, 6)).astype(np.float32),
                "offsets": np.concatenate([[0], lengths.cumsum()]),
                "tokens": random.normal(size=(lengths.sum(), 2)),
            }
        )
        parts.write(number, pieces[-1])
    parts.join(3)
    with np.load(tmp_path / "some.npz") as found:
        assert found.files == list(pieces[0])
        for name in ("names", "values", "tokens"):
            expected = np.concatenate([piece[name] for piece in pieces])
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype
        lengths = np.concatenate([np.diff(piece["offsets"]) for piece in pieces])
        np.testing.assert_array_equal(found["offsets"], [0, *lengths.cumsum()])
