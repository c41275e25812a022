import gzip
import os
from pathlib import Path

import pytest

from ntjax.errors import MissingLabelsError, UserError
from ntjax.io.fasta import (
    FastaRecord,
    header_fields,
    open_text,
    read_fasta,
    require_file,
    split_label,
)
from ntjax.sequences.alphabet import clean_sequences


@pytest.fixture
def data_dir():
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    return Path(os.environ["NTJAX_DATA_DIR"])


def problem(path, action=lambda path: list(read_fasta(path))):
    with pytest.raises(UserError) as caught:
        action(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def written(folder, content, name="some.fa"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_multi_line_records_with_their_header_lines(tmp_path):
    path = written(tmp_path, ">first one\nACGT\nacg\n\n>second\n\nNN\n  TT  \n")
    assert list(read_fasta(path)) == [("first one", "ACGTacg", 1), ("second", "NNTT", 5)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_line_ends_byte_order_mark_and_gzip(tmp_path, newline, mark, compress):
    text = mark + newline.join([">a", "ACGT", "AC", ">b", "TT"])  # no line end after the last
    path = written(tmp_path, compress(text.encode()), "some.anything")
    assert list(read_fasta(path)) == [("a", "ACGTAC", 1), ("b", "TT", 4)]


def test_records_are_streamed(tmp_path):
    path = written(tmp_path, ">a\nAC\n>b\nGT\n>c\n")
    records = read_fasta(path)
    assert next(records).name == "a"
    assert next(records).sequence == "GT"
    with pytest.raises(UserError, match="line 5: record 'c' has no sequence"):
        next(records)


def test_an_empty_name_is_kept(tmp_path):
    assert list(read_fasta(written(tmp_path, ">\nACGT\n"))) == [("", "ACGT", 1)]


@pytest.mark.parametrize(
    ("header", "name", "label"),
    [
        ("iYMR122W-A_513047|1", "iYMR122W-A_513047", "1"),
        ("a|b|strong", "a|b", "strong"),
        ("a | 0 ", "a", "0"),
        ("|1", "", "1"),
        ("a label=1", "a", "1"),
        ("a label=1 chr20:5", "a chr20:5", "1"),
        ("gi|5|x label=no", "gi|5|x", "no"),
        ("label=2", "", "2"),
        ("a mislabel=1", "a mislabel=1", None),
        ("a label=", "a", None),
        ("a", "a", None),
        ("a|", "a|", None),
        ("Escherichia coli str K-12 CDS--2", "Escherichia coli str K-12 CDS--2", None),
        (
            "gi|110640213|ref|NC_008253.1| Escherichia coli 536, complete genome",
            "gi|110640213|ref|NC_008253.1| Escherichia coli 536, complete genome",
            None,
        ),
    ],
)
def test_labels_in_headers(header, name, label):
    assert split_label(header) == (name, label)


def fields(*headers, require_labels=True):
    records = [FastaRecord(header, "ACGT", 2 * n + 1) for n, header in enumerate(headers)]
    return header_fields(records, "some.fa", require_labels)


def test_a_last_field_that_names_a_part_is_no_label():
    """The layout of iLearn's input files."""
    found = fields("a|1|training", "b|c|0|testing", "1:300:-|1|training")
    assert found[:2] == (["a", "b|c", "1:300:-"], ["1", "0", "1"])
    assert found.notes == (
        "the last field of the headers, training (2), testing (1), names a part; the label is the "
        "field before; the parts are not kept apart",
    )
    assert fields("a|1|Training").labels == ["1"]
    assert fields("a|1", "b|0").notes == ()


def test_parts_in_some_headers_only_are_refused():
    with pytest.raises(MissingLabelsError, match=r"some\.fa: line 3: the header has no last field"):
        fields("a|1|training", "b|0")
    assert fields("a|1|training", "b", require_labels=False).labels is None
    with pytest.raises(MissingLabelsError, match=r"line 1: header '>a\|training' has no label"):
        fields("a|training", "b|training")


def test_classes_called_test_and_control_are_classes():
    assert fields("a|x|test", "b|x|control").labels == ["test", "control"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (">a\nACGT\n>b\n>c\nAC\n", "line 3: record 'b' has no sequence"),
        (">a\n>b\n", "line 1: record 'a' has no sequence"),
        (">a\n\n  \n", "line 1: record 'a' has no sequence"),
        ("\nACGT\n>a\nAC\n", "line 2: 'ACGT' stands before the first header"),
        ("\n\n", "holds no FASTA record"),
        ("", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        ("@r1\nACGT\n+\nIIII\n", "FASTQ"),
    ],
)
def test_bad_records(tmp_path, content, expected):
    assert expected in problem(written(tmp_path, content))


def test_long_headers_and_lines_are_shortened_in_messages(tmp_path):
    assert len(problem(written(tmp_path, "A" * 5000))) - len(str(tmp_path)) < 160
    assert len(problem(written(tmp_path, ">" + "b" * 5000))) - len(str(tmp_path)) < 160


def test_missing_file_suggests_a_near_name(tmp_path):
    written(tmp_path, ">a\nAC\n", "promoters.fasta")
    message = problem(tmp_path / "promotors.fasta")
    assert "no such file" in message
    assert f"did you mean '{tmp_path / 'promoters.fasta'}'?" in message
    assert "check the path" in problem(tmp_path / "zebra")


def test_missing_folder_is_named(tmp_path):
    message = problem(tmp_path / "nowhere" / "x.fa")
    assert f"the folder '{tmp_path / 'nowhere'}' does not exist" in message


def test_folder_and_pipe(tmp_path):
    assert "is a folder" in problem(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in problem(tmp_path / "pipe", require_file)


@pytest.mark.parametrize("path", ["\0", "x" * 5000])
def test_impossible_names(path):
    with pytest.raises(UserError, match="no such file"):
        require_file(path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read any file"
)
def test_no_permission(tmp_path):
    path = written(tmp_path, ">a\nAC\n")
    path.chmod(0)
    assert "no permission" in problem(path)


def noisy_fasta():
    """200 kB that gzip can't shrink to less than its read buffer."""
    letters = b"ACGT"
    sequence = bytes(letters[byte & 3] for byte in os.urandom(200_000))
    return b">a\n" + sequence + b"\n"


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(noisy_fasta())
    assert len(list(read_fasta(written(tmp_path, whole)))) == 1
    for keep in (5, 30, len(whole) // 2, len(whole) - 4):
        assert "gzip data are damaged" in problem(written(tmp_path, whole[:keep]))
    for position in (len(whole) // 2, len(whole) - 6):  # deflate stream; checksum
        flipped = bytearray(whole)
        flipped[position] ^= 0xFF
        assert "gzip data are damaged" in problem(written(tmp_path, bytes(flipped)))
    assert "gzip data are damaged" in problem(written(tmp_path, b"\x1f\x8b" + b"\xff" * 100))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG image"),
        (b"%PDF-1.7\n", "PDF"),
        (
            b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml",
            "Excel workbook: export the sheet as CSV",
        ),
        (b"PK\x03\x04" + b"\0" * 26 + b"a.fa", "ZIP archive"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\n<!DOCTYPE html>\n<html>", "web page"),
        (">a\nACGT\n".encode("utf-16"), "UTF-16"),
        (">a\nACGT\n".encode("utf-16-le"), "UTF-16"),
        (b">a\nAC\x00GT\n", "binary data"),
        (bytes(range(1, 32)), "binary data"),
        (">Bäcillus\nACGT\n".encode("latin-1"), "byte 0xe4 is not UTF-8"),
        (b">a\n" + b"A" * 100_000 + b"\xff\n", "byte 0xff is not UTF-8"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_what_is_not_text(tmp_path, content, expected, compress):
    assert expected in problem(written(tmp_path, compress(content)))


def test_open_text_reads_as_python_does(tmp_path):
    path = written(tmp_path, gzip.compress("\ufeffé\r\nb".encode()))
    with open_text(path, newline="") as file:
        assert file.read() == "é\r\nb"
    with open_text(path) as file:
        assert file.read() == "é\nb"


def independent_records(path):
    """Headers, sequences and header lines, by splitting the text at '>'."""
    text = gzip.decompress(path.read_bytes()).decode()
    line = 1
    for chunk in text.split(">")[1:]:
        header, _, letters = chunk.partition("\n")
        yield header.strip(), letters.replace("\n", "").replace("\r", ""), line
        line += chunk.count("\n")


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("histone/*.fna.gz", 8),
        ("enhancers/*.fa.gz", 8),
        ("promoters/ipro_mp/T*/*.txt.gz", 38),
        ("genomes/*.fna.gz", 10),
    ],
)
def test_real_files_against_an_independent_parse(data_dir, pattern, files):
    paths = sorted(data_dir.glob(pattern))
    assert len(paths) == files
    for path in paths:
        assert list(read_fasta(path)) == list(independent_records(path))


def test_labels_of_real_headers(data_dir):
    histone = [split_label(record.name)[1] for record in read_fasta(data_dir / "histone/H3.fna.gz")]
    assert len(histone) == 1497
    assert set(histone) == {"0", "1"}
    for pattern in ("promoters/ipro_mp/Test/*.txt.gz", "enhancers/*.fa.gz", "genomes/*.fna.gz"):
        for path in data_dir.glob(pattern):
            assert all(split_label(record.name)[1] is None for record in read_fasta(path))


def test_ambiguous_letters_of_a_real_file(data_dir):
    path = data_dir / "promoters/ipro_mp/Train/12_train.txt.gz"
    records = list(read_fasta(path))
    sequences = [record.sequence for record in records]
    rows = [record.row for record in records]
    with pytest.raises(UserError) as caught:
        clean_sequences(sequences, rows, str(path))
    first = next(r for r in records if set(r.sequence) & set("KRWY"))
    assert f"row {first.row}, position" in str(caught.value)
    cleaned, notes = clean_sequences(sequences, rows, str(path), ambiguous="n")
    changed = sum(not set("KRWY").isdisjoint(sequence) for sequence in sequences)
    assert notes == (f"N replaced 7 IUPAC codes in {changed} rows",)
    # The file holds 3 N and 7 codes for two bases: 2 K, 1 R, 2 W, 2 Y.
    assert sum(sequence.count("N") for sequence in cleaned) == 10
    assert {len(sequence) for sequence in cleaned} == {81}
