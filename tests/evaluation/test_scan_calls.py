"""Calls as a stream: the same as of all windows at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_genomes import opened, random_text

from ntjax.evaluation.scan import ScoredWindows
from ntjax.evaluation.scan_calls import HitCounts, best_calls, calls, threshold_of_top
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.scored_sites import ScoredSites, merged
from ntjax.genomes.windows import WindowGeometry


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    text = random_text(3000, 0)
    contigs = {"a": text[:700] + "N" * 40 + text[740:], "b": random_text(1000, 1)}
    return opened(tmp_path_factory.mktemp("genome"), contigs)


def scored_windows(genome, seed, stride, chunk, both):
    random = np.random.default_rng(seed)
    grid = ScanGrid(genome, WindowGeometry(int(random.integers(30)), 12), stride, both)
    parts = []
    for part in grid.chunks(chunk):
        values = random.random(len(part.sites)).round(2)
        logits = np.log(values + 0.01).astype(np.float32)
        parts.append(ScoredWindows(part.sites, logits, values, part.next_start))
    sites = Sites(
        genome,
        np.concatenate([part.sites.places for part in parts]),
        np.concatenate([part.sites.reverse for part in parts]),
        grid.geometry,
    )
    return parts, ScoredSites(sites, np.concatenate([part.probabilities for part in parts]))


def keys(sites):
    return 2 * sites.places + sites.reverse


def at_once(everything, threshold, distance):
    chosen = everything.take(everything.scores >= threshold)
    return merged(chosen, distance) if distance else chosen


streams = given(
    seed=st.integers(0, 1000),
    stride=st.integers(1, 12),
    chunk=st.integers(3, 300),
    both=st.booleans(),
    threshold=st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]),
    distance=st.integers(0, 60),
)


@settings(max_examples=25, deadline=None)
@streams
def test_the_same_as_at_once(genome, seed, stride, chunk, both, threshold, distance):
    parts, everything = scored_windows(genome, seed, stride, chunk, both)
    found = list(calls(parts, threshold, distance))
    in_order = np.concatenate([keys(batch.sites) for batch in found])
    assert (np.diff(in_order) > 0).all()
    expected = at_once(everything, threshold, distance)
    assert in_order.tolist() == sorted(keys(expected.sites).tolist())


@settings(max_examples=25, deadline=None)
@streams
def test_the_best_of_all(genome, seed, stride, chunk, both, threshold, distance):
    del threshold
    parts, everything = scored_windows(genome, seed, stride, chunk, both)
    top = 1 + seed % 20
    least = threshold_of_top(parts, top, distance, stride)
    best = best_calls(calls(parts, least, distance), top)
    expected = np.sort(at_once(everything, 0, distance).scores)[-top:]
    assert np.sort(best.probabilities).tolist() == expected.tolist()
    assert (np.diff(keys(best.sites)) > 0).all()


def test_counts_of_a_threshold_are_those_of_merging_at_it(genome):
    parts, everything = scored_windows(genome, 3, 4, 50, True)
    counts = HitCounts.at({0.9, 0.5, 0.7})
    for _ in counts.counting_calls(calls(counts.counting_windows(parts), 0.5, 30)):
        pass
    assert counts.thresholds == (0.5, 0.7, 0.9)
    assert counts.windows.tolist() == [(everything.scores >= t).sum() for t in (0.5, 0.7, 0.9)]
    assert counts.calls.tolist() == [len(at_once(everything, t, 30)) for t in (0.5, 0.7, 0.9)]
    assert counts.highest[0] == everything.scores.max()


def test_equal_probabilities_are_told_apart_by_their_logits(genome):
    places = np.array([100, 110, 120])
    sites = Sites(genome, places, np.zeros(3, bool), WindowGeometry(5, 5))
    chunk = ScoredWindows(
        sites, np.array([30, 50, 40], np.float32), np.ones(3), len(genome.letters)
    )
    [*_, found] = [batch for batch in calls([chunk], 0.5, 30) if len(batch)]
    assert found.sites.places.tolist() == [110]
