"""Blocks kept out of training: a partition of the genome, the same whatever stands beside it."""

import itertools

import numpy as np
import pytest

from ntjax.genomes.intervals import intersection, joined
from ntjax.genomes.regions import split_blocks, whole_genome, with_room
from ntjax.genomes.store import Contig, Genome

FRACTIONS = {"validation": 0.02, "test": 0.03}


def genome(tmp_path, contigs, unknown=()):
    """A store of contigs of given lengths, with places that are N."""
    letters = np.zeros(sum(contigs.values()), np.uint8)
    letters[list(unknown)] = 4
    ends = np.cumsum(list(contigs.values()))
    places = [
        Contig(n, int(e - s), int(e)) for (n, s), e in zip(contigs.items(), ends, strict=True)
    ]
    edges = np.union1d(ends, np.concatenate([[0], np.array(unknown, int), np.array(unknown) + 1]))
    runs = [
        (int(start), int(end))
        for start, end in itertools.pairwise(edges)
        if letters[int(start)] < 4
    ]
    return Genome(tmp_path / "g.fna", letters, tuple(places), np.array(runs, np.int64))


def members(region, size):
    inside = np.zeros(size, int)
    for start, end in region.stretches:
        inside[start:end] += 1
    return inside


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_a_partition(tmp_path, seed):
    store = genome(tmp_path, {"a": 100_000, "b": 33_333}, unknown=[5, 50_000, 100_001])
    parts = split_blocks(store, FRACTIONS, 1000, seed)
    total = sum(members(region, len(store.letters)) for region in parts.values())
    np.testing.assert_array_equal(total, store.letters < 4)
    assert round(parts["test"].letters / 1000) == pytest.approx(4, abs=1)
    assert 2 <= round(parts["validation"].letters / 1000) <= 3
    # No stretch reaches over the contigs' border.
    for region in parts.values():
        assert not ((region.stretches[:, 0] < 100_000) & (region.stretches[:, 1] > 100_000)).any()


@pytest.mark.parametrize("seed", range(20))
def test_a_small_genome_has_a_block_in_every_part(tmp_path, seed):
    parts = split_blocks(genome(tmp_path, {"a": 30_000}), FRACTIONS, 10_000, seed)
    assert [parts[part].letters for part in ("train", "validation", "test")] == [10_000] * 3


def test_of_one_block_genomes_as_many_as_the_share_says(tmp_path):
    counts = {"train": 0, "validation": 0, "test": 0}
    for number in range(600):
        parts = split_blocks(genome(tmp_path, {f"c{number}": 500}), FRACTIONS, 1000, 0)
        [part] = [name for name, region in parts.items() if region.letters]
        counts[part] += 1
    # Four standard errors.
    assert abs(counts["validation"] - 12) < 14
    assert abs(counts["test"] - 18) < 17
    assert counts["validation"] > 0
    assert counts["test"] > 0


def test_short_contigs_take_no_share_of_the_blocks(tmp_path):
    """By hand: one contig of four blocks and 100 that hold no window of 600 bp."""
    store = genome(tmp_path, {f"c{n}": 500 for n in range(100)} | {"long": 4_000})
    parts = split_blocks(store, FRACTIONS, 1000, 0, window=600)
    assert [parts[part].letters for part in ("train", "validation", "test")] == [
        2_000,
        1_000,
        1_000,
    ]
    assert all((region.stretches >= 50_000).all() for region in parts.values())
    short = genome(tmp_path, {"a": 500})
    assert sum(region.letters for region in split_blocks(short, FRACTIONS, 1000, 0, 600).values())


def test_runs_that_hold_a_window(tmp_path):
    store = genome(tmp_path, {"a": 10, "b": 30, "c": 11}, unknown=[20])
    kept = with_room(whole_genome(store), 11)
    assert kept.stretches.tolist() == [[21, 40], [40, 51]]
    assert kept.letters == 30


def test_the_same_seed_gives_the_same_blocks(tmp_path):
    store = genome(tmp_path, {"a": 100_000})
    first, again, other = (split_blocks(store, FRACTIONS, 1000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["test"].stretches, again["test"].stretches)
    assert not np.array_equal(first["test"].stretches, other["test"].stretches)


def test_intervals_against_sets():
    random = np.random.default_rng(0)
    for _ in range(50):
        edges = np.sort(random.choice(60, (2, 8), replace=False), axis=1)
        first, second = edges[0].reshape(-1, 2), edges[1].reshape(-1, 2)
        wanted = {x for s, e in first for x in range(s, e)} & {
            x for s, e in second for x in range(s, e)
        }
        found = intersection(first, second)
        assert {x for s, e in found for x in range(s, e)} == wanted
    touching = np.array([[5, 7], [0, 2], [2, 4]])
    assert joined(touching).tolist() == [[0, 4], [5, 7]]
