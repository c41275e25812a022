"""Likelihoods by allele frequency: weights, simulation, and baselines base by base."""

import numpy as np
import pytest
from made_genomes import opened, other_strand, random_text
from planted_task import MODEL

from ntjax import load_pretrained
from ntjax.baselines.markov import MarkovModel
from ntjax.evaluation.allele_frequency import (
    BINS,
    Sites,
    by_frequency,
    category_weights,
    drawn_by_bin,
    markov_likelihoods,
    minor_frequency,
    paired_losses,
    share_of_repeats,
    trinucleotide_likelihoods,
)
from ntjax.evaluation.variant_effects import VariantScorer
from ntjax.evaluation.variant_options import EffectOptions
from ntjax.genomes.alleles import AlleleReader
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.substitutions import Substitutions, as_variants
from ntjax.sequences.alphabet import BASES

pytestmark = pytest.mark.usefixtures("quick_compilation")


def sites(random, rows=1_200, span=3_000_000):
    """Rare sites are of category 0 more often, as CpG transitions are."""
    places = np.sort(random.choice(span, rows, replace=False))
    frequency = random.choice([0.004, 0.03, 0.08, 0.3], rows)
    category = np.where(random.random(rows) < np.where(frequency < 0.01, 0.5, 0.1), 0, 1)
    given = Substitutions(places, np.zeros(rows, np.uint8))
    return Sites(given, frequency, category)


def test_bins_hold_their_upper_bounds_and_no_carrier_is_rare():
    frequency = minor_frequency(np.array([0, 600, 6, 7, 300, 599]), np.array([600] * 6))
    given = Substitutions(np.arange(6), np.zeros(6, np.uint8))
    assert Sites(given, frequency, np.zeros(6)).bin.tolist() == [0, 0, 0, 1, 3, 0]
    edges = minor_frequency(np.array([594, 570, 540]), np.array([600] * 3))
    assert Sites(given.take(np.arange(3)), edges, np.zeros(3)).bin.tolist() == [0, 1, 2]


def test_bins_are_weighted_to_the_same_categories():
    drawn = sites(np.random.default_rng(1))
    weights = category_weights(drawn.category, drawn.bin)
    shares = [
        weights[(drawn.bin == n) & (drawn.category == 0)].sum() / weights[drawn.bin == n].sum()
        for n in range(len(BINS))
    ]
    np.testing.assert_allclose(shares, (drawn.category == 0).mean())
    lacking = np.where(drawn.bin == 2, 1, drawn.category)
    assert (category_weights(lacking, drawn.bin)[lacking == 0] == 0).all()


def simulated(seed, knows):
    """A loss that depends on the category, and on the frequency only if it `knows`."""
    random = np.random.default_rng(seed)
    drawn = sites(random)
    level = random.normal(0, 0.3, 60)[drawn.given.places // 50_000]
    loss = 8 + 1.5 * (drawn.category == 0) + level + random.normal(size=1_200)
    loss += knows * (drawn.frequency < 0.01)
    return by_frequency(np.column_stack([-loss, -loss - 0.5]), drawn, resamples=200, seed=seed)


def test_a_model_that_knows_the_category_alone_shows_no_frequency():
    found = [simulated(seed, 0.0)["rare_minus_common"]["loss_reference"] for seed in range(40)]
    held = np.mean([one["low"] <= 0 <= one["high"] for one in found])
    assert held >= 0.85  # 0.95 less what 40 sets allow
    assert abs(np.mean([one["value"] for one in found])) < 0.05
    known = simulated(0, 0.6)["rare_minus_common"]["loss_reference"]
    assert known["low"] > 0.3
    share = simulated(0, 0.0)["bins"][0]["alternative_share"]["value"]
    assert share == pytest.approx(1 / (1 + np.exp(0.5)))


def test_a_loss_of_the_category_alone_is_the_same_in_all_bins_whatever_is_drawn():
    """Post-stratified, what a trinucleotide tells cannot differ between bins."""
    drawn = sites(np.random.default_rng(9))
    alone = np.where(drawn.category == 0, 2.0, 1.0)
    found = by_frequency(np.column_stack([-alone, -alone]), drawn, resamples=200)
    between = found["rare_minus_common"]["loss_reference"]
    assert abs(between["low"]) < 1e-9
    assert abs(between["high"]) < 1e-9


def test_sites_without_a_likelihood_are_left_out_and_counted():
    random = np.random.default_rng(10)
    drawn, values = sites(random), random.normal(-8, 1, (1_200, 2))
    values[:7] = np.nan
    found = by_frequency(values, drawn, resamples=50)
    assert found["left_out"] == 7
    assert found["n"] == 1_193
    assert np.isfinite(found["bins"][0]["loss_reference"]["value"])


def test_few_blocks_have_no_interval():
    random = np.random.default_rng(2)
    drawn = sites(random, 400, span=500_000)
    found = by_frequency(random.normal(size=(400, 2)), drawn, resamples=50)
    assert found["groups"] == 10
    assert found["bins"][0]["loss_reference"]["low"] is None
    assert "20 groups" in found["bins"][0]["loss_reference"]["interval"]


def test_losses_of_two_models_are_paired():
    random = np.random.default_rng(3)
    drawn, first = sites(random), random.normal(-8, 2, (1_200, 2))
    found = paired_losses(first + 0.1, first, drawn)
    assert found["value"] == pytest.approx(-0.1)
    assert found["high"] < 0
    assert found["groups"] == 60


def test_rows_are_drawn_from_every_bin():
    drawn = sites(np.random.default_rng(4))
    rows = drawn_by_bin(drawn, 50, seed=1)
    assert np.bincount(drawn.take(rows).bin).tolist() == [50] * 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    text = random_text(6_000, 7, 0.4)
    text += text[1_000:1_400] + other_strand(text[2_000:2_300])  # repeats, one turned
    genome = opened(tmp_path_factory.mktemp("made"), {"one": text})
    random = np.random.default_rng(8)
    places = np.append(random.choice(np.arange(500, 5_500), 30, replace=False), [1_200, 2_150])
    new = [random.choice([b for b in BASES if b != text[place]]) for place in places]
    given = Substitutions(places, np.array([BASES.index(base) for base in new], np.uint8))
    return text, genome, given


def test_a_markov_model_by_hand(made):
    text, genome, given = made
    order = 3
    model = MarkovModel.fit([whole_genome(genome)], order)
    found = markov_likelihoods(model, genome, given)
    codes = {base: number for number, base in enumerate(BASES)}

    def chain(sequence):
        """Log p of all bases behind the first `order` of them."""
        total = 0.0
        for end in range(order, len(sequence)):
            number = 0
            for base in sequence[end - order : end + 1]:
                number = 4 * number + codes[base]
            total += model.tables[-1][number]
        return total

    for row in (0, 5):
        place, new = int(given.places[row]), BASES[given.alternative[row]]
        expected = np.zeros(2)
        for offset in range(6):
            start = place - offset
            left, right = text[start - order : start], text[start + 6 : start + 6 + order]
            kmer = text[start : start + 6]
            changed = kmer[:offset] + new + kmer[offset + 1 :]
            numbers = np.arange(4**6)[:, None] // 4 ** np.arange(6)[::-1] % 4
            every = ["".join(BASES[n] for n in row) for row in numbers[:: 4**6 // 16]]
            log_total = np.log(
                np.exp(model.fillings(*_flanks(left, right, codes))[0].astype(float)).sum()
            )
            assert log_total == pytest.approx(0, abs=1e-4)  # a distribution over all 6-mers
            reference = chain(left + every[0] + right)
            scores = model.fillings(*_flanks(left, right, codes))[0]
            for column, one in enumerate((kmer, changed)):
                index = int("".join(str(codes[base]) for base in one), 4)
                first = int("".join(str(codes[base]) for base in every[0]), 4)
                gap = chain(left + one + right) - reference
                assert scores[index] - scores[first] == pytest.approx(gap, abs=1e-3)
                expected[column] += scores[index] / 6
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)


def _flanks(left, right, codes):
    return tuple(np.array([[codes[base] for base in side]], np.uint8) for side in (left, right))


def test_neighbours_alone(made):
    text, genome, given = made
    found = trinucleotide_likelihoods([whole_genome(genome)], genome, given)
    both = text + "N" + other_strand(text)
    place, new = int(given.places[0]), BASES[given.alternative[0]]
    before, base, behind = text[place - 1 : place + 2]

    def count(middle):
        pattern = before + middle + behind
        return 1 + sum(both[i : i + 3] == pattern for i in range(len(both)))

    total = sum(count(middle) for middle in BASES)
    expected = [np.log(count(middle) / total) for middle in (base, new)]
    np.testing.assert_allclose(found[0], expected)


def test_repeats_on_either_strand(made):
    text, genome, given = made
    found = share_of_repeats(genome, given, [whole_genome(genome)])
    both = text + "N" + other_strand(text)
    for row, place in enumerate(given.places.tolist()):
        kmers = [text[start : start + 31] for start in range(place - 30, place + 1)]
        repeated = [sum(both[i : i + 31] == k for i in range(len(both))) > 1 for k in kmers]
        assert found[row] == pytest.approx(np.mean(repeated))
    assert found[-2:].tolist() == [1, 1]


def test_likelihoods_of_a_network_agree_with_its_ratios(made):
    _, genome, given = made
    model = load_pretrained(MODEL)
    reader = AlleleReader(ContigNames(genome, "made"), 96)
    alleles = [reader.place(*one) for one in as_variants(genome, given.take(np.arange(8)))]
    scorer = VariantScorer(model, genome, EffectOptions(96, 6, both_strands=True, shams=0))
    log_p = scorer.log_likelihoods(alleles)
    ratios = scorer.scores(alleles)["log_likelihood_ratio"]
    np.testing.assert_allclose(log_p[:, 1] - log_p[:, 0], ratios, rtol=1e-5)
    assert (log_p < 0).all()
