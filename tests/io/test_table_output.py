from ntjax.io.table_output import write_table
from ntjax.io.tables import SequenceTable, read_table


def test_a_table_reads_back(tmp_path):
    names = ('say "a"', "b, c", "NA", "b, c", "σ70 −35")
    table = SequenceTable(
        names,
        ("ACGT", "NNA", "G", "T", "A"),
        ("1", "0", "None", "a,b", "1"),
        "made",
        (2, 3, 4, 5, 6),
    )
    path = tmp_path / "folder" / "table.csv"
    write_table(path, table)
    assert path.read_text().startswith("name,sequence,label\n")
    read = read_table(path)
    assert (read.names, read.sequences, read.labels) == (names, table.sequences, table.labels)
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


def test_without_labels(tmp_path):
    path = tmp_path / "table.csv"
    write_table(path, SequenceTable(("a",), ("ACGT",), None, "made", (1,)))
    assert path.read_text() == "name,sequence\na,ACGT\n"
