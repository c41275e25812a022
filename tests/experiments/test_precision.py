"""The precision that a scan expects beside the true one: right windows, distances, intervals."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_genomes import opened, random_text

from experiments.promoters.precision.__main__ import (
    markdown,
    right_windows,
    sites_per_window,
    true_precision,
)
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.windows import PROMOTER_WINDOW, Region

FOLDER = Path(__file__).parents[2] / "experiments/promoters/precision"


@pytest.fixture
def known(tmp_path):
    """A site on each strand of the first contig, and one in the second."""
    genome = opened(tmp_path, {"one": random_text(2000, 0), "two": random_text(1000, 1)})
    second = genome.contigs[1].start
    places = np.array([500, 900, second + 500])
    return Sites(genome, places, np.array([False, True, False]), PROMOTER_WINDOW)


def test_right_windows_lie_on_the_grid(known):
    # Windows of 81 bp begin at multiples of 3: their site is at 60, 63, ... forward, and at 20,
    # 23, ... on the other strand.
    assert right_windows(known, 0) == set()  # 500 - 60 and 900 - 20 are no multiples of 3
    near = right_windows(known, 1)
    assert near == {("one", "+", 501), ("one", "-", 899), ("two", "+", 501)}
    at = Sites(known.genome, known.places + np.array([1, -1, 1]), known.reverse, PROMOTER_WINDOW)
    assert right_windows(at, 0) == near
    # Two sites that share a window count once.
    both = Sites(known.genome, np.array([501, 502]), np.array([False, False]), PROMOTER_WINDOW)
    assert right_windows(both, 1) == {("one", "+", 501)}


def test_sites_per_window(known):
    blocks = Region(known.genome, np.array([[300, 900], [2000, 2900]]))
    # One site in either block: 900 is not in the first.
    assert sites_per_window(known, blocks) == 2 / (2 * 1500 / 3)


def test_the_interval_draws_pieces():
    random = np.random.default_rng(0)
    pieces = np.repeat(np.arange(100), 50)
    # Pieces have shares of their own: windows of one piece err together.
    right = random.random(5000) < random.beta(0.5, 1.5, 100)[pieces]
    called = random.random(5000) < 0.8
    found = true_precision(called, right, pieces)
    assert found["value"] == pytest.approx(right[called].mean())
    assert found["low"] < found["value"] < found["high"]
    alone = true_precision(called, right, np.arange(5000))
    width = {name: one["high"] - one["low"] for name, one in (("p", found), ("a", alone))}
    assert width["p"] > 3 * width["a"]


def test_the_committed_page_is_that_of_its_numbers():
    record = json.loads((FOLDER / "precision.json").read_text())
    assert markdown(record) == (FOLDER / "precision.md").read_text()
