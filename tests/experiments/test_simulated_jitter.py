import hashlib
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from experiments.promoters.data.simulated_jitter import (
    planted_posterior,
    simulate_jittered_sigma70,
)
from ntjax.datasets.simulated import (
    BACKGROUND_PROBABILITY,
    CONSENSUS_PROBABILITY,
    SPACER_PROBABILITY,
    TSS_DISTANCE_PROBABILITY,
    simulate_sigma70,
)


@pytest.fixture(scope="module")
def drawn():
    return simulate_jittered_sigma70(6_000, seed=11), simulate_sigma70(6_000, seed=11)


def test_pinned_rows():
    table, sites = simulate_jittered_sigma70(500, seed=0)
    text = "".join(table.sequences).encode() + sites.minus_35_start.astype("<i8").tobytes()
    assert hashlib.sha256(text).hexdigest()[:16] == "dd0b2c65352a141f"


def test_first_rows_do_not_depend_on_the_number():
    few, few_sites = simulate_jittered_sigma70(10, seed=3, part="test")
    many, many_sites = simulate_jittered_sigma70(100, seed=3, part="test")
    assert few == many.take(range(10))
    np.testing.assert_array_equal(few_sites.minus_10_start, many_sites.minus_10_start[:10])


def test_sequences_are_shifted_with_their_sites(drawn):
    (table, sites), (unmoved, unmoved_sites) = drawn
    assert table.labels == unmoved.labels
    shift = (sites.minus_35_start - unmoved_sites.minus_35_start)[::2]
    np.testing.assert_array_equal(shift, (sites.minus_10_start - unmoved_sites.minus_10_start)[::2])
    counts = Counter(shift.tolist())
    assert sorted(counts) == list(range(-15, 16))
    assert chisquare(list(counts.values())).pvalue > 0.001
    for row, move in zip(range(0, 6_000, 2), shift, strict=True):
        before, after = unmoved.sequences[row], table.sequences[row]
        assert len(after) == 81
        if move >= 0:
            assert after[move:] == before[: 81 - move]
        else:
            assert after[: 81 + move] == before[-move:]
    assert (sites.minus_35_start[1::2] == -1).all()


def test_negatives_are_shifted_too(drawn):
    (table, _), (unmoved, _) = drawn
    shifts = {
        next(s for s in range(-15, 16) if after[15 + s : 66 + s] == before[15:66])
        for before, after in zip(unmoved.sequences[1::2], table.sequences[1::2], strict=True)
    }
    assert shifts == set(range(-15, 16))


def test_boxes_and_flanks(drawn):
    (table, sites), _ = drawn
    starts = np.stack([sites.minus_35_start, sites.minus_10_start], axis=1)[::2]
    for box, consensus in enumerate(("TTGACA", "TATAAT")):
        for place, letter in enumerate(consensus):
            found = np.mean(
                [
                    table.sequences[2 * row][start + place] == letter
                    for row, start in enumerate(starts[:, box])
                ]
            )
            assert found == pytest.approx(CONSENSUS_PROBABILITY[6 * box + place], abs=0.03)
    ends = Counter("".join(sequence[:6] + sequence[-6:] for sequence in table.sequences))
    shares = [ends[letter] / ends.total() for letter in "ACGT"]
    np.testing.assert_allclose(shares, list(BACKGROUND_PROBABILITY.values()), atol=0.01)


def test_without_a_shift_nothing_changes():
    table, sites = simulate_jittered_sigma70(50, seed=2, largest_shift=0)
    unmoved, unmoved_sites = simulate_sigma70(50, seed=2)
    assert table.sequences == unmoved.sequences
    np.testing.assert_array_equal(sites.minus_10_start, unmoved_sites.minus_10_start)


def naive_posterior(sequence, largest_shift):
    chances, marked = [], []
    for distance, distance_share in TSS_DISTANCE_PROBABILITY.items():
        for spacer, spacer_share in SPACER_PROBABILITY.items():
            for shift in range(-largest_shift, largest_shift + 1):
                second = 60 + shift - distance - 5
                first = second - spacer - 6
                chance = distance_share * spacer_share
                boxes = [*range(first, first + 6), *range(second, second + 6)]
                for place, wanted, share in zip(
                    boxes, "TTGACATATAAT", CONSENSUS_PROBABILITY, strict=True
                ):
                    letter = sequence[place]
                    seen = share if letter == wanted else (1 - share) / 3
                    chance *= seen / BACKGROUND_PROBABILITY[letter]
                has_tg = sequence[second - 3 : second - 1] == "TG"
                chances.append(chance * (0.8 + 0.2 * has_tg / 0.28 / 0.22))
                marked.append([place in boxes for place in range(81)])
    return np.array(chances) @ np.array(marked) / sum(chances)


@pytest.mark.parametrize("largest_shift", [0, 15, 21])
def test_posterior_against_a_plain_loop(largest_shift):
    table, _ = simulate_jittered_sigma70(6, seed=2, largest_shift=largest_shift)
    found = planted_posterior(table.sequences, largest_shift)
    assert found.dtype == np.float32
    expected = [naive_posterior(sequence, largest_shift) for sequence in table.sequences]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_the_posterior_is_calibrated(drawn):
    """Where it says p, a share of p is planted: nothing that depends on it alone is biased."""
    (table, sites), _ = drawn
    posterior = planted_posterior(table.sequences[:2_000:2])
    position, truth = np.arange(81), np.zeros(posterior.shape, bool)
    for start in (sites.minus_35_start, sites.minus_10_start):
        offset = position - start[:2_000:2, None]
        truth |= (offset >= 0) & (offset < 6)
    for power in (1, 2, 5):
        excess = ((truth - posterior) * posterior**power).sum(axis=1)
        assert abs(excess.mean()) < 3.5 * excess.std() / np.sqrt(len(excess))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="largest_shift must be 0 to 21, not 22"):
        simulate_jittered_sigma70(5, seed=0, largest_shift=22)
    with pytest.raises(ValueError, match="holdout"):
        simulate_jittered_sigma70(5, seed=0, part="holdout")
    with pytest.raises(ValueError, match="81 letters each"):
        planted_posterior(["ACGT"])
    table, _ = simulate_jittered_sigma70(500, seed=0, largest_shift=21)
    assert {len(sequence) for sequence in table.sequences} == {81}
