"""Classes of substitutions by text, and matched positions."""

import numpy as np
from made_genomes import opened, other_strand, random_text

from ntjax.genomes.substitutions import (
    CLASSES,
    Substitutions,
    as_variants,
    is_cpg_transition,
    matched_substitutions,
    substitution_class,
)
from ntjax.sequences.alphabet import BASES


def folded(before, base, behind, new):
    """The same substitution on the strand where C or T is replaced, as text."""
    if base in "AG":
        turned = other_strand(before + base + behind)
        return (*turned, other_strand(new))
    return before, base, behind, new


def test_classes_are_those_of_folded_text(tmp_path):
    text = random_text(4_000, 1) + "N" + random_text(500, 2)
    genome = opened(tmp_path, {"one": text})
    random = np.random.default_rng(3)
    places = np.setdiff1d(random.integers(1, 4_500, 3_000), [3_999, 4_000, 4_001])
    new = [random.choice([b for b in BASES if b != text[place]]) for place in places]
    given = Substitutions(places, np.array([BASES.index(base) for base in new], np.uint8))
    found = substitution_class(genome, given)
    names = [
        folded(text[p - 1], text[p], text[p + 1], base) for p, base in zip(places, new, strict=True)
    ]
    assert len(set(names)) == len(set(found.tolist())) == CLASSES
    assert len(set(zip(names, found.tolist(), strict=True))) == CLASSES  # one to one
    assert found.min() >= 0
    assert found.max() < CLASSES
    cpg = [(base, behind, other) == ("C", "G", "T") for _, base, behind, other in names]
    assert is_cpg_transition(genome, given).tolist() == cpg
    unknown = Substitutions(np.array([0, 3_999, 4_001]), np.zeros(3, np.uint8))
    assert substitution_class(genome, unknown).tolist() == [-1, -1, -1]


def test_matched_positions_have_the_same_neighbours_in_the_same_block(tmp_path):
    text = random_text(30_000, 4)
    genome = opened(tmp_path, {"one": text})
    places = np.random.default_rng(5).choice(np.arange(100, 29_900), 200, replace=False)
    given = Substitutions(places, np.zeros(200, np.uint8))
    found = matched_substitutions(genome, given, 10_000, 50, seed=6)
    assert (found >= 0).all()
    assert len(set(found)) == 200
    assert not set(found) & set(places)
    assert (found // 10_000 == places // 10_000).all()
    assert [text[p - 1 : p + 2] for p in found] == [text[p - 1 : p + 2] for p in places]
    again = matched_substitutions(genome, given, 10_000, 50, seed=6)
    np.testing.assert_array_equal(found, again)


def test_variants_are_written_from_one_on_their_contigs(tmp_path):
    genome = opened(tmp_path, {"one": "ACGT" * 10, "two": "TTGCA" * 10})
    given = Substitutions(np.array([1, 42]), np.array([0, 1], np.uint8))
    assert as_variants(genome, given) == [("one", 2, "C", "A"), ("two", 3, "G", "T")]
