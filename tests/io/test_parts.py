"""Tables in parts: joined to the same bytes, gone on with, and never mixed."""

import io

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
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


def test_a_name_tells_the_format(tmp_path):
    with pytest.raises(UserError, match=r"\.csv, \.tsv, \.parquet"):
        Parts(tmp_path / "table.xlsx", PLAN)
