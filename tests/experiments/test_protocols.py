"""What the study trains on and draws intervals over, against loops over the genome's letters."""

import gzip
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from experiments.promoters.data.rows import (
    CLEAN,
    LOCUS_CLEAN,
    PROTOCOLS,
    PUBLISHED,
    labels_of,
    protocol_rows,
    protocol_tables,
    test_loci,
)
from experiments.promoters.study import Study

DATA = os.environ.get("NTJAX_DATA_DIR")
pytestmark = [
    pytest.mark.study,
    pytest.mark.skipif(not DATA, reason="NTJAX_DATA_DIR is not set: no genome to look in"),
]
REACH, START = 200, 60  # letters; of 81 the 61st is the start site
test_loci.__test__ = False


@pytest.fixture(scope="module")
def genome_file():
    return Path(DATA) / "genomes/ecoli_k12_mg1655.fna.gz"


@pytest.fixture(scope="module")
def start_sites(genome_file):
    """A function: every start site of a sequence, on both strands, by `str.find`."""
    with gzip.open(genome_file, "rt") as file:
        text = file.read()
    forward = "".join(line for line in text.splitlines() if not line.startswith(">")).upper()
    turned = forward[::-1].translate(str.maketrans("ACGT", "TGCA"))

    def found(sequence):
        sites = []
        for strand, letters in ((1, forward), (-1, turned)):
            at = letters.find(sequence)
            while at >= 0:
                site = at + START
                sites.append(site if strand == 1 else len(forward) - 1 - site)
                at = letters.find(sequence, at + 1)
        return sites

    return found


@pytest.fixture(scope="module")
def splits(genome_file):
    return {protocol: protocol_tables(protocol, genome_file) for protocol in PROTOCOLS}


def test_each_protocol_leaves_fewer_rows_and_the_same_test(splits):
    published, clean, locus = (splits[name][0] for name in (PUBLISHED, CLEAN, LOCUS_CLEAN))
    assert [len(train) for train in (published, clean, locus)] == [17_232, 15_484, 14_962]
    assert set(locus.sequences) < set(clean.sequences) < set(published.sequences)
    assert len({test.sequences for _, test in splits.values()}) == 1


def test_locus_clean_leaves_nothing_near_a_test_promoter(splits, start_sites):
    tested = splits[PUBLISHED][1]
    rows = zip(tested.sequences, tested.labels, strict=True)
    sites = np.sort([site for s, label in rows if label == "1" for site in start_sites(s)])

    def nearest(sequence):
        own = start_sites(sequence)
        return min((int(np.abs(sites - site).min()) for site in own), default=10**9)

    left = set(splits[LOCUS_CLEAN][0].sequences)
    # Every 60th row, of both outcomes: looking one up in this way takes milliseconds.
    clean = splits[CLEAN][0]
    chosen = [s for s, label in zip(clean.sequences, clean.labels, strict=True) if label == "1"]
    for sequence in chosen[::60]:
        assert (sequence in left) == (nearest(sequence) > REACH)


def test_loci_are_chains_of_near_start_sites(splits, start_sites):
    groups = test_loci(Study())
    labels = labels_of(splits[PUBLISHED][1])
    assert len(groups) == 1865
    assert len(np.unique(groups)) == 1667
    # Random letters stand nowhere; two of them are one group only by a shared 16-mer.
    promoters = np.flatnonzero(labels)
    sequences = splits[PUBLISHED][1].sequences
    placed = sorted((site, row) for row in promoters for site in start_sites(sequences[row]))
    for (site, row), (following, other) in pairwise(placed):
        if following - site <= REACH:
            assert groups[row] == groups[other]


def test_rows_are_handed_over_without_a_file(tmp_path, splits):
    rows = protocol_rows(Study(runs=tmp_path), LOCUS_CLEAN)
    assert rows.train.sequences == splits[LOCUS_CLEAN][0].sequences
    assert rows.test.sequences == splits[LOCUS_CLEAN][1].sequences
    assert not list(tmp_path.iterdir())
