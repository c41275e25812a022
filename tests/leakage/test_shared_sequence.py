import os
from pathlib import Path

import numpy as np
import pytest
from genome_regions import random_region, strands_of, text_of

from ntjax.genomes.indexing import open_genome
from ntjax.genomes.regions import whole_genome
from ntjax.leakage import shared_sequence
from ntjax.leakage.shared_sequence import windows_seen_in_training
from ntjax.sequences.kmers import canonical_codes, kmer_codes, whole_windows


def naive_seen(windows, training, k):
    known = {
        text[start : start + k]
        for text in strands_of(training)
        for start in range(len(text) - k + 1)
    }
    texts = ["".join("ATCGN"[code] for code in row) for row in windows]
    return [any(text[i : i + k] in known for i in range(len(text) - k + 1)) for text in texts]


@pytest.mark.parametrize("piece", [1 << 17, 16], ids=["in one piece", "in many pieces"])
@pytest.mark.parametrize("k", [1, 4, 5, 6, 7])
def test_against_sets_of_substrings(k, piece, monkeypatch):
    monkeypatch.setattr(shared_sequence, "_PIECE_LETTERS", piece)
    monkeypatch.setattr(shared_sequence, "_WINDOW_LETTERS", 100)
    # A few hundred 6-mers are known of 4,096, so that some windows have one.
    training = [random_region([60, 3, 5, 20, 100], 0), random_region([4, 50], 1)]
    windows = np.random.default_rng(2).integers(0, 4, (60, 12), dtype=np.uint8)
    windows[::7, 5] = 4

    seen = windows_seen_in_training(windows, training, k)

    assert seen.tolist() == naive_seen(windows, training, k)
    assert seen.any()
    assert k < 5 or not seen.all()


def test_one_shared_stretch_on_the_other_strand():
    training = random_region([5000], 3)
    letters = training.genome.letters
    windows = np.random.default_rng(4).integers(0, 4, (5, 200), dtype=np.uint8)
    windows[1, 77:108] = letters[900:931][::-1] ^ 1
    windows[3, 77:107] = letters[900:930][::-1] ^ 1
    windows[3, [76, 107]] = letters[[930, 899]]  # no complements of themselves: the stretch ends

    assert windows_seen_in_training(windows, [training]).tolist() == [False, True] + [False] * 3


def test_nothing_known_and_nothing_asked():
    windows = np.zeros((3, 40), np.uint8)
    assert windows_seen_in_training(windows, []).tolist() == [False] * 3
    assert windows_seen_in_training(windows, [random_region([8], 0)]).tolist() == [False] * 3
    assert windows_seen_in_training(windows[:0], [random_region([80], 0)]).shape == (0,)


@pytest.mark.parametrize("k", [0, 21, 32])
def test_k_that_fits_no_window_is_refused(k):
    with pytest.raises(ValueError, match=f"k={k} does not fit windows of 20 letters"):
        windows_seen_in_training(np.zeros((1, 20), np.uint8), [], k)


@pytest.mark.parametrize("k", [1, 2, 3, 8, 11, 16, 31])
def test_codes_are_numbers_to_the_base_4(k):
    letters = np.random.default_rng(k).integers(0, 4, 60, dtype=np.uint8)
    digits = str.maketrans("ATCG", "0123")

    def number(codes):
        return int(text_of(codes).translate(digits), 4)

    windows = [letters[start : start + k] for start in range(60 - k + 1)]
    assert kmer_codes(letters, k).tolist() == [number(window) for window in windows]
    assert canonical_codes(letters, k).tolist() == [
        min(number(window), number(window[::-1] ^ 1)) for window in windows
    ]


@pytest.mark.parametrize("letters", [[], [0], [4], [0, 1, 2, 3], [0, 1, 4, 3, 2, 1, 0, 4, 4, 1]])
def test_whole_windows(letters):
    letters = np.array(letters, np.uint8)
    expected = [bool((letters[i : i + 3] < 4).all()) for i in range(len(letters) - 2)]
    assert whole_windows(letters, 3).tolist() == expected


@pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ,
    reason="NTJAX_DATA_DIR is not set: the development data are needed",
)
@pytest.mark.slow
def test_nearly_half_of_k12_stands_in_another_escherichia_coli():
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "genomes"
    k12, other = (open_genome(folder / f"ecoli_{name}.fna.gz") for name in ("k12_mg1655", "536"))
    region = whole_genome(k12)
    windows = region.read(np.arange(0, region.count(31), 20), 31)

    share = windows_seen_in_training(windows, [whole_genome(other)]).mean()

    assert share == pytest.approx(0.44, abs=0.01)
    assert windows_seen_in_training(windows[::10], [region]).all()
