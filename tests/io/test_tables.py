import csv
import gzip
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
from ntjax.io.labels import encode_labels, require_two_classes
from ntjax.io.tables import SequenceTable, read_table

SMALL = "name,sequence,label\nthrB,ACGTAC,1\ndnaA,ggcatn,0\nthrB,TTTTTT,1\n"
PROMOTER = "TTGACAATTAATCATCGAACTAGTTAACTAGTACGCAAGTTCACG"


@pytest.fixture
def data_dir():
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    return Path(os.environ["NTJAX_DATA_DIR"])


def written(folder, content, name="some.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problem(path, **options):
    """The one-line message about a file that can't be read."""
    with pytest.raises(UserError) as caught:
        read_table(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def parquet(path, **columns):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (ntjax[parquet])")
    pd.DataFrame(columns).to_parquet(path)
    return path


# Formats


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("some.csv", SMALL),
        ("some.CSV", SMALL),
        ("some.tsv", SMALL.replace(",", "\t")),
        ("some.txt", SMALL.replace(",", "\t")),
        ("some.txt", SMALL),
        ("some", SMALL),
        ("some.data", SMALL.replace(",", "\t")),
        ("some.csv", SMALL.replace(",", "\t")),  # the extension lies
        ("some.tsv", SMALL),
        ("some.csv", SMALL.replace(",", ";")),  # Excel in many countries
        ("some.csv", SMALL.replace("\n", "\r\n")),
        ("some.csv", SMALL.replace("\n", "\r")),
        ("some.csv", "\ufeff" + SMALL),
        ("some.csv", SMALL.rstrip("\n")),
        ("some.csv", SMALL.replace("dnaA", '"dnaA"').replace("sequence", '" sequence "')),
        ("some.parquet", SMALL),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_the_same_table_in_text_formats(tmp_path, name, text, compress):
    content = compress(text.encode())
    for file_name in (name, name + ".gz"):  # the content tells whether it is compressed
        path = written(tmp_path, content, file_name)
        assert read_table(path) == SequenceTable(
            names=("thrB", "dnaA", "thrB"),
            sequences=("ACGTAC", "GGCATN", "TTTTTT"),
            labels=("1", "0", "1"),
            source=str(path),
            rows=(2, 3, 4),
        )


@pytest.mark.parametrize("name", ["some.parquet", "some.csv", "some"])
def test_parquet(tmp_path, name):
    path = parquet(
        tmp_path / name,
        label=[1, 0, 1],
        unused=[[1], [2], []],
        sequence=["ACGTAC", "ggcatn", "TTTTTT"],
        name=["thrB", None, "thrB"],
    )
    assert read_table(path) == SequenceTable(
        names=("thrB", "row_2", "thrB"),
        sequences=("ACGTAC", "GGCATN", "TTTTTT"),
        labels=("1", "0", "1"),
        source=str(path),
        rows=(1, 2, 3),
    )


@pytest.mark.parametrize("name", ["some.fa", "some.fasta", "some.fna", "some.fas", "some.csv", "x"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_fasta(tmp_path, name, compress):
    text = ">thrB|1\nACG\nTAC\n\n>dnaA chr label=0\nggcatn\n>|1\nTTTTTT\n"
    path = written(tmp_path, compress(text.encode()), name)
    assert read_table(path) == SequenceTable(
        names=("thrB", "dnaA chr", "row_7"),
        sequences=("ACGTAC", "GGCATN", "TTTTTT"),
        labels=("1", "0", "1"),
        source=str(path),
        rows=(1, 5, 7),
    )


@pytest.mark.parametrize(
    ("text", "rows", "note"),
    [
        ("# made by hand, v2\n#\n" + SMALL, (4, 5, 6), "skipped 2 lines that begin with '#'"),
        ('# 3" x 5"\n' + SMALL, (3, 4, 5), "skipped 1 line that begin with '#'"),
        ("sep=;\n" + SMALL.replace(",", ";"), (3, 4, 5), None),
        ('"sep=\t"\r\n' + SMALL.replace(",", "\t"), (3, 4, 5), None),
        ("sep=;\n#x\n" + SMALL.replace(",", ";"), (4, 5, 6), "skipped 1 line that begin with '#'"),
        (
            SMALL.replace("dnaA", "# a, b\n#c\ndnaA").replace("# a, b\n", ""),
            (2, 4, 5),
            "skipped 1 line below that begin with '#'",
        ),
    ],
)
def test_comments_and_the_line_of_excel_are_skipped(tmp_path, text, rows, note):
    path = written(tmp_path, text)
    table = read_table(path)
    assert table.names == ("thrB", "dnaA", "thrB")
    assert table.labels == ("1", "0", "1")
    assert table.rows == rows
    assert table.notes == ((f"{path}: {note}",) if note else ())


def test_lines_keep_their_numbers_below_comments(tmp_path):
    comments = "# a\n# b\n"
    assert "line 4 has 3 fields" in problem(
        written(tmp_path, comments + "sequence,label\nAC,1,x\n")
    )
    assert "opened in line 5 is" in problem(
        written(tmp_path, comments + 'sequence,label\nAC,1\n"AC,1\n')
    )
    assert "line 3 is blank" in problem(written(tmp_path, comments))


def test_names_of_columns_may_begin_with_a_number_sign(tmp_path):
    path = written(tmp_path, f"# by x, v2\n#name\tsequence\tlabel\na\t{PROMOTER}\t1\n", "a.tsv")
    table = read_table(path)
    assert (table.names, table.sequences, table.labels) == (("a",), (PROMOTER,), ("1",))
    assert table.rows == (3,)


def test_row_names_of_r(tmp_path):
    """What `write.table(frame, sep = "\t")` writes: the row names have no column name."""
    head = '"sequence"\t"label"\n'
    path = written(tmp_path, f'{head}"1"\t"{PROMOTER}"\t0\n"thrB"\t"ACGT"\t1\n', "r.tsv")
    table = read_table(path)
    assert (table.names, table.sequences) == (("1", "thrB"), (PROMOTER, "ACGT"))
    assert (table.labels, table.rows) == (("0", "1"), (2, 3))
    assert table.notes == (
        f"{path}: the first field of each row has no column name: it is taken for a row name",
    )
    named = written(tmp_path, f'"name"\t{head}"1"\t"a"\t"{PROMOTER}"\t0\n', "r.tsv")
    assert read_table(named).names == ("a",)
    surplus = written(tmp_path, f"sequence,label\n{PROMOTER},1,a note\n")
    assert "line 2 has 3 fields, the header 2" in problem(surplus)


def test_parts_in_fasta_headers_are_noted(tmp_path):
    path = written(tmp_path, ">a|1|training\nACGT\n>a|0|testing\nGGCC\n", "some.fa")
    table = read_table(path)
    assert (table.names, table.labels) == (("a", "a"), ("1", "0"))
    assert table.notes[0].startswith(f"{path}: the last field of the headers, training (1), ")
    assert table.take([1]).notes == table.notes
    assert read_table(path, require_labels=False).labels == ("1", "0")


def test_kmers_are_joined(tmp_path):
    path = written(tmp_path, "sequence\tlabel\nACG CGT\t1\nGGC GCA CAT\t0\n", "k.tsv")
    for ambiguous in ("refuse", "n"):
        table = read_table(path, ambiguous=ambiguous)
        assert table.sequences == ("ACGT", "GGCAT")
        assert table.notes == (f"{path}: joined the overlapping 3-mers of 2 rows",)


@pytest.mark.parametrize("module", ["tables", "given_rows", "table_output"])
def test_pandas_is_loaded_when_a_table_is(module):
    code = f"import ntjax.io.{module}, sys; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_columns_by_name(tmp_path):
    path = written(tmp_path, "dna,class,id,label\nACGT,yes,a,7\nGGCC,no,b,8\n")
    table = read_table(path, sequence_column="dna", label_column="class", name_column="id")
    assert (table.names, table.labels) == (("a", "b"), ("yes", "no"))
    assert table.sequences == ("ACGT", "GGCC")


def test_quoted_fields(tmp_path):
    path = written(tmp_path, 'name,sequence,label\n"thr, ""B""","ACGT","a, b"\n')
    table = read_table(path)
    assert (table.names, table.labels) == (('thr, "B"',), ("a, b",))


def test_row_numbers_are_lines_though_empty_lines_are_skipped(tmp_path):
    path = written(tmp_path, "sequence,label\nAC,1\n\nGT,0\n,\n\nTT,1\n\n\n")
    table = read_table(path)
    assert table.rows == (2, 4, 7)
    assert table.names == ("row_2", "row_4", "row_7")
    path = written(tmp_path, "sequence\n\n\n\n\n\n\n?\n")
    assert "row 8, position 1" in problem(path, require_labels=False)


def test_names_are_optional(tmp_path):
    path = written(tmp_path, "sequence,label,name\nAC,1,\nGT,0,a\nTT,1, \n")
    assert read_table(path).names == ("row_2", "a", "row_4")


# Labels


def test_labels_that_pandas_made_floats(tmp_path):
    path = written(tmp_path, "sequence,label\nAC,1.0\nAC,0.0\nAC,-1.\nAC,-0.0\nAC,1\nAC,0.50\n")
    assert read_table(path).labels == ("1", "0", "-1", "0", "1", "0.50")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1, 0], dtype=np.int8), ("1", "0")),
        (np.array([1.0, 0.0]), ("1", "0")),
        (np.array([0.25, 1.5], dtype=np.float32), ("0.25", "1.5")),
        (["strong", " weak "], ("strong", "weak")),
        ([b"strong", b"weak"], ("strong", "weak")),
        ([True, False], ("True", "False")),
        (pd.Categorical(["b", "a"]), ("b", "a")),
    ],
)
def test_label_types_of_parquet(tmp_path, values, expected):
    path = parquet(tmp_path / "some.parquet", sequence=["AC", "GT"], label=values)
    assert read_table(path).labels == expected


@pytest.mark.parametrize("missing", ["", "  ", "nan", "NaN", "<NA>"])
def test_missing_labels(tmp_path, missing):
    path = written(tmp_path, f"sequence,label\nAC,1\n\nGT,{missing}\nTT,0\n")
    assert problem(path).startswith("row 4: the label is ")
    assert read_table(path, require_labels=False).labels is None


@pytest.mark.parametrize("values", [[1.0, np.nan], ["a", None], [True, None], ["a", "nan"]])
def test_missing_labels_of_parquet(tmp_path, values):
    path = parquet(tmp_path / "some.parquet", sequence=["AC", "GT"], label=values)
    assert problem(path).startswith("row 2: the label is ")


def test_na_of_r_is_missing_and_none_is_a_class(tmp_path):
    path = written(tmp_path, "sequence,label\nAC,na\nGT,None\nTT,null\n")
    assert read_table(path).labels == ("na", "None", "null")
    path = written(tmp_path, '"","sequence","label"\n"1","AC",1\n"2","GT",NA\n"3","GG",NA\n')
    assert problem(path) == (
        "row 3: the label is missing ('NA'), and 1 more are missing: fill it in or remove the row; "
        "if NA is a class, give it a longer name"
    )
    assert read_table(path, require_labels=False).labels is None


def test_labels_that_look_alike_are_refused(tmp_path):
    rows = ["Promoter", "other", "PROMOTER ", "promoter", "non-site", "non site", "promoter"]
    text = "sequence,label\n" + "".join(f"ACGT,{label}\n" for label in rows)
    path = written(tmp_path, text)
    assert problem(path).startswith(
        "row 4: labels differ only in case, blanks, hyphens or underscores: 'Promoter' (1), "
        "'PROMOTER' (1), 'promoter' (2); 'non-site' (1), 'non site' (1): write them alike"
    )
    assert read_table(path, require_labels=False).labels == tuple(map(str.strip, rows))


def test_numbers_and_names_that_share_words_are_no_labels_alike(tmp_path):
    labels = ("1e-3", "1E-3", "1", "-1", "site", "no-site", "site 1")
    text = "sequence,label\n" + "".join(f"ACGT,{label}\n" for label in labels)
    assert read_table(written(tmp_path, text)).labels == labels


def test_several_targets_are_named_as_such(tmp_path):
    path = written(tmp_path, "sequence,dev,hk\nACGT,0.5,1.5\n")
    message = problem(path, label_column="dev,hk")
    assert "one value a row; several targets are not supported" in message
    assert "did you mean" in problem(path, label_column="dev,hx")


def test_labels_are_read_though_not_required(tmp_path):
    labelled = written(tmp_path, "sequence,label\nAC,1\n")
    assert read_table(labelled, require_labels=False).labels == ("1",)
    for text in ("sequence\nAC\n", "sequence,score\nAC,1\n"):
        assert read_table(written(tmp_path, text), require_labels=False).labels is None


def test_fasta_without_all_labels_keeps_whole_headers(tmp_path):
    path = written(tmp_path, ">a|1\nAC\n>b\nGT\n", "some.fa")
    table = read_table(path, require_labels=False)
    assert (table.names, table.labels) == (("a|1", "b"), None)
    assert problem(path) == (
        "line 3: header '>b' has no label: write '>name|label' or '>name label=1' "
        "(a label without spaces)"
    )


def test_take_and_length(tmp_path):
    table = read_table(written(tmp_path, SMALL))
    assert len(table) == 3
    taken = table.take(np.array([2, 0]))
    assert taken == SequenceTable(
        names=("thrB", "thrB"),
        sequences=("TTTTTT", "ACGTAC"),
        labels=("1", "1"),
        source=table.source,
        rows=(4, 2),
    )
    assert all(type(row) is int for row in taken.rows)
    assert len(table.take([])) == 0
    unlabelled = SequenceTable(("a",), ("AC",), None, "x", (1,))
    assert unlabelled.take([0, 0]).labels is None


def test_columns_of_different_length_are_a_mistake():
    with pytest.raises(ValueError, match="differ in length"):
        SequenceTable(("a",), ("AC", "GT"), None, "x", (1, 2))
    with pytest.raises(ValueError, match="differ in length"):
        SequenceTable(("a",), ("AC",), (), "x", (1,))


# Bad input


def test_missing_file_and_folder(tmp_path):
    written(tmp_path, SMALL, "train_coli.csv")
    assert f"did you mean '{tmp_path / 'train_coli.csv'}'?" in problem(tmp_path / "train_colli.csv")
    assert problem(tmp_path).startswith("is a folder")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read any file"
)
def test_no_permission(tmp_path):
    path = written(tmp_path, SMALL)
    path.chmod(0)
    assert "no permission" in problem(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "the file is empty"),
        ("\ufeff", "line 1 is blank"),
        ("\n\n\n", "line 1 is blank"),
        ("\nsequence,label\nAC,1\n", "line 1 is blank"),
        ("sequence,label\n", "has column names but no rows"),
        ("sequence,label\n\n,\n", "has column names but no rows"),
        (
            "seq,class\nAC,1\n",
            "no column 'sequence' among 'seq', 'class': choose one with --sequence-column",
        ),
        (
            "sequence,class\nAC,1\n",
            "no column 'label' among 'sequence', 'class': choose one with --label-column",
        ),
        (
            "sequence,lable\nAC,1\n",
            "no column 'label' among 'sequence', 'lable': did you mean --label-column 'lable'?",
        ),
        ("Sequence,label\nAC,1\n", "did you mean --sequence-column 'Sequence'?"),
        ("seqence,label\nAC,1\n", "did you mean --sequence-column 'seqence'?"),
        ("sequence,label,label\nAC,1,2\n", "2 columns are called 'label'"),
        ('sequence,"la\nbel"\nAC,1\n', "did you mean --label-column 'la\\nbel'?"),
        (f"a,{PROMOTER},1\nb,{PROMOTER},0\n", "line 1 looks like data, not column names"),
        (f"{PROMOTER}\n{PROMOTER.lower()}\n", "line 1 looks like data, not column names"),
        ("sequence,label\nAC,1\nAC,1,x\n", "line 3 has 3 fields, the header 2"),
        ("sequence,label\nAC,1,\nGT,0,\n", "line 2 has 3 fields, the header 2"),
        ("label,sequence\n1,AC\n1\n", "row 3: the sequence is empty"),
        ("sequence,label\nAC,1\nGT\n", "row 3: the label is empty"),
        ('sequence,label\nAC,1\n"GT,0\nAC,1\n', 'the quote (") opened in line 3 is never closed'),
        ("sequence,label\nAC,1\n,1\n", "row 3: the sequence is empty"),
        ("sequence,label\nAC,1\nnan,1\n", "row 3: the sequence is missing ('nan')"),
        ("sequence,label\nAC,1\nACGTRA,1\n", "row 3, position 5: 'R'"),
        ("sequence,label\nAC,1\n\nACG-T,1\n", "row 4, position 4: '-'"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG image"),
        (
            b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml",
            "Excel workbook: export the sheet as CSV",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel workbook: export the sheet as CSV"),
        (bytes(range(256)), "binary data"),
        (SMALL.encode("utf-16"), "UTF-16"),
        (SMALL.encode("utf-16-be"), "UTF-16"),
        ("name,sequence,label\nbäc,AC,1\n".encode("latin-1"), "byte 0xe4 is not UTF-8"),
        (SMALL.encode() * 5000 + b"\xff,AC,1\n", "byte 0xff is not UTF-8"),
    ],
)
def test_bad_tables(tmp_path, content, expected):
    assert expected in problem(written(tmp_path, content))


def test_excel_workbook(tmp_path):
    for name in ("some.xlsx", "some.csv"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", "<workbook/>")
        assert problem(tmp_path / name) == "is an Excel workbook: export the sheet as CSV"


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_late_ragged_row_keeps_its_line_number(tmp_path, compress):
    text = "name,sequence,label\n" + f"a,{PROMOTER},1\n" * 30_000 + "a,b,c,d\n"
    assert "line 30002 has 4 fields" in problem(written(tmp_path, compress(text.encode())))


def test_many_or_long_columns_are_shortened(tmp_path):
    header = ",".join([f"column_{i}_" + "x" * 100 for i in range(50)])
    assert len(problem(written(tmp_path, header + "\n"))) < 600


def test_a_chosen_name_column_must_exist(tmp_path):
    path = written(tmp_path, SMALL)
    assert "--name-column" in problem(path, name_column="locus")


def test_ambiguous_letters_on_request(tmp_path):
    path = written(tmp_path, "sequence,label\nACRT,1\nACYS,0\n")
    table = read_table(path, ambiguous="n")
    assert table.sequences == ("ACNT", "ACNN")
    assert table.notes == (f"{path}: N replaced 3 IUPAC codes in 2 rows",)
    fasta = written(tmp_path, ">a|1\nACRT\n", "some.fa")
    assert problem(fasta).startswith("row 1, position 3: 'R'")
    assert read_table(fasta, ambiguous="n").sequences == ("ACNT",)


def test_damaged_gzip(tmp_path):
    rows = [f"{os.urandom(8).hex()},ACGTACGT,1\n" for _ in range(10_000)]
    whole = gzip.compress(("name,sequence,label\n" + "".join(rows)).encode())
    assert len(read_table(written(tmp_path, whole, "some.csv.gz"))) == 10_000
    for keep in (5, 1000, len(whole) * 3 // 4, len(whole) - 4):
        path = written(tmp_path, whole[:keep], "some.csv.gz")
        assert "gzip data are damaged" in problem(path)
    broken = bytearray(whole)
    broken[-6] ^= 0xFF  # the checksum
    assert "gzip data are damaged" in problem(written(tmp_path, bytes(broken), "some.csv.gz"))


def test_bad_fasta(tmp_path):
    for content, expected in [
        (">a|1\nAC\n>b|1\n>c|0\nGT\n", "line 3: record 'b|1' has no sequence"),
        (">a|1\n>b|0\n", "line 1: record 'a|1' has no sequence"),
        ("AC\n>a|1\nAC\n", "line 1: 'AC' stands before the first header"),
        (">a|nan\nAC\n", "row 1: the label is missing ('nan')"),
        (">a\nAC\n", "line 1: header '>a' has no label"),
    ]:
        assert expected in problem(written(tmp_path, content, "some.fna"))


def test_damaged_parquet(tmp_path):
    count = 1000
    path = parquet(
        tmp_path / "some.parquet", sequence=["ACGT"] * count, label=[1, 0] * (count // 2)
    )
    whole = path.read_bytes()
    for keep in (6, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        assert "Parquet data are damaged" in problem(path)
    path.write_bytes(gzip.compress(whole, mtime=0))
    assert "gzip-compressed Parquet" in problem(path)


def test_bad_parquet(tmp_path):
    path = tmp_path / "some.parquet"
    assert "among 'sequence', 'lable': did you mean" in problem(
        parquet(path, sequence=["AC"], lable=[1])
    )
    assert "has column names but no rows" in problem(parquet(path, sequence=[], label=[]))
    assert "row 2: the sequence is empty" in problem(
        parquet(path, sequence=["AC", None], label=[1, 0])
    )
    assert "row 2, position 2: 'X'" in problem(parquet(path, sequence=["AC", "AX"], label=[1, 0]))
    assert "column 'label' holds list" in problem(parquet(path, sequence=["AC"], label=[[1]]))
    assert "position 1: '7'" in problem(parquet(path, sequence=[7], label=[1]))


def test_parquet_without_pyarrow(tmp_path):
    path = parquet(tmp_path / "some.parquet", sequence=["AC"], label=[1])
    # In a fresh interpreter in which pyarrow can't be imported, as where it isn't installed.
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from ntjax.io.tables import read_table\n"
        "from ntjax.errors import UserError\n"
        "try:\n    read_table(sys.argv[1])\nexcept UserError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout == f'{path}: reading Parquet needs pyarrow: pip install "ntjax[parquet]"\n'


# Real files


def independent_rows(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_promoter_test_set(data_dir):
    path = data_dir / "promoters/prokprompred/test.csv"
    table, rows = read_table(path), independent_rows(path)
    assert len(table) == 1865
    assert table.labels.count("1") == 865
    assert table.rows == tuple(range(2, 1867))
    assert table.names == tuple(row["name"] for row in rows)
    assert table.sequences == tuple(row["sequence"].upper() for row in rows)
    assert table.labels == tuple(row["label"] for row in rows)
    assert {len(sequence) for sequence in table.sequences} == {81}
    assert require_two_classes(table.labels, table.source) == ("0", "1")


def test_promoter_training_set(data_dir):
    path = data_dir / "promoters/prokprompred/train_coli.csv"
    table, rows = read_table(path), independent_rows(path)
    assert len(table) == 17_232
    assert encode_labels(table.labels, ("0", "1"), table.source).sum() == 8616
    assert table.sequences == tuple(row["sequence"].upper() for row in rows)
    assert len(set(table.names)) < len(table)  # names repeat there


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_human_promoters(data_dir, part):
    path = data_dir / f"human_promoters/tata_{part}.csv.gz"
    table, rows = read_table(path, label_column="class"), independent_rows(path)
    assert table.sequences == tuple(row["sequence"].upper() for row in rows)
    assert table.labels == tuple(row["class"] for row in rows)
    assert table.names[0] == "row_2"
    assert problem(path) == (
        "no column 'label' among 'sequence', 'class': choose one with --label-column"
    )


def test_histone_marks(data_dir):
    table = read_table(data_dir / "histone/H3K9ac.fna.gz")
    assert len(table) == 2779
    assert (table.names[0], table.labels[0]) == ("YDR422C_SIP1_1316344", "0")
    assert require_two_classes(table.labels, table.source) == ("0", "1")


def test_unlabelled_real_files(data_dir):
    path = data_dir / "promoters/ipro_mp/Test/10_test.txt.gz"
    assert "header '>Escherichia coli str K-12" in problem(path)
    table = read_table(path, require_labels=False)
    assert len(table) == 3738
    assert table.names[0] == "Escherichia coli str K-12 substr. MG1655--2"
    enhancers = read_table(
        data_dir / "enhancers/layer1_train_nonenhancers.fa.gz", require_labels=False
    )
    assert len(enhancers) == 1484
    assert set("".join(enhancers.sequences)) == set("ACGT")
