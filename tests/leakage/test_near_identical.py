import itertools
from functools import cache

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.leakage import near_identical as module
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.leakage.near_identical import near_identical_pairs, seed_for

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def other_strand(text):
    return text.translate(COMPLEMENT)[::-1]


def random_text(random, letters):
    return "".join(random.choice(list("ACGT"), letters))


@cache
def naive_identity(one, other):
    """Equal letters of the best alignment without gaps, over the shorter length, by all offsets."""
    best = 0
    for strand in (other, other_strand(other)):
        for offset in range(-len(strand) + 1, len(one)):
            own, theirs = one[max(offset, 0) :], strand[max(-offset, 0) :]
            equal = sum(a == b != "N" for a, b in zip(own, theirs, strict=False))
            best = max(best, equal)
    return best / min(len(one), len(other))


def found(queries, references, identity=0.9):
    pairs = set()
    for left, right in near_identical_pairs(queries, references, identity):
        pairs |= set(zip(left.tolist(), right.tolist(), strict=True))
    return pairs


def naive(queries, references, identity=0.9):
    return {
        (q, r)
        for (q, one), (r, other) in itertools.product(enumerate(queries), enumerate(references))
        if naive_identity(one, other) >= identity - 1e-9
    }


def changed(text, random, changes, spread=False):
    """A copy with so many letters replaced: anywhere, or as far from each other as can be."""
    places = random.choice(len(text), changes, replace=False)
    if spread:
        places = np.linspace(0, len(text) - 1, changes + 2)[1:-1].round().astype(int)
    letters = list(text)
    for place in places:
        letters[place] = "ACGT"[("ACGT".index(letters[place]) + random.integers(1, 4)) % 4]
    return "".join(letters)


@pytest.mark.parametrize("portion", [None, 3])
@pytest.mark.parametrize("identity", [0.9, 0.8, 1.0])
def test_pairs_are_those_of_all_alignments(monkeypatch, identity, portion):
    if portion:
        monkeypatch.setattr(module, "_HITS_AT_ONCE", portion)
    random = np.random.default_rng(0)
    queries = [random_text(random, 40) for _ in range(8)]
    references = [random_text(random, 40) for _ in range(4)]
    for query in queries:
        for changes in (0, 3, 4, 5, 8, 9):
            references.append(changed(query, random, changes, spread=changes % 2 == 0))
        for shift in (1, 3, 4, 5):
            moved = query[shift:] + random_text(random, shift)
            references.append(changed(moved, random, max(4 - shift, 0)))
            references.append(other_strand(moved))
        references += [query[5:25], random_text(random, 20) + query, query[:38] + "NN"]
    queries.append(queries[0][:10] + "N" + queries[0][11:])
    pairs = found(queries, references, identity)
    assert pairs == naive(queries, references, identity)
    assert len(pairs) > 8


def test_relatives_without_a_shared_16_mer():
    random = np.random.default_rng(1)
    query = random_text(random, 81)
    spread = changed(query, random, 8, spread=True)
    too_far = changed(query, random, 9, spread=True)
    assert not rows_sharing_kmers([query], [spread]).any()
    assert found([query], [random_text(random, 81), other_strand(spread), too_far]) == {(0, 1)}


def test_seeds():
    assert seed_for(["A" * 81], ["A" * 81]) == (9, True)
    assert seed_for(["A" * 81], ["A" * 81], 1.0) == (31, True)
    assert seed_for(["A" * 20], ["A" * 81]) == (6, True)
    # A thousand million pairs of letters a chance hit: longer seeds.
    assert seed_for(["A" * 500] * 3_000, ["A" * 500] * 30_000) == (11, False)
    with pytest.raises(UserError, match=r"identity 0\.5: it must be above 0\.5"):
        seed_for(["A"], ["A"], 0.5)


def test_nothing_to_compare():
    assert found([], ["ACGT"]) == found(["ACGT"], []) == set()
    assert found(["NNNN"], ["NNNN", "ACGT"]) == set()
