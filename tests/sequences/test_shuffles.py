from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from ntjax.sequences.shuffles import shuffled_keeping_dinucleotides


def dinucleotides(text):
    return Counter(pairwise(text))


@pytest.mark.parametrize("seed", range(20))
def test_dinucleotides_stay(seed):
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(5, 0.5))
    letters = random.choice(5, int(random.integers(0, 300)), p=shares).astype(np.uint8)
    before = letters.copy()
    shuffled = shuffled_keeping_dinucleotides(letters, random)
    np.testing.assert_array_equal(letters, before)
    assert shuffled.dtype == np.uint8
    assert dinucleotides(shuffled.tolist()) == dinucleotides(letters.tolist())
    assert shuffled[:1].tolist() == letters[:1].tolist()
    assert shuffled[-1:].tolist() == letters[-1:].tolist()


def test_a_promoter_does_change():
    letters = np.random.default_rng(0).integers(0, 4, 81).astype(np.uint8)
    random = np.random.default_rng(1)
    shuffles = [shuffled_keeping_dinucleotides(letters, random) for _ in range(50)]
    same = np.array([(shuffled == letters).mean() for shuffled in shuffles])
    assert len({shuffled.tobytes() for shuffled in shuffles}) == 50
    assert same.mean() < 0.4  # 0.25 by chance, and the ends


@pytest.mark.parametrize("text", ["ACGATCAG", "AACAGACC", "ACCACACA", "TGTTTGAT", "AAAAC"])
def test_every_order_is_as_likely(text):
    """Against all permutations that keep letters and dinucleotides."""
    wanted = dinucleotides(text)
    orders = sorted(order for order in set(permutations(text)) if dinucleotides(order) == wanted)
    codes = np.frombuffer(text.encode(), np.uint8)
    random = np.random.default_rng(3)
    drawn = Counter(
        tuple(shuffled_keeping_dinucleotides(codes, random).tobytes().decode())
        for _ in range(200 * len(orders))
    )
    assert set(drawn) == set(orders)
    if len(orders) > 1:
        assert chisquare([drawn[order] for order in orders]).pvalue > 0.01
