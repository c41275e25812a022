import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntjax.errors import UserError
from ntjax.genomes import reference_windows as module
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.reference_windows import (
    open_reference_windows,
    reference_windows,
    window_count,
    write_reference_windows,
)
from ntjax.genomes.windows import Region, WindowSampler
from ntjax.sequences.tokenizer import Tokenizer

# Letters of the chromosomes of hg38 (GRCh38), as published by UCSC and NCBI.
HG38 = {
    "chr1": 248_956_422,
    "chr2": 242_193_529,
    "chr3": 198_295_559,
    "chr4": 190_214_555,
    "chr5": 181_538_259,
    "chr6": 170_805_979,
    "chr7": 159_345_973,
    "chr8": 145_138_636,
    "chr9": 138_394_717,
    "chr10": 133_797_422,
    "chr11": 135_086_622,
    "chr12": 133_275_309,
    "chr13": 114_364_328,
    "chr14": 107_043_718,
    "chr15": 101_991_189,
    "chr16": 90_338_345,
    "chr17": 83_257_441,
    "chr18": 80_373_285,
    "chr19": 58_617_616,
    "chr20": 64_444_167,
    "chr21": 46_709_983,
    "chr22": 50_818_468,
    "chrX": 156_040_895,
    "chrY": 57_227_415,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "cache"))


def random_letters(seed, count):
    return "".join(np.random.default_rng(seed).choice(list("ACGTN"), count, p=[0.24] * 4 + [0.04]))


@pytest.fixture
def contigs():
    """Three chromosomes, one of them too short for a window."""
    return {
        "chr20": random_letters(0, 40_000),
        "chr21": random_letters(1, 199),
        "22": random_letters(2, 12_200),
    }


@pytest.fixture
def genome(tmp_path, contigs):
    path = tmp_path / "some.fa"
    path.write_text("".join(f">{name} made\n{text}\n" for name, text in contigs.items()))
    return open_genome(path)


def test_the_papers_counts():
    counts = {name: window_count(letters) for name, letters in HG38.items()}
    assert counts.pop("chr21") == 7_784
    assert counts.pop("chr22") == 8_469
    assert sum(counts.values()) == 498_444


@pytest.mark.parametrize(
    ("letters", "count"), [(0, 0), (199, 0), (6_199, 0), (6_200, 1), (12_199, 1), (12_200, 2)]
)
def test_window_count(letters, count):
    assert window_count(letters) == count


@pytest.mark.parametrize("own", [6000, 12_000])
def test_windows_overlap_and_cover(genome, contigs, own):
    rows = list(reference_windows(genome, own))
    for name, text in contigs.items():
        those = [row for row in rows if row.chromosome == name]
        assert len(those) == {40_000: 39_800, 199: 0, 12_200: 12_000}[len(text)] // own
        for number, row in enumerate(those):
            assert (row.start_pos, row.end_pos) == (number * own, number * own + own + 200)
            assert row.sequence == text[row.start_pos : row.end_pos]
        # Without the 100 letters that each side shares, every letter is in one window.
        inner = "".join(row.sequence[100:-100] for row in those)
        assert inner == text[100 : 100 + own * len(those)]
    assert {row.chromosome for row in rows} == {"chr20", "22"}


def test_chosen_chromosomes(genome):
    rows = list(reference_windows(genome, chromosomes=["chr22", "20"]))
    assert [row.chromosome for row in rows] == ["22"] * 2 + ["chr20"] * 6
    with pytest.raises(
        UserError, match=r"there is no contig 'Z' in .*, which has 'chr20', 'chr21', '22'"
    ):
        list(reference_windows(genome, chromosomes=["Z"]))


def test_files_by_chromosome(genome, tmp_path):
    folder = tmp_path / "layout"
    counts = write_reference_windows(genome, folder, {"test": ["chr22"]})
    assert counts == {"train": 6, "test": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["test.csv.gz", "train.csv.gz"]
    for part, chromosome in (("train", "20"), ("test", "22")):
        expected = pd.DataFrame(reference_windows(genome, chromosomes=[chromosome]))
        read = pd.read_csv(folder / f"{part}.csv.gz", dtype={"chromosome": str})
        pd.testing.assert_frame_equal(read, expected)
    before = (folder / "train.csv.gz").read_bytes()
    write_reference_windows(genome, folder, {"test": ["chr22"]})
    assert (folder / "train.csv.gz").read_bytes() == before


def test_splits_that_cannot_be(genome, tmp_path):
    with pytest.raises(UserError, match="part 'validation' has no chromosome of 6,200 letters"):
        write_reference_windows(genome, tmp_path / "layout")
    with pytest.raises(UserError, match="'22' is in two parts"):
        write_reference_windows(genome, tmp_path / "layout", {"a": ["22"], "b": ["22"]})
    with pytest.raises(UserError, match="'22' is in two parts, or not among those to use"):
        write_reference_windows(genome, tmp_path / "x", {"a": ["22"]}, chromosomes=["chr20"])
    (tmp_path / "layout").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write_reference_windows(genome, tmp_path / "layout", {"a": ["22"]})


def test_a_written_file_is_read_as_contigs(genome, tmp_path, contigs, monkeypatch):
    write_reference_windows(genome, tmp_path, {"test": ["chr22"]})
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 4)
    store = open_reference_windows(tmp_path / "train.csv.gz")
    rows = list(reference_windows(genome, chromosomes=["20"]))
    names = [f"chr20:{row.start_pos}-{row.end_pos}" for row in rows]
    assert [contig.name for contig in store.contigs] == names
    for contig, row in zip(store.contigs, rows, strict=True):
        codes = store.letters[contig.start : contig.end]
        assert "".join("ATCGN"[code] for code in codes) == row.sequence
    ends = {contig.end for contig in store.contigs}
    for start, end in store.stretches:
        assert not ends & set(range(start + 1, end)), "a run goes over two rows"


def test_random_offsets_within_the_rows(tmp_path):
    # Rows of 6,200 letters, windows of 999 6-mers: 5,994 letters begin at 207 places of each row.
    texts = [random_letters(n, 6_200).replace("N", "A") for n in range(2)]
    path = tmp_path / "rows.csv"
    path.write_text("sequence\n" + "\n".join(texts) + "\n")
    store = open_reference_windows(path)
    assert [contig.name for contig in store.contigs] == ["row_2", "row_3"]
    region = Region(store, store.stretches)
    assert region.count(5_994) == 2 * 207
    sampler = WindowSampler([region], None, Tokenizer.for_vocabulary_size(4105, 6), 1000, 0)
    decoded = sampler.tokenizer.decode(sampler.rows(0, 40))
    assert sum(any(text in row for row in texts) for text in decoded) in range(8, 33)


def test_iupac_codes_tabs_and_other_columns(tmp_path):
    path = tmp_path / "rows.tsv.gz"
    lines = ["label\tsequence", "1\tACGTRYacgt", "", "0\tNNNN", "0\tTT"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    store = open_reference_windows(path)
    assert [contig.name for contig in store.contigs] == ["row_2", "row_4", "row_5"]
    assert store.stretches.tolist() == [[0, 4], [6, 10], [14, 16]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seq,chromosome\nACGT,1\n", "no column 'sequence' among seq, chromosome"),
        ("sequence,label\nACGT,1\n,2\n", "row 3: the sequence is empty: fill it in"),
        ("sequence,chromosome,start_pos,end_pos\nAC,1,0,2\n,1,2,4\n", "row 3: the sequence is e"),
        ("sequence\nACGT\nMEFLIP\n", "row 3: 'E' is no nucleotide"),
        ("sequence\nACGTé\n", "row 2: 'é' is no nucleotide"),
        ("sequence\nNNN\n", "holds nothing but N"),
        ("sequence\n", "has column names but no rows"),
        ("sequence,a\nACGT,1,2\n", "line 2 has 3 fields, the header 2"),
    ],
    ids=["column", "half", "empty", "protein", "accent", "only_n", "no_rows", "ragged"],
)
def test_unusable_files(tmp_path, text, expected):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=expected) as caught:
        open_reference_windows(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_human_chromosome(tmp_path):
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    path = Path(os.environ["NTJAX_DATA_DIR"]) / "human" / "chr20_b37.fa.gz"
    genome = open_genome(path)
    assert [len(genome.letters)] == [63_025_520]
    rows = unknown = 0
    for row in reference_windows(genome):
        assert len(row.sequence) == 6_200
        rows += 1
        unknown += row.sequence[100:-100].count("N")
    assert rows == (63_025_520 - 200) // 6000 == 10_504
    letters = np.asarray(genome.letters[100 : 100 + rows * 6000])
    assert unknown == np.count_nonzero(letters == 4)
