"""Rows in chunks: the same rows as `read_table` reads at once, cut where the file alone decides."""

import gzip

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
from ntjax.io import row_stream
from ntjax.io.row_stream import RowStream, fingerprint_of
from ntjax.io.tables import read_table

RANDOM = np.random.default_rng(3)


def random_dna(bases):
    return "".join(RANDOM.choice(list("ACGT"), bases))


@pytest.fixture
def few(monkeypatch):
    """Chunks of 7 rows or 300 bp, from frames of 5 rows."""
    monkeypatch.setattr(row_stream, "MOST_ROWS", 7)
    monkeypatch.setattr(row_stream, "MOST_BASES", 300)
    monkeypatch.setattr(row_stream, "_ROWS_AT_ONCE", 5)


@pytest.fixture(params=["csv", "tsv", "csv.gz", "parquet", "fasta"])
def path(request, tmp_path):
    rows = [(f"n{i}", random_dna(RANDOM.integers(10, 90)), str(i)) for i in range(53)]
    path = tmp_path / f"rows.{request.param}"
    if request.param == "fasta":
        path.write_text("".join(f">{name} some words\n{text}\n" for name, text, _ in rows))
        return path
    table = pd.DataFrame(rows, columns=["name", "sequence", "score"])
    if request.param == "parquet":
        table.to_parquet(path)
    else:
        separator = "\t" if request.param == "tsv" else ","
        text = table.to_csv(index=False, sep=separator).replace("n7", "# a comment\n\nn7")
        data = text.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_chunks_hold_the_rows_of_the_file(path, few):
    stream, whole = RowStream(path), read_table(path, require_labels=False)
    chunks = list(stream.chunks())
    assert [name for chunk in chunks for name in chunk.names] == list(whole.names)
    assert [text for chunk in chunks for text in chunk.sequences] == list(whole.sequences)
    assert [row for chunk in chunks for row in chunk.rows] == list(whole.rows)
    if "fasta" not in path.name:
        assert stream.others == ["score"]
        scores = pd.concat([chunk.others for chunk in chunks])["score"]
        assert scores.tolist() == [str(number) for number in range(53)]
    digest, rows = fingerprint_of(path)
    assert abs(rows - 53) <= 2  # a comment and a blank line are counted
    assert digest == fingerprint_of(path)[0]
    assert any("begin with '#'" in note for note in stream.notes()) == ("sv" in path.name)


def test_where_chunks_end(path, few):
    chunks = list(RowStream(path).chunks())
    for chunk in chunks[:-1]:
        bases = [len(sequence) for sequence in chunk.sequences]
        assert len(chunk) == 7 or sum(bases) >= 300
        assert len(chunk) <= 7
        assert sum(bases[:-1]) < 300
    assert len({len(chunk) for chunk in chunks}) > 1


def test_columns_of_parquet_keep_their_types(tmp_path):
    table = pd.DataFrame({"sequence": ["ACGT"] * 3, "count": [1, None, 3], "kept": [True] * 3})
    table.astype({"count": "Int64"}).to_parquet(tmp_path / "rows.parquet")
    [chunk] = RowStream(tmp_path / "rows.parquet").chunks()
    assert chunk.names == ["row_1", "row_2", "row_3"]
    assert chunk.others["count"].tolist()[::2] == [1, 3]
    assert str(chunk.others.dtypes["count"]).startswith("int64")


def test_missing_cells_and_the_index_of_pandas(tmp_path):
    table = pd.DataFrame({"name": ["a", None], "sequence": ["ACGT", "GGGT"], "x": [1, 2]})
    table.index = ["first", "second"]
    table.to_parquet(tmp_path / "rows.parquet")
    stream = RowStream(tmp_path / "rows.parquet")
    [chunk] = stream.chunks()
    assert chunk.names == ["a", "row_2"]
    assert stream.others == ["x"]
    table.assign(sequence=["ACGT", None]).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"row 2.*empty"):
        list(RowStream(tmp_path / "rows.parquet").chunks())


def test_changes_are_counted(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("sequence\nacgt\nACRT\nACG CGT\n")
    stream = RowStream(path, ambiguous="n")
    [chunk] = stream.chunks()
    assert chunk.sequences == ["ACGT", "ACNT", "ACGT"]
    assert stream.notes() == [
        f"{path}: N replaced IUPAC codes, or overlapping k-mers were joined, in 2 rows"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sequence\n", "no rows"),
        ("seq\nACGT\n", "choose one with --sequence-column"),
        ("sequence,x,x\nACGT,1,2\n", "called 'x'"),
        ("sequence\nACGT\nACXT\n", "row 3"),
        ("ACGTACGTACGT\nACGTACGTACGT\n", "looks like data"),
    ],
)
def test_what_is_refused(tmp_path, text, problem):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        list(RowStream(path).chunks())
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
