import os
from pathlib import Path

import numpy as np
import pytest

from ntjax.data.datasets import load_dataset
from ntjax.data.genomes import open_genome
from ntjax.data.promoter_windows import (
    NegativeOptions,
    against_genomic_windows,
    locate,
    window_letters,
)
from ntjax.data.regions import holds, shrunk, whole_genome, without
from ntjax.data.sequences import gc_content
from ntjax.errors import UserError

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
LETTERS = 81
OPTIONS = NegativeOptions(block_letters=1_000, validation=0.2, test=0.3, reach=50)


def other_strand(text):
    return text.translate(COMPLEMENT)[::-1]


def random_text(letters, seed, gc=0.5):
    shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters, p=shares))


@pytest.fixture
def genome(tmp_path):
    """Two contigs, a run of N, and GC that falls along the first."""
    first = random_text(20_000, 0, 0.6) + "N" * 300 + random_text(20_000, 1, 0.4)
    contigs = {"one": first, "two": random_text(9_000, 2)}
    path = tmp_path / "made.fna"
    path.write_text("".join(f">{name} of a test\n{text}\n" for name, text in contigs.items()))
    return open_genome(path), contigs


def drawn_promoters(contigs, count, seed):
    """Windows of either strand with the names they should get."""
    random, found = np.random.default_rng(seed), {}
    while len(found) < count:
        contig = ("one", "two")[int(random.random() < 0.3)]
        start = int(random.integers(0, len(contigs[contig]) - LETTERS))
        text = contigs[contig][start : start + LETTERS]
        if "N" in text:
            continue
        if random.random() < 0.5:
            found[f"{contig}:{start + 61}:+"] = text
        else:
            found[f"{contig}:{start + 21}:-"] = other_strand(text)
    return found


def occurrences(contigs, promoter):
    """Names of all occurrences, by searching text."""
    names = []
    for contig, text in contigs.items():
        for strand, pattern, index in (("+", promoter, 60), ("-", other_strand(promoter), 20)):
            start = text.find(pattern)
            while start >= 0:
                names.append(f"{contig}:{start + index + 1}:{strand}")
                start = text.find(pattern, start + 1)
    return sorted(names)


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
    with pytest.raises(UserError, match="promoter 2 has 80 letters, not 81"):
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


@pytest.fixture
def windows(genome):
    store, contigs = genome
    promoters = drawn_promoters(contigs, 120, 4)
    located = locate(store, list(promoters.values()))
    assert sorted(located.unique.names()) == sorted(promoters)
    return against_genomic_windows(located.unique, located.start_sites, OPTIONS), located


def spans(sites, context=0):
    starts = sites.starts(context)
    return list(zip(starts, starts + window_letters(context), strict=True))


def test_promoters_keep_their_letters(windows, genome):
    found, _ = windows
    by_name = drawn_promoters(genome[1], 120, 4)
    for part in found.parts.values():
        table = part.table()
        positives = [row for row, label in enumerate(table.labels) if label == "1"]
        assert len(positives) * 2 == len(table)
        assert [table.sequences[row] for row in positives] == [
            by_name[table.names[row]] for row in positives
        ]


def test_negatives_are_what_their_names_say(windows, genome):
    _, contigs = genome
    for part in windows[0].parts.values():
        for name, text in zip(part.negatives.names(), part.negatives.sequences(), strict=True):
            assert name in occurrences(contigs, text)


def test_pairs_have_equal_gc(windows):
    for part in windows[0].parts.values():
        gc = [np.sort(gc_content(s.sequences())) for s in (part.promoters, part.negatives)]
        np.testing.assert_allclose(*gc, atol=1.01 / 81)  # few places: then the nearest count
        assert np.mean(gc[0] == gc[1]) > 0.95


def test_negatives_keep_their_distance(windows):
    found, located = windows
    for part in found.parts.values():
        for start, end in spans(part.negatives):
            nearest = np.where(
                located.sites.places < start,
                start - located.sites.places,
                located.sites.places - end + 1,
            )
            assert nearest.min() >= OPTIONS.reach
    starts = np.concatenate([part.negatives.starts() for part in found.parts.values()])
    assert len(set(starts.tolist())) == len(starts)
    strands = np.concatenate([part.negatives.reverse for part in found.parts.values()])
    assert 0.3 < strands.mean() < 0.7


def test_parts_share_no_letter_nor_16mer(windows):
    letters, kmers = {}, {}
    for name, part in windows[0].parts.items():
        table = part.table()
        assert len(part) > 5
        letters[name] = {
            place
            for sites in (part.promoters, part.negatives)
            for first, end in spans(sites)
            for place in range(first, end)
        }
        both = [*table.sequences, *map(other_strand, table.sequences)]
        kmers[name] = {text[i : i + 16] for text in both for i in range(len(text) - 15)}
    for units in (letters, kmers):
        assert not units["train"] & units["test"]
        assert not units["train"] & units["validation"]
        assert not units["validation"] & units["test"]


def test_repeats_leave_training_not_the_test(tmp_path):
    # The same 81 letters, but for one, in many places: some of them in the test blocks.
    element = random_text(81, 7)
    pieces = [random_text(420, 100 + n) + element[:40] + "ACGT"[n % 4] for n in range(60)]
    path = tmp_path / "made.fna"
    path.write_text(">one\n" + "".join(piece + element[41:] for piece in pieces) + "\n")
    genome = open_genome(path)
    text = path.read_text().splitlines()[1]
    promoters = [text[n * 501 + 300 : n * 501 + 381] for n in range(60)]
    promoters += [text[n * 501 + 400 : n * 501 + 481] for n in range(60)]  # reaches into the repeat
    located = locate(genome, promoters)
    options = NegativeOptions(block_letters=1_002, validation=0.2, test=0.3, reach=20)
    found = against_genomic_windows(located.unique, located.start_sites, options)
    repeated = {
        name: sum(element[:20] in text for text in part.promoters.sequences())
        for name, part in found.parts.items()
    }
    assert repeated["test"] > 5
    assert repeated["train"] == repeated["validation"] == 0
    assert "pairs were left out of train: a window of theirs shares a 16-mer" in found.notes[1]


def test_context_is_the_same_window_with_more_letters(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))
    options = NegativeOptions(block_letters=2_000, validation=0.2, test=0.3, reach=50, room=70)
    found = against_genomic_windows(located.unique, located.start_sites, options)
    inside = {}
    for name, part in found.parts.items():
        plain, wide = part.table(), part.table(context=70)
        assert plain.names == wide.names
        assert [text[70:-70] for text in wide.sequences] == list(plain.sequences)
        assert not any("N" in text for text in wide.sequences)
        inside[name] = {
            place
            for sites in (part.promoters, part.negatives)
            for first, end in spans(sites, 70)
            for place in range(first, end)
        }
    assert not inside["train"] & inside["test"]


def test_seeds(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))

    def names(seed):
        options = NegativeOptions(block_letters=1_000, reach=50, seed=seed)
        parts = against_genomic_windows(located.unique, located.start_sites, options).parts
        return [part.table().names for part in parts.values()]

    assert names(1) == names(1) != names(2)


def test_no_place_left(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))
    with pytest.raises(UserError, match="choose smaller blocks, or a shorter reach"):
        against_genomic_windows(
            located.unique, located.start_sites, NegativeOptions(reach=5_000, block_letters=1_000)
        )


@needs_data
def test_known_promoters_of_k12():
    genome = open_genome(Path(os.environ["NTJAX_DATA_DIR"]) / "genomes/ecoli_k12_mg1655.fna.gz")
    splits = load_dataset("ecoli_promoters", "published")
    train, test = (
        [text for text, label in zip(t.sequences, t.labels, strict=True) if label == "1"]
        for t in (splits.train, splits.test)
    )
    known, tested = locate(genome, train), locate(genome, test)
    assert ((known.counts > 0).sum(), (known.counts > 1).sum()) == (8_615, 77)
    assert len(known.start_sites) == 8_576
    assert (tested.counts > 0).all()
    assert set(tested.start_sites.names()) <= set(known.start_sites.names())

    found = against_genomic_windows(known.unique, known.start_sites)
    sizes = {name: len(part) for name, part in found.parts.items()}
    assert sizes == {"train": 5_877, "validation": 929, "test": 1_157}
    for part in found.parts.values():
        table, pairs = part.table(), len(part)
        gc = gc_content(table.sequences)
        np.testing.assert_array_equal(gc[:pairs], gc[pairs:])
