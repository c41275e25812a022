import gzip
import os
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from experiments.coding_strand.make_dataset import ROWS, Options, draw_windows, make
from experiments.promoters.data.genome_files import find_genome
from ntjax.datasets import coding_strand

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no genome here"
)


@pytest.fixture(scope="module")
def tables():
    return coding_strand.load()


@pytest.fixture(scope="module")
def genome():
    with gzip.open(genome_file("fna"), "rt") as file:
        return "".join(line.strip() for line in file if not line.startswith(">"))


@pytest.fixture(scope="module")
def features():
    """Kind, 1-based first and last position, strand, attributes: a plain reading."""
    with gzip.open(genome_file("gff"), "rt") as file:
        cells = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [(c[2], int(c[3]), int(c[4]), c[6], c[8]) for c in cells]


def genome_file(kind):
    return Path(os.environ["NTJAX_DATA_DIR"]) / f"genomes/ecoli_k12_mg1655.{kind}.gz"


def intervals(table):
    """1-based first and last positions [n, 2], from the rows' names."""
    pattern = re.compile(r"NC_000913\.3:(\d+)-(\d+)\(\+\)")
    return np.array([pattern.fullmatch(name).groups() for name in table.names], int)


def test_size_and_balance(tables):
    assert {part: len(table) for part, table in tables.items()} == {
        "train": 1_000,
        "validation": 250,
        "calibration": 250,
        "test": 2_000,
    }
    for table in tables.values():
        half = len(table) // 2
        assert Counter(table.labels) == {"forward": half, "reverse": half}
        assert table.labels[:4] == ("forward", "reverse") * 2
        assert {len(sequence) for sequence in table.sequences} == {300}
    assert coding_strand.FILE.stat().st_size <= 300_000


def test_rows_count_through_the_file(tables):
    rows = [row for table in tables.values() for row in table.rows]
    assert rows == list(range(1, 3_501))


def test_no_two_windows_overlap_and_no_block_is_in_two_parts(tables):
    starts = np.sort(np.concatenate([intervals(table)[:, 0] for table in tables.values()]))
    assert np.diff(starts).min() >= 300
    blocks = [set(((intervals(table) - 1) // 50_000).ravel()) for table in tables.values()]
    assert not any(first & second for first, second in combinations(blocks, 2))


def test_packing_is_reversible():
    sequences = ["ACGT" * 75, "TTGCAACGATCC" * 25]
    packed = coding_strand.pack_bases(sequences)
    assert packed.shape == (2, 75)
    assert packed.dtype == np.uint8
    assert packed[0, 0] == 0b00_10_11_01  # A, T, C, G = 0, 1, 2, 3
    assert coding_strand.unpack_bases(packed) == sequences


@needs_data
def test_names_tell_where_the_sequence_is(tables, genome):
    for table in tables.values():
        for sequence, (first, last) in zip(table.sequences, intervals(table), strict=True):
            assert sequence == genome[first - 1 : last]


@needs_data
def test_windows_fit_the_definition(tables, genome, features):
    coding = {strand: np.zeros(len(genome) + 2, bool) for strand in "+-"}
    excluded = np.zeros(len(genome) + 2, bool)
    for kind, first, last, strand, attributes in features:
        if kind == "CDS":
            coding[strand][first : last + 1] = True
        if kind in ("pseudogene", "mobile_genetic_element") or "pseudo=true" in attributes:
            excluded[first : last + 1] = True
    for table in tables.values():
        for label, (first, last) in zip(table.labels, intervals(table), strict=True):
            own, other = ("+", "-") if label == "forward" else ("-", "+")
            assert coding[own][first : last + 1].all()
            assert not coding[other][first : last + 1].any()
            assert not excluded[first : last + 1].any()


@needs_data
def test_no_gene_gives_rows_to_two_parts(tables, features):
    genes = [(first, last) for kind, first, last, _, _ in features if kind == "CDS"]
    parts = [
        {gene for gene in genes if ((windows[:, 0] >= gene[0]) & (windows[:, 1] <= gene[1])).any()}
        for windows in map(intervals, tables.values())
    ]
    assert not any(first & second for first, second in combinations(parts, 2))


@needs_data
def test_windows_begin_in_all_codon_positions(tables, features):
    """A fixed frame would let a method read codons without finding them."""
    coding = [f for f in features if f[0] == "CDS" and f[3] == "+"]
    phases = Counter()
    forward = [w for w, label in zip(intervals(tables["test"]), tables["test"].labels, strict=True)
               if label == "forward"]  # fmt: skip
    for first, last in forward:
        gene = next(f for f in coding if f[1] <= first and last <= f[2])
        phases[(first - gene[1]) % 3] += 1
    assert min(phases.values()) > 280  # of 1,000


@needs_data
def test_the_script_makes_the_same_bytes(tmp_path):
    make(Options(out=tmp_path / "made.npz"))
    assert (tmp_path / "made.npz").read_bytes() == coding_strand.FILE.read_bytes()


@needs_data
def test_more_windows_begin_with_those_of_the_data_set(tables):
    more = draw_windows(find_genome(None), {"train": 2_000, "validation": 500, "calibration": 500})
    for part, windows in more.items():
        assert windows.table().sequences[: ROWS[part]] == tables[part].sequences
        assert windows.table().names[: ROWS[part]] == tables[part].names
        assert len(set(windows.sequences)) == len(windows.sequences)
