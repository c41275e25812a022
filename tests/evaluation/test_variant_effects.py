"""Scores of variants: one by one in plain Python, indels of several lengths, bad options."""

from dataclasses import replace

import numpy as np
import pytest
from made_genomes import opened, random_text
from made_variants import (
    distances,
    drawn,
    indel,
    log_likelihood_ratio,
    made,
    other_base,
    snv,
    windows,
)
from planted_task import MODEL
from small_runs import small_run

from ntjax import load_pretrained
from ntjax.errors import UserError
from ntjax.evaluation.variant_effects import MEASURES, VariantScorer, variant_effects
from ntjax.evaluation.variant_options import EffectOptions, default_window
from ntjax.genomes.alleles import AlleleReader, allele_windows, trimmed
from ntjax.genomes.intervals import ContigNames
from ntjax.sequences.alphabet import base_texts

pytestmark = pytest.mark.usefixtures("quick_compilation")

WINDOW = 96


@pytest.fixture(scope="module")
def model():
    return load_pretrained(MODEL)


@pytest.fixture(scope="module")
def contigs():
    gap = random_text(900, 3) + "N" * 5 + random_text(700, 4) + "N" + random_text(800, 5)
    return {"one": gap, "two": random_text(600, 6)}


@pytest.fixture(scope="module")
def genome(tmp_path_factory, contigs):
    return opened(tmp_path_factory.mktemp("genome"), contigs)


def placed(genome, changes, window=WINDOW):
    reader = AlleleReader(ContigNames(genome, "test.vcf"), window)
    return [reader.place(c.contig, c.position, c.ref, c.alt) for c in changes]


def three_hundred(contigs):
    """Indels of 1 to 20 bp, SNVs at contig ends and beside N, exchanges of several bases."""
    random, changes = np.random.default_rng(12), []
    for bases in range(1, 21):  # 120 indels
        for insertion in (True, False, True, False, True, False):
            start = int(random.integers(150, 750))
            changes.append(indel(contigs, random, "one", start, bases, insertion))
    for contig, text in contigs.items():  # 20 at each of four ends
        for end in (range(0, 10), range(len(text) - 10, len(text))):
            changes += [snv(contigs, random, contig, start) for start in end]
            for bases in (1, 2, 4, 7, 11):
                start = end[0] + bases % 3 if end[0] == 0 else end[-1] - bases
                changes.append(indel(contigs, random, contig, start, bases, True))
                changes.append(indel(contigs, random, contig, start, bases, False))
    for start in (893 - 7 * (n % 4) for n in range(10)):  # 20 beside N
        changes.append(snv(contigs, random, "one", start))
        changes.append(snv(contigs, random, "one", 911 + start % 5))
    while len(changes) < 270:
        changes.append(snv(contigs, random, "two", int(random.integers(100, 500))))
    while len(changes) < 300:
        start, bases = int(random.integers(100, 500)), int(random.integers(2, 6))
        old = contigs["two"][start : start + bases]
        middle = drawn(random, int(random.integers(0, 4)))
        new = other_base(random, old[0]) + middle + other_base(random, old[-1])
        changes.append(made(contigs, "two", start, old, new))
    return changes


def checked(model, contigs, genome, changes, phases, strands, **others):
    """All scores against those of one by one."""
    alleles = placed(genome, changes)
    assert {allele.status for allele in alleles} == {"scored"}
    options = EffectOptions(WINDOW, phases, strands == "+-", **others)
    found = VariantScorer(model, genome, options).scores(alleles)
    for row, change in enumerate(changes):
        pair = windows(contigs, change, WINDOW)
        expected = distances(model, pair, phases, strands)
        ours = [found[name][row] for name in MEASURES]
        np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=2e-5, err_msg=str(change))
        assert found["site_index"][row] == pair[0][1]
        assert found["window_n"][row] == pair[0][0].count("N")
        if len(change.old) == len(change.new) == 1:
            ratio = log_likelihood_ratio(model, pair, phases, strands)
            np.testing.assert_allclose(found["log_likelihood_ratio"][row], ratio, atol=1e-4)
        else:
            assert np.isnan(found["log_likelihood_ratio"][row])
    return alleles, found


@pytest.mark.slow
def test_300_variants_one_by_one(model, contigs, genome):
    changes = three_hundred(contigs)
    assert len(changes) == 300
    assert sum(len(c.old) != len(c.new) for c in changes) >= 100
    _, found = checked(model, contigs, genome, changes, 6, "+-", shams=0)
    assert found["phases"].min() < 12 == np.median(found["phases"])


def test_single_bases_between_an_n_and_the_end_of_a_contig(model, tmp_path):
    text = random_text(60, 1) + "N" + random_text(200, 2) + "N" + random_text(69, 3)
    contigs, random = {"one": text}, np.random.default_rng(4)
    genome = opened(tmp_path, contigs)
    starts = (0, 1, 4, len(text) - 5, len(text) - 2, len(text) - 1)
    changes = [snv(contigs, random, "one", start) for start in starts]
    _, found = checked(model, contigs, genome, changes, 6, "+-", shams=0)
    assert np.isfinite(found["log_likelihood_ratio"]).all()
    [alone] = changes[-1:]  # in one phase and on one strand its token is a single base
    scorer = VariantScorer(model, genome, EffectOptions(WINDOW, 1, False, 0))
    found = scorer.scores(placed(genome, [alone]))
    assert np.isnan(found["log_likelihood_ratio"][0])
    assert np.isfinite(found["l2"][0])


@pytest.mark.compiled
def test_some_of_them_on_one_strand(model, contigs, genome):
    changes = three_hundred(contigs)[::50]
    checked(model, contigs, genome, changes, 6, "+", shams=0)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["v1_token_dropout", "v2"])
def test_learned_positions_token_dropout_and_gated_layers(golden_model, contigs, genome, name):
    changes = three_hundred(contigs)[7::60]
    checked(golden_model(name), contigs, genome, changes, 6, "+-", shams=0)


def test_shams_of_indels(model, contigs, genome):
    random = np.random.default_rng(1)
    changes = [indel(contigs, random, "one", 300 + n, 3, n % 2 == 0) for n in range(4)]
    changes.insert(2, snv(contigs, random, "two", 300))
    alleles, found = checked(model, contigs, genome, changes, 1, "+-", shams=4)
    assert np.isnan(found["l2_z"][2])
    for row in (0, 1, 3, 4):
        change, growth = changes[row], len(changes[row].new) - len(changes[row].old)
        texts = shams_of(model, genome, alleles, row)
        pair = list(windows(contigs, change, WINDOW))
        assert len(texts) == 4
        scores = []
        for text in texts:
            at = pair[growth > 0][1] + 1  # behind the anchor
            assert {text[:at], text[at + 3 :]} <= {
                pair[growth > 0][0][:at],
                pair[growth > 0][0][at + 3 :],
            }
            sham = list(pair)
            sham[growth > 0] = (text, *pair[growth > 0][1:])
            scores.append(distances(model, sham, 1, "+-"))
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        for number, name in enumerate(MEASURES):
            np.testing.assert_allclose(
                found[f"{name}_sham"][row], mean[number], rtol=1e-3, atol=1e-5
            )
            z = (found[name][row] - mean[number]) / spread[number]
            np.testing.assert_allclose(found[f"{name}_z"][row], z, rtol=0.05, atol=0.02)


def shams_of(model, genome, alleles, row):
    """Texts of an allele's shams, which do not depend on what else is scored."""
    scorer = VariantScorer(model, genome, EffectOptions(WINDOW, 1, True, 4))
    alone = [alleles[row]]
    [(_, codes, _)] = scorer._shams(alone, allele_windows(genome, alone, WINDOW))
    return base_texts(codes)


@pytest.mark.slow
def test_the_length_of_an_insertion_alone_does_not_make_it_severe(model, contigs, genome):
    """Divided by its shams, an insertion of random bases scores alike whatever its length."""
    random, medians, raw = np.random.default_rng(5), [], []
    for bases in (1, 2, 3, 6):
        starts = random.integers(100, 800, 300)
        changes = [indel(contigs, random, "one", int(start), bases, True) for start in starts]
        # Any base may come first; `indel` leaves one out.
        changes = [made(contigs, "one", c.start, "", drawn(random, bases)) for c in changes]
        options = EffectOptions(WINDOW, 1, False, 20)
        found = VariantScorer(model, genome, options).scores(placed(genome, changes))
        medians.append(np.median(found["l2"] / found["l2_sham"]))
        raw.append(np.median(found["l2"]))
        assert abs(np.median(found["l2_z"])) < 0.25
    assert max(medians) / min(medians) < 1.1
    assert max(raw) / min(raw) > 1.3  # without shams it does


def test_a_run_scores_as_its_adapter_makes_it(model, contigs, genome):
    run = small_run(model, "ia3")
    alleles = placed(genome, [snv(contigs, np.random.default_rng(2), "two", 250)])
    options = EffectOptions(WINDOW, 1, False)
    of_run = VariantScorer(run, genome, options).scores(alleles)
    by_hand = VariantScorer(model, genome, options, run.trainable.adapter).scores(alleles)
    bare = VariantScorer(model, genome, options).scores(alleles)
    for name in ("l2", "log_likelihood_ratio"):
        assert of_run[name] == by_hand[name]
        assert abs(of_run[name] - bare[name]) > 1e-4


def test_alleles_of_a_site_and_the_order_of_alleles_change_nothing(model, contigs, genome):
    base = contigs["two"][200]
    changes = [made(contigs, "two", 200, base, other) for other in "ACGT" if other != base]
    scorer = VariantScorer(model, genome, EffectOptions(WINDOW, 1, False))
    alleles = placed(genome, changes)
    rows = scorer._rows(alleles, allele_windows(genome, alleles, WINDOW))
    assert len(rows.codes) == 1 + 3  # the reference once
    together = scorer.scores(alleles)
    for row, change in enumerate(changes):
        alone = scorer.scores(placed(genome, [change]))
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][row], values[0], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EffectOptions(100, 6), r"window 100: should be a multiple of 6.*96 or 102"),
        (EffectOptions(42, 6), "reads windows of 48 to 378 bp"),
        (EffectOptions(384, 6), "reads windows of 48 to 378 bp"),
        (EffectOptions(96, 3), "reads 6-mers: give 6 for all phases, or 1"),
        (EffectOptions(96, 6, shams=1), "shams 1: give 0, or 2 or more"),
    ],
)
def test_options_that_do_not_go_with_the_model(model, genome, options, message):
    with pytest.raises(UserError, match=message):
        VariantScorer(model, genome, options)


def test_windows_of_more_tokens_than_positions(model, genome, contigs):
    changes = [snv(contigs, np.random.default_rng(3), "one", start) for start in (300, 880)]
    scorer = VariantScorer(model, genome, EffectOptions(378, 1, False))
    assert scorer.unreadable(placed(genome, changes, 378)).tolist() == [False, True]


def test_variants_that_are_at_hand(model, genome, contigs):
    change = snv(contigs, np.random.default_rng(3), "two", 250)
    variants = [
        ("two", change.position, change.ref, change.alt),
        ("two", change.position, change.alt, change.ref),
        ("one", 880, contigs["one"][879], "T" if contigs["one"][879] != "T" else "A"),
    ]
    found = variant_effects(model, genome, variants, window=378, phases=1, both_strands=False)
    assert found["status"].tolist() == ["scored", "reference_mismatch", "too_many_n"]
    assert np.isfinite(found["l2"]).tolist() == [True, False, False]
    scorer = VariantScorer(model, genome, EffectOptions(378, 1, False, 0))
    assert found["l2"][0] == scorer.scores(placed(genome, [change], 378))["l2"][0]


def test_default_windows():
    assert default_window(load_pretrained("mini")) == 768
    model = load_pretrained(MODEL)
    assert default_window(model) == 378  # as many as it has positions
    for rotary, positions, bases in ((False, 1000, 5_994), (True, 2048, 12_000)):
        config = replace(model.config, use_rotary_embedding=rotary, max_positions=positions)
        assert default_window(replace(model, config=config)) == bases


def test_trimmed_changes_are_those_of_any_spelling():
    assert trimmed(4, "A", "G") == trimmed(2, "CCA", "CCG") == trimmed(4, "AT", "GT")
    assert trimmed(4, "A", "AT") == trimmed(3, "GA", "GAT") == (5, "", "T")
    assert trimmed(0, "TA", "A") == (0, "T", "")
