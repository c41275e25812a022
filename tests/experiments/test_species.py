"""The pure parts of the species, the stages and the blocks of the genome."""

import numpy as np
import pytest

from experiments.promoters.data.species import (
    KINDS,
    SPECIES,
    at_most,
    kind_of,
    labelled,
    random_letters,
    relatives_of,
    sorted_by_kind,
)
from experiments.promoters.sections.curated import BLOCK_LETTERS, REACH, folds_of, near
from ntjax.sequences.alphabet import gc_content


def test_kinds_from_headers():
    records = [
        ("Pseudomonas putida strain KT2440--12", "ACGT"),
        ("Burkholderia cenocepacia J2315 chr1 CDS--3", "AAAA"),
        ("Nostoc sp. PCC7120 Convergent--1", "CCCC"),
        ("Nostoc sp. PCC7120 Convergent--2", "CCRC"),
        ("Campylobacter jejuni subsp. jejuni 81-176--7", "GGGG"),
    ]
    found = sorted_by_kind(records)
    assert found.sequences == {
        "promoter": ("ACGT", "GGGG"),
        "CDS": ("AAAA",),
        "convergent": ("CCCC",),
    }
    assert found.dropped == 1
    assert {kind_of(name) for name, _ in records} == set(KINDS)


def test_relatives_are_of_one_family():
    assert relatives_of(18) == [19]
    assert relatives_of(10) == [16]
    assert relatives_of(5) == [4, 6, 7]
    assert relatives_of(12) == []
    assert len(SPECIES) == 20


def test_random_letters_have_lengths_and_composition():
    like = ["AAAC" * 500, "ACGT", "AAAA" * 400]
    drawn = random_letters(like, seed=1)
    assert [len(sequence) for sequence in drawn] == [len(sequence) for sequence in like]
    assert gc_content(["".join(drawn)])[0] == pytest.approx(
        gc_content(["".join(like)])[0], abs=0.03
    )
    assert drawn == random_letters(like, seed=1) != random_letters(like, seed=2)


def test_tables_and_samples():
    table = labelled(["A", "C"], ["G"], "here")
    assert table.labels == ("1", "1", "0")
    assert table.sequences == ("A", "C", "G")
    letters = list("ABCDEFGH")
    assert at_most(letters, None, 0) == at_most(letters, 8, 0) == letters
    sample = at_most(letters, 3, 0)
    assert len(set(sample)) == 3
    assert sample == sorted(sample)


def test_folds_are_of_whole_blocks():
    places = np.arange(0, 20 * BLOCK_LETTERS, 1000)
    folds = folds_of(places, 5)
    assert np.bincount(folds[:: BLOCK_LETTERS // 1000]).tolist() == [4] * 5
    for block in range(20):
        assert len(set(folds[places // BLOCK_LETTERS == block].tolist())) == 1


def test_near_against_all_pairs():
    random = np.random.default_rng(0)
    places, others = random.integers(0, 50_000, 300), random.integers(0, 50_000, 40)
    expected = (abs(places[:, None] - others) <= REACH).any(axis=1)
    assert (near(places, others) == expected).all()
    assert 0 < expected.sum() < 300
    assert (near(places, others[:1]) == (abs(places - others[0]) <= REACH)).all()
