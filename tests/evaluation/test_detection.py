"""Metrics of a scan against scikit-learn, counting by hand, and a bootstrap written as a loop."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from ntjax.errors import UserError
from ntjax.evaluation.detection import (
    BlockBootstrap,
    average_precision_difference,
    scan_curve,
    scan_metrics,
)
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scored_sites import MatchedSites, ScoredSites, match
from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.metrics.bootstrap import multiplicities

CONTIGS = (Contig("one", 0, 1300), Contig("two", 1300, 3000))
GENOME = Genome(
    Path("two.fna"), np.zeros(3000, np.uint8), CONTIGS, np.array([[0, 1300], [1300, 3000]])
)
REGION = Region(GENOME, np.array([[100, 900], [1150, 1300], [1300, 1350], [1700, 2950]]))
# Blocks of 250 letters, each contig's own; those without a letter of the region are left out.
STARTS = [*range(0, 1300, 250), *range(1300, 3000, 250)]
USED = [0, 250, 500, 750, 1000, 1250, 1300, 1550, 1800, 2050, 2300, 2550, 2800]
BOOTSTRAP = BlockBootstrap(block_letters=250, resamples=200, seed=3)


def inner_places():
    return np.concatenate([np.arange(start, end) for start, end in REGION.stretches])


@pytest.fixture(scope="module")
def every_place():
    """A score for every place of both strands, in steps, and some known sites, all scored."""
    random = np.random.default_rng(0)
    places = np.tile(inner_places(), 2)
    reverse = np.arange(len(places)) >= len(places) // 2
    labels = random.random(len(places)) < 0.02
    scores = np.round(random.normal(size=len(places)) + 2 * labels, 1)
    sites = Sites(GENOME, places, reverse, PROMOTER_WINDOW)
    return match(ScoredSites(sites, scores), sites.take(labels), 0), labels, scores


def blocks_of(places):
    return np.array([USED.index(max(s for s in STARTS if s <= place)) for place in places])


def test_average_precision_without_merging_is_that_of_rows(every_place):
    matched, labels, scores = every_place
    assert ((matched.partner >= 0) == labels).all()
    found = scan_metrics(matched, REGION, 1.0, BOOTSTRAP)
    expected = average_precision_score(labels, scores)
    assert found["average_precision"]["value"] == pytest.approx(expected)
    called = scores >= 1.0
    assert found["precision"]["value"] == pytest.approx(labels[called].mean())
    assert found["recall"]["value"] == pytest.approx(called[labels].mean())
    assert found["hits_per_mb"]["value"] == pytest.approx(called.sum() / REGION.letters * 1e6)
    counts = [found[name] for name in ("threshold", "called", "found", "known", "letters")]
    assert counts == [1.0, called.sum(), (called & labels).sum(), labels.sum(), REGION.letters]


def test_intervals_are_those_of_drawn_blocks(every_place):
    """Drawing a block twice is to give its rows, and its letters, the weight 2."""
    matched, labels, scores = every_place
    block = blocks_of(matched.called.sites.places)
    letters = np.bincount(blocks_of(inner_places()), minlength=len(USED))
    assert (letters > 0).all()
    drawn = {"average_precision": [], "precision": [], "recall": [], "hits_per_mb": []}
    chunks = multiplicities(None, len(USED), 200, np.random.default_rng(3))
    called = scores >= 1.0
    for weights in np.concatenate(list(chunks)):
        w = weights[block]
        drawn["average_precision"].append(average_precision_score(labels, scores, sample_weight=w))
        drawn["precision"].append((w * labels * called).sum() / (w * called).sum())
        drawn["recall"].append((w * labels * called).sum() / (w * labels).sum())
        drawn["hits_per_mb"].append((w * called).sum() / (weights * letters).sum() * 1e6)
    found = scan_metrics(matched, REGION, 1.0, BOOTSTRAP)
    for name, values in drawn.items():
        ends = found[name]["low"], found[name]["high"]
        assert ends == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_the_curve_is_that_of_rows(every_place):
    matched, labels, scores = every_place
    curve = scan_curve(matched, REGION, BOOTSTRAP)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    rows = np.searchsorted(thresholds, curve.thresholds)
    assert curve.precision == pytest.approx(precision[rows])
    assert curve.recall == pytest.approx(recall[rows])
    assert curve.thresholds.tolist() == sorted(set(scores[labels]), reverse=True)
    assert curve.found[-1] == labels.sum()
    assert curve.called[-1] == (scores >= curve.thresholds[-1]).sum()
    f1 = 2 * precision * recall / (precision + recall)
    assert curve.best_threshold() == pytest.approx(thresholds[np.argmax(f1[:-1])])
    at = scan_metrics(matched, REGION, curve.thresholds[7], BOOTSTRAP)
    for name, band in (("precision", curve.precision_interval), ("recall", curve.recall_interval)):
        assert band[7] == pytest.approx((at[name]["low"], at[name]["high"]))


def some_sites(*named):
    places, reverse = [site[0] for site in named], [site[1] == "-" for site in named]
    return Sites(GENOME, np.array(places, int), np.array(reverse, bool), PROMOTER_WINDOW)


def some_calls(*scored):
    return ScoredSites(some_sites(*scored), np.array([row[2] for row in scored], float))


def test_known_sites_that_are_never_called_count():
    calls = some_calls((200, "+", 5), (300, "+", 4), (400, "-", 3), (1800, "-", 2), (2000, "+", 1))
    known = some_sites((205, "+"), (400, "+"), (400, "-"), (2010, "+"), (2100, "+"))
    matched = match(calls, known)
    assert matched.partner.tolist() == [0, -1, 2, -1, 3]
    found = scan_metrics(matched, REGION, 3, BOOTSTRAP)
    assert found["average_precision"]["value"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 5)
    assert found["precision"]["value"] == pytest.approx(2 / 3)
    assert found["recall"]["value"] == pytest.approx(2 / 5)
    assert found["hits_per_mb"]["value"] == pytest.approx(3 / 2250 * 1e6)
    curve = scan_curve(matched, REGION, BOOTSTRAP)
    assert curve.thresholds.tolist() == [5, 3, 1]
    assert curve.called.tolist() == [1, 3, 5]
    assert curve.found.tolist() == [1, 2, 3]
    assert curve.recall == pytest.approx([1 / 5, 2 / 5, 3 / 5])
    assert curve.best_threshold() == 1  # 3/5 and 3/5


def test_a_find_counts_in_the_block_of_the_known_site():
    """So no drawn set of blocks has more found sites than known ones."""
    places = [(255, "+"), (505, "+"), (755, "+"), (1805, "+"), (2055, "+")]
    calls = some_calls(*((place - 8, strand, 1.0) for place, strand in places))
    matched = match(calls, some_sites(*places))
    assert (blocks_of(calls.sites.places) != blocks_of(matched.known.places)).all()
    found = scan_metrics(matched, REGION, 0.0, BOOTSTRAP)
    assert (found["recall"]["low"], found["recall"]["high"]) == (1, 1)


def test_nothing_called_or_known():
    known = some_sites((205, "+"), (1800, "-"))
    none = ScoredSites(known.take(np.arange(0)), np.empty(0))
    found = scan_metrics(match(none, known), REGION, 0.5, BOOTSTRAP)
    assert found["average_precision"]["value"] == found["recall"]["value"] == 0
    assert (found["precision"]["value"], found["precision"]["low"]) == (None, None)
    assert "not defined" in found["precision"]["interval"]
    assert found["hits_per_mb"] == {"value": 0, "low": 0, "high": 0}
    curve = scan_curve(match(none, known), REGION, BOOTSTRAP)
    assert curve.thresholds.shape == (0,)
    assert curve.precision_interval.shape == (0, 2)
    with pytest.raises(UserError, match="no call lies near a known start site"):
        curve.best_threshold()
    calls = some_calls((200, "+", 1))
    found = scan_metrics(match(calls, known.take(np.arange(0))), REGION, 0.5, BOOTSTRAP)
    assert found["average_precision"]["value"] is found["recall"]["value"] is None
    assert found["precision"]["value"] == 0


def test_one_block_has_no_interval():
    region = Region(GENOME, np.array([[300, 450]]))
    matched = match(
        some_calls((310, "+", 1), (400, "+", 2)),
        some_sites((312, "+")),
    )
    found = scan_metrics(matched, region, 0, BOOTSTRAP)
    assert found["average_precision"] == {"value": 0.5, "low": None, "high": None}
    assert np.isnan(scan_curve(matched, region, BOOTSTRAP).precision_interval).all()


def test_the_difference_of_two_scans(every_place):
    matched, labels, scores = every_place
    noisy = scores + 2 * np.random.default_rng(1).normal(size=len(scores))
    worse = match(ScoredSites(matched.called.sites, noisy), matched.known, 0)
    found = average_precision_difference(matched, worse, REGION, BOOTSTRAP)
    expected = average_precision_score(labels, scores) - average_precision_score(labels, noisy)
    assert found["value"] == pytest.approx(expected)
    assert 0 < found["low"] < found["value"] < found["high"]
    assert found["p"] == pytest.approx(2 / 201)
    same = average_precision_difference(matched, matched, REGION, BOOTSTRAP)
    assert same == {"value": 0, "low": 0, "high": 0, "p": 1}


def test_sites_outside_the_region_are_refused():
    calls, known = some_calls((200, "+", 1)), some_sites((205, "+"))
    for matched in (
        MatchedSites(some_calls((950, "+", 1)), known, np.array([-1])),
        MatchedSites(calls, some_sites((950, "+")), np.array([-1])),
    ):
        with pytest.raises(ValueError, match="two: calls or known sites lie outside"):
            scan_metrics(matched, REGION, 0.5, BOOTSTRAP)
