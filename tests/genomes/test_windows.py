from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ntjax.errors import UserError
from ntjax.genomes import windows as genome_windows
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import Region, WindowSampler, encode, read_windows
from ntjax.io.files import release
from ntjax.sequences.alphabet import reverse_complement_codes
from ntjax.sequences.tokenizer import Tokenizer

TOKENIZERS = {
    "v1": Tokenizer.for_vocabulary_size(4105, 6),
    "v2": Tokenizer.for_vocabulary_size(4107, 6),
    "codon": Tokenizer.for_vocabulary_size(75, 3),
}
# A deviation that happens once in a million runs; the seeds are fixed.
UNLIKELY = 1e-6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]


def text_of(windows):
    return ["".join("ATCGN"[code] for code in window) for window in windows]


def other_strand(text):
    return "".join({"A": "T", "C": "G", "G": "C", "T": "A"}[letter] for letter in reversed(text))


def region_of(tmp_path, *contigs, name="some.fa"):
    """A region of all of a genome with these contigs."""
    path = tmp_path / name
    path.write_text("".join(f">{n}\n{contig}\n" for n, contig in enumerate(contigs)))
    genome = open_genome(path)
    return Region(genome, genome.stretches)


def letters(seed, count):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), count))


def test_encode_equals_the_tokenizer(tokenizer):
    random, k = np.random.default_rng(0), tokenizer.k
    windows = random.integers(0, 4, (600, 20 * k)).astype(np.uint8)
    singles = np.arange(600) % k
    ids = encode(windows, singles, tokenizer)
    assert ids.shape == (600, 21)
    assert ids.dtype == np.int32
    texts = [
        text[: k * (20 - count) + count]
        for text, count in zip(text_of(windows), singles, strict=True)
    ]
    np.testing.assert_array_equal(ids, tokenizer.encode(texts))


def test_the_other_strand():
    windows = np.random.default_rng(0).integers(0, 4, (50, 37)).astype(np.uint8)
    assert text_of(reverse_complement_codes(windows)) == [
        other_strand(text) for text in text_of(windows)
    ]


def test_every_window_of_a_region_once(tmp_path):
    contigs = ["ACGTNNACGTA", "CCC", "TTTTGN", "N", "GATTACA"]
    region = region_of(tmp_path, *contigs)
    expected = [
        contig[place : place + 4]
        for contig in contigs
        for place in range(len(contig) - 3)
        if "N" not in contig[place : place + 4]
    ]
    assert region.count(4) == len(expected)
    assert text_of(region.read(np.arange(region.count(4)), 4)) == expected
    assert region.count(8) == 0
    assert region.letters == 4 + 5 + 3 + 5 + 7
    assert region.name == "some"


def test_part_of_a_genome(tmp_path):
    whole = region_of(tmp_path, letters(0, 100))
    part = Region(whole.genome, np.array([[10, 20], [50, 53], [60, 65]]))
    places = part.places(np.arange(part.count(5)), 5)
    assert places.tolist() == [10, 11, 12, 13, 14, 15, 60]
    np.testing.assert_array_equal(
        part.read(np.array([6, 0]), 5), read_windows(whole.genome, np.array([60, 10]), 5)
    )
    assert Region(whole.genome, np.zeros((0, 2), np.int64)).count(1) == 0


def test_rows_are_windows_of_one_contig_without_n(tmp_path, tokenizer):
    pieces = [letters(n, 60 * (n + 1)) for n in range(8)]
    contigs = [pieces[0], "NNNN".join(pieces[1:4]), "".join(pieces[4:6]), *pieces[6:]]
    sampler = WindowSampler([region_of(tmp_path, *contigs)], None, tokenizer, 10, 7)
    for row in sampler.rows(0, 500):
        [text] = tokenizer.decode(row[None])
        assert any(text in contig or other_strand(text) in contig for contig in contigs)
        assert "N" not in text
        assert row[0] == tokenizer.cls_id


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Sizes of the contigs; contig, place and strand of 40,000 windows; their rows."""
    folder = tmp_path_factory.mktemp("drawn")
    sizes = [400, 1000, 2600, 90]
    contigs = [letters(n, size) for n, size in enumerate(sizes)]
    tokenizer = TOKENIZERS["v2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTJAX_CACHE_DIR", str(folder))
        sampler = WindowSampler([region_of(folder, *contigs)], None, tokenizer, 11, 3)
    rows = np.concatenate([sampler.rows(step, 1000) for step in range(40)])
    forward = {
        contig[place : place + 60]: (n, place, 0)
        for n, contig in enumerate(contigs)
        for place in range(len(contig) - 59)
    }
    backward = {other_strand(text): (n, place, 1) for text, (n, place, _) in forward.items()}
    known = forward | backward
    # The shortest rows have 5 k-mers and 5 single letters, 35 in all, which tell the place too.
    starts = {text[:35]: place for text, place in known.items()}
    assert len(starts) == len(known)
    found = np.array([starts[text[:35]] for text in tokenizer.decode(rows)])
    return sizes, found, rows


def test_contigs_in_proportion_to_their_length(drawn):
    sizes, found, _ = drawn
    counts = np.bincount(found[:, 0], minlength=4)
    windows = np.array(sizes) - 60 + 1
    expected = len(found) * windows / windows.sum()
    assert stats.chisquare(counts, expected).pvalue > UNLIKELY


def test_places_are_uniform(drawn):
    sizes, found, _ = drawn
    places = found[(found[:, 0] == 2) & (found[:, 2] == 0), 1]
    counts = np.bincount(places, minlength=sizes[2] - 59)
    assert len(counts) == sizes[2] - 59
    assert stats.chisquare(counts).pvalue > UNLIKELY
    phases = np.bincount(places % 6, minlength=6)
    assert stats.chisquare(phases).pvalue > UNLIKELY


def test_strands_half_each(drawn):
    _, found, _ = drawn
    assert stats.binomtest(int(found[:, 2].sum()), len(found)).pvalue > UNLIKELY


def test_every_number_of_single_letters_alike(drawn):
    *_, rows = drawn
    first_letter = TOKENIZERS["v2"].id_of("A")
    singles = np.bincount((rows >= first_letter).sum(axis=1), minlength=6)
    assert len(singles) == 6
    assert stats.chisquare(singles).pvalue > UNLIKELY


def test_sources_by_their_shares(tmp_path):
    regions = [
        region_of(tmp_path, letter * 200, name=f"{n}.fa")
        for n, letter in enumerate(["A", "C", "AC"])
    ]
    tokenizer = TOKENIZERS["v2"]
    rows = WindowSampler(regions, [5, 1, 2], tokenizer, 8, 0).rows(0, 20_000)
    texts = tokenizer.decode(rows)
    counts = [
        sum(set(text) in kinds for text in texts)
        for kinds in ([{"A"}, {"T"}], [{"C"}, {"G"}], [{"A", "C"}, {"G", "T"}])
    ]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts, 20_000 * np.array([5, 1, 2]) / 8).pvalue > UNLIKELY


def test_seed_and_step_decide(tmp_path):
    regions = [region_of(tmp_path, letters(n, 500 * (n + 1)), name=f"{n}.fa") for n in range(3)]

    def rows(seed, step):
        return WindowSampler(regions, None, TOKENIZERS["v2"], 12, seed).rows(step, 16)

    np.testing.assert_array_equal(rows(1, 5), rows(1, 5))
    assert (rows(1, 5) != rows(1, 6)).any()
    assert (rows(1, 5) != rows(2, 5)).any()


def test_pinned_rows(tmp_path):
    # Runs that are resumed must see the same rows in later versions.
    region = region_of(tmp_path, "ACGTTGCATTCAGGACTA" * 20)
    rows = WindowSampler([region], None, TOKENIZERS["v2"], 8, 0).rows(3, 3)
    assert rows.tolist() == [
        [3, 879, 3108, 4102, 4102, 4104, 4105, 4103],
        [3, 3612, 975, 187, 3612, 975, 187, 3612],
        [3, 486, 2905, 4103, 4104, 4104, 4103, 4105],
    ]


@pytest.mark.parametrize("contig", ["A" * 59, "A" * 59 + "N" + "C" * 59])
def test_a_window_longer_than_every_contig(tmp_path, contig):
    region = region_of(tmp_path, contig, "ACGT", name="draft.fna")
    with pytest.raises(UserError, match=r"^draft: .* window of 60 letters: .* --window-tokens"):
        WindowSampler([region], None, TOKENIZERS["v2"], 11, 0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_what_was_read(tmp_path, monkeypatch):
    path = tmp_path / "large.fa"
    bases = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), 1 << 20)
    with path.open("wb") as file:
        file.write(b">large\n")
        for _ in range(48):
            file.write(bases.tobytes() + b"\n")
    genome = open_genome(path)
    places = np.arange(0, len(genome.letters) - 1000, 10_000)

    def mapped_growth(every):
        monkeypatch.setattr(genome_windows, "_WINDOWS_BEFORE_RELEASE", every)
        release(genome.letters)
        before = mapped_megabytes()
        for some in np.array_split(places, 100):
            read_windows(genome, some, 1000)
        return mapped_megabytes() - before

    assert mapped_growth(10**9) > 40  # all of it, if nothing is given back
    assert mapped_growth(256) < 20


def mapped_megabytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("RssFile")]
    return int(kilobytes) / 1024
