import numpy as np
import pytest

from ntjax.genomes import search as module
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.search import occurrences, repeated_ranges
from ntjax.sequences.alphabet import base_codes


def random_text(letters, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters))


def searched(contigs, pattern):
    """First places of a pattern, counted through all contigs, by searching text."""
    found, begin = [], 0
    for text in contigs:
        place = text.find(pattern)
        while place >= 0:
            found.append(begin + place)
            place = text.find(pattern, place + 1)
        begin += len(text)
    return found


@pytest.mark.parametrize("letters_at_once", [None, 100])
def test_as_text_search_finds_them_at_any_length(tmp_path, monkeypatch, letters_at_once):
    if letters_at_once:  # the genome comes in many pieces
        monkeypatch.setattr(module, "_LETTERS_AT_ONCE", letters_at_once)
    repeat = random_text(120, 3)
    contigs = [
        random_text(700, 0) + repeat + "N" * 40 + repeat[:90] + "A" * 50,
        random_text(400, 1) + repeat,
    ]
    path = tmp_path / "made.fna"
    path.write_text("".join(f">{n}\n{text}\n" for n, text in enumerate(contigs)))
    patterns = [
        *(contigs[0][start : start + 20 + start % 60] for start in range(0, 700, 35)),
        repeat,
        repeat[:31],
        repeat[5:36],
        repeat[:30],
        "A" * 31,
        "A" * 7,
        contigs[0][3:5],
        contigs[0][-10:] + contigs[1][:30],  # across two contigs
        random_text(50, 9),
        repeat,
        contigs[1][-40:],
        contigs[0],
    ]
    patterns = [pattern for pattern in patterns if "N" not in pattern]
    places, numbers = occurrences(open_genome(path), [base_codes(pattern) for pattern in patterns])
    for number, pattern in enumerate(patterns):
        assert sorted(places[numbers == number]) == searched(contigs, pattern), number
    assert not np.isin(numbers, [27, 28]).any()
    assert (numbers == 20).sum() == 2


def test_no_patterns(tmp_path):
    path = tmp_path / "made.fna"
    path.write_text(">a\nACGT\n")
    places, numbers = occurrences(open_genome(path), [])
    assert len(places) == len(numbers) == 0
    assert len(occurrences(open_genome(path), [np.zeros(81, np.uint8)])[0]) == 0


def test_ranges():
    ranges = repeated_ranges(np.array([5, 0, 9]), np.array([3, 0, 2]))
    assert ranges.tolist() == [5, 6, 7, 9, 10]
