"""Scans of small genomes with planted sites, on both strands, at every border."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from genome_regions import LETTERS, other_strand, random_region, text_of

from ntjax.baselines.position_weights import fit_position_weights
from ntjax.datasets.simulated import simulate_sigma70
from ntjax.errors import UserError
from ntjax.evaluation import genome_scan
from ntjax.evaluation.genome_scan import (
    ScanOptions,
    candidates,
    inside,
    scan,
    scan_every_place,
    score_sites,
)
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.scored_sites import match, merged
from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, Region, WindowGeometry

MOTIF = "GACCTATAATGCGA"
MOTIF_START = 48  # in a window


def similarity(windows):
    """Letters of the motif within four places of where it belongs, less the distance: a hill."""
    return np.array(
        [
            max(
                sum(a == b for a, b in zip(window[start : start + len(MOTIF)], MOTIF, strict=True))
                - abs(start - MOTIF_START)
                for start in range(MOTIF_START - 4, MOTIF_START + 5)
            )
            for window in windows
        ],
        float,
    )


def planted_text(letters, sites, seed):
    """Random letters with the motif before each site, (place, reverse)."""
    text = "".join(np.random.default_rng(seed).choice(list(LETTERS), letters))
    for place, reverse in sites:
        word = other_strand(MOTIF) if reverse else MOTIF
        start = place - (60 - MOTIF_START) if not reverse else place + 61 - MOTIF_START - len(MOTIF)
        text = text[:start] + word + text[start + len(word) :]
    return text


@pytest.fixture
def genome(tmp_path):
    """Two contigs, a run of N; sites in the middle and as near to borders as windows can be."""
    first = [(60, False), (300, True), (333, False), (700, False), (979, False)]
    second = [(20, True), (450, True), (500, False), (639, True)]
    one = planted_text(1000, first, 0) + "N" * 30 + planted_text(200, [], 1)
    contigs = {"one": one, "two": planted_text(700, second, 2)}
    path = tmp_path / "planted.fna"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    planted = {f"one:{p + 1}:{'-' if r else '+'}" for p, r in first}
    planted |= {f"two:{p + 1}:{'-' if r else '+'}" for p, r in second}
    return open_genome(path), planted


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_planted_sites_are_found(genome, stride):
    genome, planted = genome
    options = ScanOptions(PROMOTER_WINDOW, stride=stride, refine=0.05, batch=100)
    found = merged(scan(whole_genome(genome), similarity, options, progress=False), 25)
    assert set(found.sites.names()[: len(planted)]) == planted
    assert (found.scores[: len(planted)] == len(MOTIF)).all()
    assert found.scores[len(planted)] < len(MOTIF)


def test_windows_of_a_region_are_scored_within_it(genome):
    region = Region(
        genome[0], np.array([[0, 90], [95, 175], [240, 500], [1030, 1230], [1240, 1330]])
    )
    seen, sizes = [], []

    def score(windows):
        sizes.append(len(windows))
        seen.extend(windows)
        return np.zeros(len(windows))

    scored = scan(
        region, score, ScanOptions(PROMOTER_WINDOW, stride=4, refine=0, batch=64), progress=False
    )
    assert max(sizes) == 64
    starts = {
        start: end
        for begin, end in region.stretches.tolist()
        for start in [begin]
        if end - begin > 80
    }
    for reverse in (False, True):
        places = scored.sites.places[scored.sites.reverse == reverse]
        expected = []
        for begin, end in starts.items():
            if reverse:
                expected += [s + 20 for s in range(end - 81, begin - 1, -4)]
            else:
                expected += [s + 60 for s in range(begin, end - 80, 4)]
        assert sorted(places.tolist()) == sorted(expected)
    letters = text_of(np.minimum(genome[0].letters, 3))
    for window, place, reverse in zip(seen, scored.sites.places, scored.sites.reverse, strict=True):
        start = place - (20 if reverse else 60)
        text = letters[start : start + 81]
        assert window == (other_strand(text) if reverse else text)


@pytest.mark.parametrize("options", [{"refine": 0.1}, {"refine_from": 6.0}, {"refine": 1.0}])
def test_what_is_refined(genome, options):
    region, context = whole_genome(genome[0]), 7
    options = ScanOptions(PROMOTER_WINDOW, stride=6, context=context, **options)
    everything = score_sites(candidates(region, PROMOTER_WINDOW, 1, context), _inner, options)
    coarse = score_sites(candidates(region, PROMOTER_WINDOW, 6, context), _inner, options)
    scored = scan(region, _inner, options, progress=False)
    score_of = {_key(everything.sites, i): everything.scores[i] for i in range(len(everything))}
    if options.refine_from is None:
        lowest = np.sort(coarse.scores)[::-1][int(np.ceil(options.refine * len(coarse))) - 1]
    else:
        lowest = options.refine_from
    expected = {_key(coarse.sites, i) for i in range(len(coarse))}
    for row in np.flatnonzero(coarse.scores >= lowest):
        place, reverse = _key(coarse.sites, row)
        near = {(place + offset, reverse) for offset in range(-5, 6)}
        expected |= near & set(score_of)
    found = [_key(scored.sites, i) for i in range(len(scored))]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert [score_of[key] for key in found] == scored.scores.tolist()
    assert (len(found) == len(everything)) == (options.refine == 1)


def _inner(windows):
    assert {len(window) for window in windows} == {81 + 14}
    return similarity([window[7:-7] for window in windows])


def _key(sites, row):
    return int(sites.places[row]), bool(sites.reverse[row])


def mirrored(region):
    """The region on the other strand."""
    genome, size = region.genome, len(region.genome.letters)
    letters = np.where(genome.letters < 4, genome.letters ^ 1, genome.letters)[::-1]
    contigs = tuple(Contig(c.name, size - c.end, size - c.start) for c in genome.contigs[::-1])
    flipped = Genome(Path("mirror.fna"), letters, contigs, size - genome.stretches[::-1, ::-1])
    return Region(flipped, size - region.stretches[::-1, ::-1])


@pytest.mark.parametrize("stride", [1, 4, 7])
def test_the_other_strand_of_the_genome_gives_the_same(genome, stride):
    """Scores are whole numbers with many ties; everything is the same in the mirror."""
    region = Region(genome[0], np.array([[3, 400], [405, 1000], [1030, 1230], [1230, 1807]]))
    known = Sites(
        genome[0],
        np.array([300, 320, 333, 340, 700, 1250, 1500]),
        np.array([True, True, False, False, True, True, False]),
        PROMOTER_WINDOW,
    )
    size = len(genome[0].letters)
    results = []
    for part, flip in ((region, False), (mirrored(region), True)):
        options = ScanOptions(PROMOTER_WINDOW, stride=stride, refine=0.2)
        found = merged(scan(part, similarity, options, progress=False), 12)
        places = size - 1 - known.places if flip else known.places
        matched = match(
            found, Sites(part.genome, places, known.reverse ^ flip, PROMOTER_WINDOW), 15
        )
        own = size - 1 - found.sites.places if flip else found.sites.places
        rows = zip(own, found.sites.reverse ^ flip, found.scores, matched.partner, strict=True)
        results.append(sorted(tuple(map(float, row)) for row in rows))
    assert results[0] == results[1]
    assert len(results[0]) > 50
    assert any(row[3] >= 0 for row in results[0])


@pytest.mark.parametrize("places", [1 << 20, 7])
@pytest.mark.parametrize("context", [0, 3])
def test_every_place_as_the_windows_one_by_one(monkeypatch, places, context):
    monkeypatch.setattr(genome_scan, "_PLACES_AT_ONCE", places)
    region = random_region([200, 81, 60, 87, 300], seed=0)
    table, _ = simulate_sigma70(100, 0)
    weights = fit_position_weights(table.sequences[::2])
    found = scan_every_place(region, weights.scan, PROMOTER_WINDOW, context)
    one_by_one = score_sites(
        candidates(region, PROMOTER_WINDOW, 1, context),
        lambda windows: weights.scores([w[context : context + 81] for w in windows]),
        ScanOptions(PROMOTER_WINDOW, context=context),
    )
    expected = {_key(one_by_one.sites, i): one_by_one.scores[i] for i in range(len(one_by_one))}
    keys = [_key(found.sites, i) for i in range(len(found))]
    assert sorted(keys) == sorted(expected)
    assert found.scores == pytest.approx([expected[key] for key in keys])


def test_inside_is_what_a_scan_can_find():
    region = random_region([100, 90, 50], seed=1)
    both = (
        np.repeat([False, True], len(region.genome.letters)),
        np.arange(len(region.genome.letters)),
    )
    every = Sites(region.genome, np.tile(both[1], 2), both[0], PROMOTER_WINDOW)
    found, expected = inside(region, every), candidates(region, PROMOTER_WINDOW)
    assert {_key(found, i) for i in range(len(found))} == {
        _key(expected, i) for i in range(len(expected))
    }


def test_refused():
    region = random_region([100, 90], seed=1)
    with pytest.raises(
        UserError, match="genome: no stretch without N is as long as a window of 141"
    ):
        scan(region, similarity, ScanOptions(PROMOTER_WINDOW, context=30), progress=False)
    with pytest.raises(UserError, match="no stretch without N is as long as a window of 141"):
        scan_every_place(
            region, lambda letters, reverse: np.zeros(len(letters)), PROMOTER_WINDOW, 30
        )
    with pytest.raises(UserError, match=r"windows .* not finite"):
        scan(
            region,
            lambda windows: np.full(len(windows), np.nan),
            ScanOptions(PROMOTER_WINDOW),
            progress=False,
        )
    with pytest.raises(UserError, match=r"places .* not finite"):
        scan_every_place(
            region, lambda letters, reverse: np.full(len(letters), np.nan), PROMOTER_WINDOW
        )
    with pytest.raises(ValueError, match=r"8 windows got scores of shape \(8, 2\)"):
        scan(
            region,
            lambda windows: np.zeros((len(windows), 2)),
            ScanOptions(PROMOTER_WINDOW, batch=8),
            False,
        )
    for bad in ({"stride": 0}, {"batch": 0}, {"context": -1}, {"refine": 1.5}):
        with pytest.raises(UserError, match="must be 1 or more"):
            replace(ScanOptions(PROMOTER_WINDOW), **bad)


def test_windows_of_another_geometry(genome):
    """A motif planted right before the site, in windows of 5 bp before it and 30 after."""
    text, geometry = planted_text(900, [], 5), WindowGeometry(5, 30)
    text = text[:195] + "GATTC" + text[200:601] + other_strand("GATTC") + text[606:]
    letters = np.array([LETTERS.index(base) for base in text], np.uint8)
    whole = np.array([[0, len(text)]])
    region = Region(Genome(Path("made.fna"), letters, (Contig("c", 0, 900),), whole), whole)

    def score(windows):
        assert {len(window) for window in windows} == {36}
        return np.array([window.startswith("GATTC") for window in windows], float)

    found = scan(region, score, ScanOptions(geometry, stride=1, refine=0), progress=False)
    best = found.take(found.scores == 1).sites
    assert {"c:201:+", "c:601:-"} <= set(best.names())
    assert all(text.startswith("GATTC") for text in best.sequences())
    assert len(found) == 2 * (900 - 36 + 1)
