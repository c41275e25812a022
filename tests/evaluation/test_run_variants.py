"""What alleles do to a run's prediction: all windows one by one, around sites and at a stride."""

import numpy as np
import pytest
from made_genomes import opened, other_strand, random_text
from made_variants import indel, made, snv
from planted_task import MODEL
from small_runs import small_run

from ntjax import load_pretrained
from ntjax.errors import UserError
from ntjax.evaluation.run_variants import RunScorer, RunWindows
from ntjax.genomes.alleles import AlleleReader
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.windows import WindowGeometry

pytestmark = pytest.mark.usefixtures("quick_compilation")

LENGTH, STRIDE = 39, 5


@pytest.fixture(scope="module")
def model():
    return load_pretrained(MODEL)


@pytest.fixture(scope="module")
def run(model):
    return small_run(model)


@pytest.fixture(scope="module")
def contigs():
    text = random_text(300, 1) + "N" + random_text(299, 2)
    return {"first": random_text(77, 3), "one": text}


@pytest.fixture(scope="module")
def genome(tmp_path_factory, contigs):
    return opened(tmp_path_factory.mktemp("genome"), contigs)


@pytest.fixture(scope="module")
def changes(contigs):
    random = np.random.default_rng(4)
    found = [snv(contigs, random, "one", start) for start in (0, 7, 120, 290, 599)]
    found += [
        made(
            contigs,
            "one",
            200,
            contigs["one"][200:203],
            "TTT" if contigs["one"][200] != "T" else "GGG",
        )
    ]
    for bases in (1, 4, 9):
        for start in (40 + bases, 590 - bases):
            found += [indel(contigs, random, "one", start, bases, how) for how in (True, False)]
    return found


def placed(genome, changes):
    reader = AlleleReader(ContigNames(genome, "test.vcf"), 48)
    alleles = [reader.place(c.contig, c.position, c.ref, c.alt) for c in changes]
    # Windows of a run ask for less than those of embeddings.
    assert {allele.status for allele in alleles} <= {"scored", "n_near_site"}
    return alleles


def one_by_one(run, contigs, change, windows):
    """Difference of logits, start, strand and probabilities of all windows that hold a change.

    `windows`: start, strand, and whether the right end is kept.
    """
    text = contigs[change.contig]
    growth = len(change.new) - len(change.old)
    pure = not (change.old and change.new)
    low, high = change.start - (pure and change.start > 0), change.start + len(change.old)
    changed = text[: change.start] + change.new + text[change.start + len(change.old) :]
    found = []
    for start, strand, right in windows:
        if not start <= low or not high <= start + LENGTH:
            continue
        begin = start + growth * right
        pair = [text[start : start + LENGTH], changed[begin : begin + LENGTH]]
        used = text[min(start, begin) : max(start, begin) + LENGTH + max(0, -growth) * (not right)]
        too_short = begin < 0 or start + LENGTH + max(0, -growth) * (not right) > len(text)
        if too_short or "N" in used:
            continue
        if strand == "-":
            pair = [other_strand(one) for one in pair]
        (a, b), probabilities = run.logits(pair), run.predict(pair)[:, 1]
        found.append(((b[1] - b[0]) - (a[1] - a[0]), start, strand, *probabilities))
    return found


def check(found, row, expected):
    assert found["windows"][row] == len(expected)
    if not expected:
        assert np.isnan(found["logit_difference"][row])
        assert found["window_strand"][row] == ""
        return
    differences = [one[0] for one in expected]
    np.testing.assert_allclose(found["mean_logit_difference"][row], np.mean(differences), atol=1e-4)
    best = max(np.abs(differences))
    np.testing.assert_allclose(abs(found["logit_difference"][row]), best, atol=1e-4)
    place = found["window_start"][row] - 1, found["window_strand"][row]
    [same] = [one for one in expected if one[1:3] == place]
    np.testing.assert_allclose(abs(same[0]), best, atol=1e-4)
    np.testing.assert_allclose(found["reference_probability"][row], same[3], atol=1e-5)
    np.testing.assert_allclose(found["alternative_probability"][row], same[4], atol=1e-5)
    assert found["window_end"][row] == place[0] + LENGTH


@pytest.mark.compiled
def test_all_windows_at_a_stride(run, contigs, genome, changes):
    alleles = placed(genome, changes)
    found = RunScorer(run, genome, RunWindows(LENGTH, STRIDE)).scores(alleles)
    starts = range(0, 600 - LENGTH + 1, STRIDE)
    windows = [(start, strand, False) for start in starts for strand in "+-"]
    for row, change in enumerate(changes):
        check(found, row, one_by_one(run, contigs, change, windows))
    assert 4 <= found["windows"].max() <= 2 * 8


def test_windows_around_sites_keep_their_site(run, contigs, genome, changes):
    geometry = WindowGeometry(30, LENGTH - 31)
    random, offset = np.random.default_rng(6), len(contigs["first"])
    places = np.sort(random.choice(np.arange(40, 560), 60, replace=False))
    sites = Sites(genome, offset + places, random.random(60) < 0.5, geometry)
    found = RunScorer(run, genome, RunWindows(LENGTH, sites=sites)).scores(placed(genome, changes))
    for row, change in enumerate(changes):
        windows = []
        for place, reverse in zip(places.tolist(), sites.reverse.tolist(), strict=True):
            start = place - (geometry.after if reverse else geometry.before)
            before_site = change.start + len(change.old) <= place
            windows.append((start, "-" if reverse else "+", before_site))
        check(found, row, one_by_one(run, contigs, change, windows))
    assert (found["windows"] > 0).sum() >= len(changes) // 2
    # A site's base is at its index in the alternative's window too.
    scorer = RunScorer(run, genome, RunWindows(LENGTH, sites=sites))
    allele = placed(genome, [changes[6]])[0]
    for window in scorer._holding(allele):
        pair = scorer._pair(allele, window)
        assert pair[0][30] == pair[1][30]


def test_groups_of_windows_change_nothing(run, genome, changes, monkeypatch):
    from ntjax.evaluation import run_variants

    alleles = placed(genome, changes)[:6]
    scorer = RunScorer(run, genome, RunWindows(LENGTH, STRIDE, both_strands=False))
    whole = scorer.scores(alleles)
    monkeypatch.setattr(run_variants, "_BASES_AT_ONCE", 1)
    for name, values in scorer.scores(alleles).items():
        if name == "window_strand":
            assert values.tolist() == whole[name].tolist()
        else:
            np.testing.assert_allclose(values, whole[name], atol=1e-5)


@pytest.mark.parametrize(
    ("task", "target", "columns"),
    [
        ("three", "strong", ("reference_probability", "logit_difference")),
        ("labels", "TATA", ("reference_probability", "logit_difference")),
        ("value", "", ("reference_value", "value_difference")),
    ],
)
def test_other_tasks(model, genome, changes, task, target, columns):
    run = small_run(model, task=task)
    scorer = RunScorer(run, genome, RunWindows(LENGTH, 10), target)
    found = scorer.scores(placed(genome, changes[2:3]))
    assert set(columns) <= set(found)
    assert np.isfinite([found[name] for name in columns]).all()
    if task == "value":
        difference = found["alternative_value"] - found["reference_value"]
        np.testing.assert_allclose(found["value_difference"], difference, atol=1e-5)


def test_what_cannot_be_read_is_refused(model, run, genome):
    with pytest.raises(UserError, match="none, weak, strong: say which"):
        RunScorer(small_run(model, task="three"), genome, RunWindows(LENGTH))
    with pytest.raises(UserError, match="'x' is none of them"):
        RunScorer(run, genome, RunWindows(LENGTH), "x")
    with pytest.raises(UserError, match="more than the model's 64 positions"):
        RunScorer(run, genome, RunWindows(600))
    with pytest.raises(UserError, match="stride 0: give 1 or more"):
        RunScorer(run, genome, RunWindows(LENGTH, 0))
