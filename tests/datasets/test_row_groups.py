"""Rows that belong together because a column says so."""

import numpy as np
import pandas as pd
import pytest

import ntjax
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.prepare import read_parts
from ntjax.datasets.row_groups import row_groups
from ntjax.errors import UserError
from ntjax.io.given_rows import given_table
from ntjax.io.tables import read_table

RANDOM = np.random.default_rng(6)


def dna(letters=60):
    return "".join(RANDOM.choice(list("ACGT"), letters))


def table(rows=300, families=40):
    family = RANDOM.integers(0, families, rows)
    return pd.DataFrame(
        {
            "sequence": [dna() for _ in range(rows)],
            "label": RANDOM.integers(0, 2, rows),
            "gene": [f"gene{number}" if number else "" for number in family],
        }
    )


def plain_groups(sequences, k, names):
    """Components by search, one pair of rows at a time."""
    words = [{s[i : i + k] for i in range(len(s) - k + 1)} for s in sequences]
    group = list(range(len(sequences)))
    for i in range(len(sequences)):
        for j in range(i):
            if words[i] & words[j] or (names[i] and names[i] == names[j]):
                old, new = group[i], group[j]
                group = [new if number == old else number for number in group]
    return group


def test_groups_by_sequence_and_name_are_joined():
    sequences = [dna() for _ in range(40)]
    sequences[7] = sequences[3][:30] + dna(30)
    names = [RANDOM.choice(["", "", "a", "b", "c", "d"]) for _ in sequences]
    found = row_groups(sequences, 20, names)
    expected = np.array(plain_groups(sequences, 20, names))
    assert ((found[:, None] == found) == (expected[:, None] == expected)).all()
    assert set(found) == set(range(len(set(expected))))
    assert row_groups(sequences, 20, [""] * 40).max() == row_groups(sequences, 20).max()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", "frame"])
def test_groups_stay_together(tmp_path, suffix):
    rows, given = table(), {}
    if suffix == "frame":
        given, train = {"train": rows}, "train"
    else:
        train = tmp_path / f"rows{suffix}"
        write = rows.to_csv if suffix == ".csv" else rows.to_parquet
        write(train, index=False)
    settings = DataSettings(train=str(train), group_column="gene")
    parts = read_parts(settings, given)
    where = {}
    for part, part_table in parts.tables.items():
        for gene in set(part_table.groups) - {""}:
            where.setdefault(gene, set()).add(part)
    assert all(len(names) == 1 for names in where.values())
    together = parts.test_groups[:, None] == parts.test_groups
    genes = np.array(parts.tables["test"].groups)
    expected = (genes[:, None] == genes) & (genes != "")
    assert (together == (expected | np.eye(len(genes), dtype=bool))).all()
    without = read_parts(DataSettings(train=str(train)), given)
    assert without.test_groups.max() + 1 == len(without.tables["test"])


def test_groups_on_both_sides_are_counted():
    train, test = table(200), table(60)
    settings = DataSettings(train="train", test="test", group_column="gene")
    notes = read_parts(settings, {"train": train, "test": test}).notes
    assert any("test rows are of a group of training rows, too" in note for note in notes)


def test_where_there_is_no_such_column(tmp_path):
    rows = table(60)
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"no column 'genes' .* did you mean --group-column"):
        read_table(path, group_column="genes")
    fasta = tmp_path / "rows.fa"
    fasta.write_text(">a label=1\nACGT\n>b label=0\nACGT\n")
    with pytest.raises(UserError, match="FASTA has no column 'gene'"):
        read_table(fasta, group_column="gene")
    pair = (list(rows["sequence"]), list(rows["label"]))
    with pytest.raises(UserError, match="have no column 'gene': give a DataFrame"):
        ntjax.fine_tune("mini", pair, group_column="gene", steps=1)
    with pytest.raises(UserError, match="the data set ecoli_coding_strand has no such column"):
        ntjax.fine_tune("mini", "ecoli_coding_strand", group_column="gene", steps=1)


def test_cells_that_name_no_group(tmp_path):
    rows = pd.DataFrame(
        {"sequence": [dna() for _ in range(4)], "label": [0, 1, 0, 1], "gene": [1, np.nan, None, 2]}
    )
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    for table in (
        read_table(path, group_column="gene"),
        given_table(rows, "rows", group_column="gene"),
    ):
        assert table.groups == ("1", "", "", "2")


def test_a_group_that_is_most_of_the_rows():
    rows = table(100)
    rows["gene"] = ["lacZ"] * 60 + ["araC"] * 40
    with pytest.raises(UserError, match="--group-column together: 'lacZ' alone has 60 of the 100"):
        read_parts(DataSettings(train="train", group_column="gene"), {"train": rows})
