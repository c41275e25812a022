"""Parts of the scan's section against loops over a small genome."""

from pathlib import Path

import numpy as np
import pytest

from experiments.promoters.sections.scan_hits import expected_hits, sums_near
from experiments.promoters.sections.scan_locus import locus
from experiments.promoters.sections.scan_methods import (
    OPTIONS,
    Scanned,
    kept_scan,
    share_near,
    some_blocks,
)
from ntjax.calibration.scaling import PlattScaling
from ntjax.evaluation.genome_scan import candidates, scan
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scored_sites import ScoredSites
from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, Region

LETTERS = 30_000
GENOME = Genome(
    Path("one.fna"),
    np.random.default_rng(0).integers(0, 4, LETTERS).astype(np.uint8),
    (Contig("one", 0, LETTERS),),
    np.array([[0, LETTERS]]),
)
REGION = Region(GENOME, np.array([[0, 10_000], [20_000, 30_000]]))


def drawn_sites(count, seed):
    keys = np.random.default_rng(seed).choice(2 * LETTERS, count, replace=False)
    return Sites(GENOME, keys // 2, keys % 2 == 1, PROMOTER_WINDOW)


def near(a, i, b, j):
    return a.reverse[i] == b.reverse[j] and abs(a.places[i] - b.places[j]) <= 10


def test_sums_near_calls():
    scored = ScoredSites(drawn_sites(3000, 1), np.zeros(3000))
    calls = ScoredSites(drawn_sites(100, 2), np.zeros(100))
    values = np.random.default_rng(3).random(3000)
    expected = [
        sum(values[j] for j in range(3000) if near(calls.sites, i, scored.sites, j))
        for i in range(100)
    ]
    assert sums_near(scored, calls, values) == pytest.approx(expected)


def test_share_of_places_near_known_sites():
    known = drawn_sites(300, 4)
    places = np.zeros((2, LETTERS), bool)
    for place, reverse in zip(known.places, known.reverse.astype(int), strict=True):
        places[reverse, max(place - 10, 0) : place + 11] = True
    inner = np.concatenate([places[:, :10_000], places[:, 20_000:]], axis=1)
    assert share_near(REGION, known) == pytest.approx(inner.mean())


def test_blocks_are_spread_over_the_region():
    assert some_blocks(REGION, 4000, None).stretches.tolist() == [
        [0, 4000], [4000, 8000], [8000, 10_000], [20_000, 24_000], [24_000, 28_000],
        [28_000, 30_000],
    ]  # fmt: skip
    assert some_blocks(REGION, 4000, 2).stretches.tolist() == [[0, 4000], [28_000, 30_000]]
    assert some_blocks(REGION, 5000, 1).stretches.tolist() == [[0, 5000]]


def test_a_scan_is_done_once(tmp_path):
    path, calls = tmp_path / "scans" / "a.npz", []

    def search(region):
        calls.append(region)
        return ScoredSites(drawn_sites(50, 5), np.arange(50.0))

    first, second = (kept_scan(path, REGION, search) for _ in range(2))
    assert len(calls) == 1
    assert first.sites.names() == second.sites.names() == drawn_sites(50, 5).names()
    assert second.scores.tolist() == list(range(50))


@pytest.fixture(scope="module")
def scanned():
    """Scores that are the true log-odds of a site at each place, where one in 500 is one."""
    sites = candidates(REGION, PROMOTER_WINDOW, 1)
    random = np.random.default_rng(6)
    is_site = random.random(len(sites)) < 1 / 500
    scores = dict(
        zip(
            zip(sites.places.tolist(), sites.reverse.tolist(), strict=True),
            random.normal(size=len(sites)) + 3 * is_site,
            strict=True,
        )
    )

    def score_of(found):
        return np.array(
            [scores[key] for key in zip(found.places.tolist(), found.reverse.tolist(), strict=True)]
        )

    coarse = candidates(REGION, PROMOTER_WINDOW, OPTIONS.stride)
    keys = {*zip(coarse.places.tolist(), coarse.reverse.tolist(), strict=True)}
    others = [key for key in scores if key not in keys]
    both = Sites(
        GENOME,
        np.concatenate([coarse.places, [place for place, _ in others]]),
        np.concatenate([coarse.reverse, [reverse for _, reverse in others]]),
        PROMOTER_WINDOW,
    )
    return Scanned.of(REGION, ScoredSites(both, score_of(both)), sites.take(is_site))


def test_expected_start_sites_at_the_density_are_those_known(scanned):
    known = len(scanned.matched.known)
    # Of unit normals 3 apart the log-odds at equal shares is 3 x - 4.5.
    hits = expected_hits(scanned, scanned, PlattScaling(3.0, -4.5), 0.5, 1 / 500, 2.0)
    unshifted, shifted, on_calls = hits["kinds"].values()
    assert shifted["sites"] == pytest.approx(known, rel=0.3)
    assert unshifted["sites"] > 20 * known
    assert on_calls["sites"] is None
    hit = scanned.matched.called.scores >= 2.0
    found = (scanned.matched.partner[hit] >= 0).sum()
    assert on_calls["ratio"]["value"] == pytest.approx(found / on_calls["hits"])
    assert on_calls["ratio"]["value"] == pytest.approx(1, rel=0.2)
    assert on_calls["ratio"]["low"] <= on_calls["ratio"]["value"] <= on_calls["ratio"]["high"]
    assert hits["found"][-1] == (scanned.matched.partner >= 0).sum()
    assert shifted["curve"][-1] <= len(scanned.matched.called)


def test_a_stretch_holds_what_lies_in_it(scanned, tmp_path):
    shown = locus(scanned, 2.0, tmp_path / "none.gff")
    start, end = shown["start"], shown["end"]
    assert (start, end) in [(0, 10_000), (20_000, 30_000)]
    known = scanned.matched.known
    for strand, reverse in (("+", False), ("-", True)):
        found = shown["strands"][strand]
        inside = (known.places >= start) & (known.places < end) & (known.reverse == reverse)
        assert sorted(found["known"]) == sorted(known.places[inside].tolist())
        assert min(found["calls"][1]) >= 2.0
        assert found["scores"][0] == sorted(found["scores"][0])
    assert shown["genes"] == []


def test_coarse_places_come_first():
    scored = scan(REGION, lambda windows: np.arange(len(windows)) * 1.0, OPTIONS, progress=False)
    coarse = candidates(REGION, PROMOTER_WINDOW, OPTIONS.stride)
    assert scored.sites.places[: len(coarse)].tolist() == coarse.places.tolist()
    assert scored.sites.reverse[: len(coarse)].tolist() == coarse.reverse.tolist()
