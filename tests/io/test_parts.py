"""Tables in parts: joined to the same bytes, gone on with, and never mixed."""

import io

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
from ntjax.io.part_formats import ARRAYS, TABLES, check_name
from ntjax.io.parts import Parts

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
    parts.join()
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
    parts.join()
    with pytest.raises(UserError, match="there already"):
        Parts(out, PLAN)


def test_killed_between_the_table_and_its_parts(tmp_path):
    out = tmp_path / "table.csv"
    written(Parts(out, PLAN))
    out.write_text("all of it")
    parts = Parts(out, PLAN, resume=True)
    assert parts.is_whole
    assert not parts.folder.exists()
    assert out.read_text() == "all of it"


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
    parts.join()
    with np.load(tmp_path / "some.npz") as found:
        assert found.files == list(pieces[0])
        for name in ("names", "values", "tokens"):
            expected = np.concatenate([piece[name] for piece in pieces])
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype
        lengths = np.concatenate([np.diff(piece["offsets"]) for piece in pieces])
        np.testing.assert_array_equal(found["offsets"], [0, *lengths.cumsum()])
