import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.genomes import indexing as genomes
from ntjax.genomes import store as genome_store
from ntjax.genomes.indexing import open_genome

CODES = {"A": 0, "T": 1, "C": 2, "G": 3}
LETTER_SHARES = [0.11] * 8 + [0.03] * 2 + [0.02] * 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def data_dir():
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    return Path(os.environ["NTJAX_DATA_DIR"])


def written(folder, content, name="some.fa"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parsed(text):
    """Names, codes per contig and runs free of N, one letter at a time."""
    names, sequences = [], []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.startswith(">"):
            names.append(line[1:].split()[0])
            sequences.append("")
        elif names:
            sequences[-1] += line.replace(" ", "").upper()
    codes = [[CODES.get(letter, 4) for letter in sequence] for sequence in sequences]
    runs, place = [], 0
    for sequence in codes:
        inside = False
        for code in sequence:
            if code < 4 and not inside:
                runs.append([place, place])
            inside = code < 4
            place += 1
            if inside:
                runs[-1][1] = place
    return names, codes, runs


def assert_equals(genome, text):
    names, codes, runs = parsed(text)
    assert [contig.name for contig in genome.contigs] == names
    stored = [genome.letters[contig.start : contig.end].tolist() for contig in genome.contigs]
    assert stored == codes
    assert len(genome.letters) == sum(map(len, codes))
    assert genome.stretches.tolist() == runs
    assert genome.letters.dtype == np.uint8
    assert genome.stretches.dtype == np.int64


def made(seed, newline="\n", width=23):
    """Seven records with lower case, runs of N, IUPAC codes, blank lines, odd line lengths."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(7):
        letters = random.choice(list("ACGTacgtNNnRy"), 200, p=LETTER_SHARES)
        start = random.integers(0, 150)
        letters[start : start + random.integers(0, 40)] = "N"
        sequence = "".join(letters)[: random.integers(1, 200)]
        lines += [f">contig{number} of {newline!r}"]
        lines += [sequence[place : place + width] for place in range(0, len(sequence), width)]
        lines += [""] * int(random.integers(0, 2))
    return newline.join(lines)


@pytest.mark.parametrize("read_bytes", [1, 7, 64, 1000, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_a_store_equals_a_letter_by_letter_parse(tmp_path, monkeypatch, newline, read_bytes):
    monkeypatch.setattr(genomes, "_READ_BYTES", read_bytes)
    for seed in range(3):
        text = made(seed, newline)
        path = written(tmp_path, text, f"{seed}.fa")
        assert_equals(open_genome(path), text)


@pytest.mark.parametrize("read_bytes", [7, 1 << 20])
@pytest.mark.parametrize("ending", ["", "\n", "\n\n"], ids=["no_end", "end", "blank_line"])
def test_a_contig_on_one_long_line(tmp_path, monkeypatch, read_bytes, ending):
    monkeypatch.setattr(genomes, "_READ_BYTES", read_bytes)
    text = made(5, width=10**6) + ending
    assert_equals(open_genome(written(tmp_path, text)), text)


def test_gzip_and_a_byte_order_mark(tmp_path):
    text = made(1)
    path = written(tmp_path, gzip.compress(b"\xef\xbb\xbf" + text.encode()), "some.fna.gz")
    genome = open_genome(path)
    assert_equals(genome, text)
    assert genome.name == "some"
    assert genome.path == path


def test_runs_do_not_join_over_contigs(tmp_path):
    genome = open_genome(written(tmp_path, ">a\nACGT\n>b\nNNAC\n>c\nGT\n"))
    assert genome.stretches.tolist() == [[0, 4], [6, 8], [8, 10]]


def test_a_header_without_a_name(tmp_path):
    assert open_genome(written(tmp_path, ">\nACGT\n")).contigs == (("unnamed", 0, 4),)


@pytest.mark.parametrize("name", ["ecoli_k12_mg1655", "vcholerae_n16961"])
def test_real_genomes_equal_an_independent_parse(data_dir, name):
    path = data_dir / "genomes" / f"{name}.fna.gz"
    genome = open_genome(path)
    records = gzip.decompress(path.read_bytes()).decode().split(">")[1:]
    assert len(genome.contigs) == len(records)
    table = np.full(256, 4, np.uint8)
    for letter, code in CODES.items():
        table[[ord(letter), ord(letter.lower())]] = code
    for contig, record in zip(genome.contigs, records, strict=True):
        header, _, body = record.partition("\n")
        expected = table[np.frombuffer("".join(body.split()).encode(), np.uint8)]
        assert contig.name == header.split()[0]
        np.testing.assert_array_equal(genome.letters[contig.start : contig.end], expected)
    known = np.zeros(len(genome.letters), bool)
    for start, end in genome.stretches:
        known[start:end] = True
    np.testing.assert_array_equal(known, np.asarray(genome.letters) < 4)


def test_a_store_is_made_once(tmp_path, monkeypatch, cache):
    path = written(tmp_path, made(0))
    open_genome(path)
    monkeypatch.setattr(genomes, "_fill", None)  # would fail if it were called
    assert_equals(open_genome(path), made(0))
    assert [entry.name[0] for entry in (cache / "genomes").iterdir()] != ["."]
    assert len(list((cache / "genomes").iterdir())) == 1


def test_a_changed_file_is_read_again(tmp_path):
    path = written(tmp_path, made(0))
    before = open_genome(path)
    written(tmp_path, made(1))
    assert_equals(open_genome(path), made(1))
    assert_equals(before, made(0))  # whoever has it open is not disturbed


def shorten(path):
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("name", ["letters.u8", "stretches.npy", "index.json"])
@pytest.mark.parametrize(
    "damage",
    [
        shorten,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("{}"),
        lambda path: path.write_text("[1]"),
        lambda path: path.write_text('{"contigs": []}'),
    ],
    ids=["shortened", "missing", "empty", "no_keys", "other_json", "no_contigs"],
)
def test_a_damaged_store_is_made_again(tmp_path, cache, name, damage):
    path = written(tmp_path, made(0))
    open_genome(path)
    [folder] = (cache / "genomes").iterdir()
    damage(folder / name)
    assert_equals(open_genome(path), made(0))
    assert list((cache / "genomes").iterdir()) == [folder]


def test_another_process_that_was_faster_wins(tmp_path, monkeypatch, cache):
    path = written(tmp_path, made(0))
    fill, calls = genomes._fill, []

    def overtaken(path, store):
        if not calls:
            calls.append(path)
            open_genome(path)
        fill(path, store)

    monkeypatch.setattr(genomes, "_fill", overtaken)
    assert_equals(open_genome(path), made(0))
    assert len(list((cache / "genomes").iterdir())) == 1


def test_what_killed_processes_left_is_removed(tmp_path, cache):
    old, recent = cache / "genomes" / ".a.1-x.tmp", cache / "genomes" / ".b.1-x.tmp"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    open_genome(written(tmp_path, made(0)))
    assert not old.exists()
    assert recent.exists()


def problem(path):
    with pytest.raises(UserError) as caught:
        open_genome(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (">p\nACGT\nMEFLIP\n", "line 3: 'E' is no nucleotide .* is this a protein"),
        (">p\nMKKVRDDVNGGHHSSTTWWKKYYRRDD\n", "of its letters stand for several .* a protein"),
        (">r\nACGUUGC\n", "line 2: 'U' is no nucleotide .*: write T for U"),
        (
            ">a x\nACGT\n>b\nA--G\nAC-\n>c\n-\n",
            r"line 4: '-' is no .*: 4 gaps \('-'\) in 2 records \('b', 'c'\): .*remove the gaps",
        ),
        (">a\nAC>GT\n", "line 2: '>' is no nucleotide"),
        (">a\nACGT\n\n>b\n>c\nA\n", "line 4: record 'b' has no sequence: add its letters"),
        (">a\nACGT\n>b\n \n", "line 3: record 'b' has no sequence"),
        ("", "the file is empty: write or download it again"),
        ("\n\n", "holds no FASTA record"),
        (">a\nNNNN\nnn\n", "holds nothing but N"),
        ("\nACGT\n>a\nACGT\n", "line 2: 'ACGT' stands before the first header"),
        (
            gzip.compress(b">a\n" + b"ACGT" * 1000, mtime=0)[:-12],
            "gzip data are damaged or incomplete",
        ),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"\x89PNG\r\n", "is a PNG image"),
        ("@read\nACGT\n+\nIIII\n", "is FASTQ: convert it to FASTA"),
    ],
    ids=[
        "protein",
        "protein_of_iupac_letters",
        "rna",
        "aligned",
        "header_within_a_line",
        "empty_record",
        "empty_last_record",
        "empty_file",
        "blank_lines",
        "only_n",
        "no_header",
        "truncated_gzip",
        "empty_gzip",
        "image",
        "fastq",
    ],
)
@pytest.mark.parametrize("read_bytes", [3, 1 << 20])
def test_what_is_no_genome_is_refused(tmp_path, monkeypatch, cache, content, expected, read_bytes):
    monkeypatch.setattr(genomes, "_READ_BYTES", read_bytes)
    with pytest.raises(UserError, match=expected):
        open_genome(written(tmp_path, content))
    problem(tmp_path / "some.fa")
    assert not list(cache.glob("genomes/*")), "nothing half-written"


def test_a_long_line_is_counted_once(tmp_path, monkeypatch):
    monkeypatch.setattr(genomes, "_READ_BYTES", 5)
    path = written(tmp_path, ">a\n" + "ACGT" * 10 + "\nAC\nAE\n")
    assert "line 4: 'E'" in problem(path)


def test_a_missing_file_names_a_near_one(tmp_path):
    written(tmp_path, made(0), "ecoli.fna.gz")
    assert "did you mean" in problem(tmp_path / "ecoli.fa.gz")
    assert "ecoli.fna.gz" in problem(tmp_path / "ecoli.fa.gz")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write any file"
)
def test_permissions(tmp_path, cache):
    path = written(tmp_path, made(0))
    path.chmod(0)
    assert "no permission to read it" in problem(path)
    path.chmod(0o600)
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(mode=0o500)
    assert "set NTJAX_CACHE_DIR" in problem(path)


def test_a_cache_that_cannot_be_written(tmp_path, cache):
    cache.write_text("a file, not a folder")
    assert "set NTJAX_CACHE_DIR" in problem(written(tmp_path, made(0)))


def test_a_full_disk_is_not_blamed_on_the_genome(tmp_path, monkeypatch, cache):
    def full(writer, codes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(genome_store.StoreWriter, "add", full)
    path = written(tmp_path, made(0))
    message = problem(path)
    assert message.startswith(str(cache))
    assert "No space left on device" in message
    assert not list(cache.glob("genomes/*"))
