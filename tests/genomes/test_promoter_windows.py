import numpy as np
import pytest
from made_genomes import (
    drawn_promoters,
    occurrences,
    opened,
    other_strand,
    random_text,
    two_contigs,
)

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.regions import holds, shrunk, whole_genome, without


@pytest.fixture
def genome(tmp_path):
    contigs = two_contigs()
    return opened(tmp_path, contigs), contigs


def test_located_as_text_search_finds_them(tmp_path):
    repeat, palindrome = random_text(100, 5), random_text(41, 6)[:40]
    palindrome += "A" + other_strand(palindrome)  # but for its middle its own other strand
    parts = [random_text(500, seed) for seed in range(20, 26)]
    contigs = {
        "one": parts[0] + repeat + parts[1] + other_strand(repeat) + parts[2] + palindrome,
        "two": repeat[:81] + parts[3] + "N" + parts[4] + "C" + "A" * 90 + "C" + parts[5],
    }
    path = tmp_path / "made.fna"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))
    promoters = [
        *drawn_promoters(contigs, 20, 3).values(),
        repeat[:81],
        other_strand(repeat)[5:86],
        palindrome,
        "A" * 81,
        contigs["one"][-40:] + contigs["two"][:41],  # across two contigs
        random_text(81, 9),
        repeat[:80] + "N",
    ]
    promoters.append(promoters[0])
    located = locate(open_genome(path), promoters)

    names = np.array(located.sites.names())
    for row, promoter in enumerate(promoters):
        expected = occurrences(contigs, promoter)
        assert sorted(names[located.rows == row]) == expected, row
        assert located.counts[row] == len(expected)
    assert located.counts[-8:].tolist() == [3, 2, 1, 10, 0, 0, 0, 1]
    assert located.sites.sequences() == [promoters[row] for row in located.rows]
    once = {name for row, name in zip(located.rows, names, strict=True) if located.counts[row] == 1}
    assert set(located.unique.names()) == once
    assert sorted(located.start_sites.names()) == sorted(set(names))
    assert f"({(located.counts > 1).sum()} of them more than once) and 3 do not" in (
        located.described()
    )


def test_none_and_other_lengths(genome):
    store, _ = genome
    assert len(locate(store, []).sites) == 0
    assert locate(store, ["N" * 81]).counts.tolist() == [0]
    with pytest.raises(UserError, match="promoter 2 has 80 bp, not 81"):
        locate(store, ["A" * 81, "A" * 80])


def test_regions_against_a_mask(genome):
    store, _ = genome
    region, places = whole_genome(store), np.array([0, 10, 400, 405, 20_150, 49_290, 40_310])

    def mask(region):
        kept = np.zeros(len(store.letters), bool)
        for first, end in region.stretches:
            kept[first:end] = True
        return kept

    expected = mask(region)
    for place in places:
        expected[max(place - 30, 0) : place + 31] = False
    smaller = without(region, places, 30)
    np.testing.assert_array_equal(mask(smaller), expected)
    assert smaller.letters == expected.sum()
    # The two contigs touch in the store, and stay apart.
    assert 40_300 not in smaller.stretches[:, 1]
    starts = np.arange(len(store.letters) - 99)
    fitting = np.isin(starts, smaller.places(np.arange(smaller.count(100)), 100))
    np.testing.assert_array_equal(holds(smaller, starts, 100), fitting)
    inner = shrunk(smaller, 40)
    assert (np.diff(inner.stretches) > 0).all()
    assert inner.count(20) == smaller.count(100)
