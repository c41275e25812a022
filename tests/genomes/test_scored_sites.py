"""Merging and matching against loops, and against SciPy's maximum matching."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scored_sites import ScoredSites, clustered, match, merged
from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import PROMOTER_WINDOW

# Three contigs, so that places next to each other may have nothing to do with each other.
BOUNDS = [(0, 300), (300, 320), (320, 1000)]
GENOME = Genome(
    Path("three.fna"),
    np.zeros(1000, np.uint8),
    tuple(Contig(f"contig {number}", *bound) for number, bound in enumerate(BOUNDS)),
    np.array(BOUNDS),
)


def drawn(count, random, levels=None):
    """Sites at random places of both strands, with scores of few levels if given."""
    keys = random.choice(2000, count, replace=False)
    scores = random.normal(size=count) if levels is None else random.integers(0, levels, count)
    return ScoredSites(
        Sites(GENOME, keys // 2, keys % 2 == 1, PROMOTER_WINDOW), scores.astype(float)
    )


def strand(sites, row):
    contig = [place < end for _, end in BOUNDS for place in [sites.places[row]]].index(True)
    return contig, bool(sites.reverse[row])


def apart(a, i, b, j):
    """Letters downstream from one site to another, infinite between strands or contigs."""
    if strand(a, i) != strand(b, j):
        return np.inf
    return (b.places[j] - a.places[i]) * (-1 if a.reverse[i] else 1)


def by_falling_score(scored):
    direction = np.where(scored.sites.reverse, -1, 1)
    key = [
        (-s, d * p) for s, d, p in zip(scored.scores, direction, scored.sites.places, strict=True)
    ]
    return sorted(range(len(scored)), key=key.__getitem__)


def naive_merged(scored, distance):
    kept = []
    for row in by_falling_score(scored):
        if all(abs(apart(scored.sites, row, scored.sites, other)) >= distance for other in kept):
            kept.append(row)
    return kept


def naive_partners(called, known, tolerance):
    partner, taken = [-1] * len(called), set()
    for row in by_falling_score(called):
        gaps = [(apart(called.sites, row, known, k), k) for k in range(len(known))]
        near = [(abs(g), g, k) for g, k in gaps if abs(g) <= tolerance and k not in taken]
        if near:
            partner[row] = min(near)[2]
            taken.add(partner[row])
    return partner


def most_pairs(called, known, tolerance):
    """Size of the largest one-to-one matching."""
    near = [
        [abs(apart(called.sites, row, known, k)) <= tolerance for k in range(len(known))]
        for row in range(len(called))
    ]
    return int((maximum_bipartite_matching(csr_array(np.array(near))) >= 0).sum())


def same(found, expected):
    assert found.scores.tolist() == expected.scores.tolist()
    keys = [2 * s.sites.places + s.sites.reverse for s in (found, expected)]
    assert sorted(keys[0]) == sorted(keys[1])


@pytest.mark.parametrize("levels", [None, 1, 4])
@pytest.mark.parametrize("distance", [0, 1, 2, 15, 400])
def test_merged(distance, levels):
    scored = drawn(150, np.random.default_rng(distance), levels)
    found = merged(scored, distance)
    same(found, scored.take(np.array(naive_merged(scored, distance))))
    assert (np.diff(found.scores) <= 0).all()


def test_nothing_to_merge():
    none = drawn(0, np.random.default_rng(0))
    assert len(merged(none, 10)) == 0
    assert len(match(none, drawn(4, np.random.default_rng(0)).sites).partner) == 0
    assert match(drawn(4, np.random.default_rng(0)), none.sites).partner.tolist() == [-1] * 4


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", range(5))
def test_matched_greedily(seed, levels):
    random = np.random.default_rng(seed)
    called, known = drawn(120, random, levels), drawn(90, random).sites
    found = match(called, known, 10)
    assert found.partner.tolist() == naive_partners(called, known, 10)
    pairs = (found.partner >= 0).sum()
    assert most_pairs(called, known, 10) / 2 <= pairs <= most_pairs(called, known, 10)


@pytest.mark.parametrize("seed", range(5))
def test_no_matching_finds_more_where_either_lie_apart(seed):
    random = np.random.default_rng(seed)
    called, known = drawn(150, random), drawn(150, random)
    for calls, sites in ((merged(called, 21), known), (called, merged(known, 21))):
        pairs = (match(calls, sites.sites, 10).partner >= 0).sum()
        assert pairs == most_pairs(calls, sites.sites, 10) > 20


def test_a_threshold_changes_nothing_above_it():
    random = np.random.default_rng(0)
    called, known = drawn(120, random), drawn(90, random).sites
    best = called.order()[:50]
    whole, part = match(called, known), match(called.take(best), known)
    assert whole.partner[best].tolist() == part.partner.tolist()


def sites(*named):
    places, reverse = [site[0] for site in named], [site[1] == "-" for site in named]
    return Sites(GENOME, np.array(places, int), np.array(reverse, bool), PROMOTER_WINDOW)


def test_by_hand():
    called = ScoredSites(
        sites((100, "+"), (104, "+"), (299, "+"), (100, "-"), (511, "-")),
        np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
    )
    known = sites((109, "+"), (301, "+"), (501, "-"), (521, "-"), (112, "-"))
    # 104 takes 109 before 100 can; 301 is of another contig than 299; of 501 and 521, as far from
    # 511, the latter lies upstream of it on the reverse strand; 112 is too far from 100.
    assert match(called, known).partner.tolist() == [-1, 0, -1, -1, 3]
    assert match(called, known, 12).partner.tolist() == [-1, 0, -1, 4, 3]


def test_a_known_site_given_twice_is_refused():
    called = drawn(3, np.random.default_rng(0))
    match(called, sites((7, "+"), (7, "-")))
    with pytest.raises(ValueError, match="given twice"):
        match(called, sites((7, "+"), (9, "+"), (7, "+")))


def naive_clusters(known, distance):
    """Sets of known sites that chains of neighbours nearer than `distance` join."""
    clusters = [{k} for k in range(len(known))]
    for a in range(len(known)):
        for b in range(a):
            if abs(apart(known, a, known, b)) < distance:
                joint = next(c for c in clusters if a in c) | next(c for c in clusters if b in c)
                clusters = [c for c in clusters if not c & joint] + [joint]
    return clusters


@pytest.mark.parametrize("distance", [1, 8, 25])
@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_found_once(seed, distance):
    random = np.random.default_rng(seed)
    known, called = drawn(150, random).sites, merged(drawn(300, random, levels=6), 3)
    matched = match(called, known, 4)
    found = clustered(matched, distance)
    clusters = naive_clusters(known, distance)
    assert len(found.known) == len(clusters)
    # Each cluster at its first site, found by the best of the calls that found any of it.
    names = known.names()
    best, rows = {}, by_falling_score(called)
    for row in rows:
        if (k := int(matched.partner[row])) >= 0:
            cluster = next(n for n, members in enumerate(clusters) if k in members)
            best.setdefault(cluster, row)
    first = [min(members, key=lambda k: known.places[k]) for members in clusters]
    expected = {(called.sites.names()[row], names[first[n]]) for n, row in best.items()}
    hits = np.flatnonzero(found.partner >= 0)
    pairs = zip(
        found.called.sites.take(hits).names(),
        found.known.take(found.partner[hits]).names(),
        strict=True,
    )
    assert sorted(pairs) == sorted(expected)
    assert (found.partner < 0).sum() == (matched.partner < 0).sum()
    assert len(found.called) == len(found.called.scores) == len(found.partner)


def test_no_known_sites_make_no_clusters():
    called = drawn(20, np.random.default_rng(0))
    found = clustered(match(called, called.sites.take(np.arange(0))), 5)
    assert (len(found.called), len(found.known)) == (20, 0)
    assert (found.partner == -1).all()
