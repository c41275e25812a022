"""Windows of a scan: every one of a plain loop, in chunks of any size."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_genomes import opened, random_text

from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.windows import WindowGeometry


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    known = random_text(600, 0)
    contigs = {
        "a": known[:200] + "N" * 23 + known[223:],
        "short": "ACGTACGTAC",
        "b": random_text(250, 1),
        "c": "NN" + random_text(120, 2),
    }
    return opened(tmp_path_factory.mktemp("genome"), contigs)


def by_hand(grid):
    """Sites as 2 · position + strand, of windows without and with N."""
    found, unknown = [], 0
    letters = np.asarray(grid.genome.letters)
    for contig in grid.genome.contigs:
        for start in range(contig.start, contig.end - grid.length + 1, grid.stride):
            for reverse in range(1 + grid.both_strands):
                lead = grid.geometry.after if reverse else grid.geometry.before
                site = start + lead
                if grid.regions is not None and not any(
                    low <= site < high for low, high in grid.regions
                ):
                    continue
                if (letters[start : start + grid.length] == 4).any():
                    unknown += 1
                else:
                    found.append(2 * site + reverse)
    return sorted(found), unknown


@settings(max_examples=100, deadline=None)
@given(
    before=st.integers(0, 40),
    after=st.integers(0, 40),
    stride=st.integers(1, 15),
    both=st.booleans(),
    chunk=st.integers(1, 300),
    edges=st.none() | st.sets(st.integers(0, 900), min_size=2, max_size=8),
)
def test_against_a_plain_loop(genome, before, after, stride, both, chunk, edges):
    regions = None
    if edges is not None:
        regions = np.array(sorted(edges))[: len(edges) // 2 * 2].reshape(-1, 2)
    grid = ScanGrid(genome, WindowGeometry(before, after), stride, both, regions)
    chunks = list(grid.chunks(chunk))
    keys = [2 * part.sites.places + part.sites.reverse for part in chunks]
    expected, unknown = by_hand(grid)
    assert sorted(np.concatenate([[], *keys]).astype(int).tolist()) == expected
    assert sum(part.unknown for part in chunks) == unknown
    for part, following in itertools.pairwise(chunks):
        assert part.sites.starts().max(initial=0) < part.next_start
        assert following.sites.starts().min(initial=part.next_start) >= part.next_start


def test_bases(genome):
    geometry = WindowGeometry(3, 3)
    assert ScanGrid(genome, geometry, 1).bases == (600 - 23 + 10 + 250 + 120, 0, 25)
    regions = np.array([[190, 230], [880, 980]])
    assert ScanGrid(genome, geometry, 1, True, regions).bases == (10 + 7 + 100, 0, 23)


def test_bases_where_no_window_fits_are_not_scanned(genome):
    geometry = WindowGeometry(5, 5)
    assert ScanGrid(genome, geometry, 1).bases == (600 - 23 + 250 + 120, 10, 25)
    longer = WindowGeometry(100, 120)
    regions = np.array([[190, 230], [600, 700]])
    assert ScanGrid(genome, longer, 1).bases == (600 - 223 + 250, 200 + 10 + 120, 25)
    assert ScanGrid(genome, longer, 1, True, regions).bases == (7 + 90, 10 + 10, 23)
