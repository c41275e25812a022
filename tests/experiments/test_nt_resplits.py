"""The re-split tasks: what lies where, nothing shared, and scores that belong to the rows."""

import json
import os

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.nt_benchmark.resplits.contest import (
    ARMS,
    _junctions,
    _matrix,
)
from experiments.nt_benchmark.resplits.rows import (
    MARKS,
    SHARED,
    SPLICE_BASES,
    TASKS,
    Resplit,
    chromosome_of,
)
from experiments.nt_benchmark.resplits.section import SCORES, compared
from experiments.promoters.data.rows import labels_of
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import rows_sharing_kmers

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set"
)


def shared(rows):
    """Rows of earlier parts that share 31 bases with later ones."""
    later = (*rows.test.sequences, *rows.validation.sequences)
    train = rows_sharing_kmers(rows.train.sequences, later, SHARED)
    validation = rows_sharing_kmers(rows.validation.sequences, rows.test.sequences, SHARED)
    return int(train.sum() + validation.sum())


@needs_data
@pytest.mark.parametrize("mark", [MARKS[0], MARKS[-1]])
def test_yeast_chromosomes_are_kept_apart(mark):
    rows = TASKS[f"yeast {mark}"]()
    of = {
        part: {chromosome_of(name) for name in getattr(rows, part).names}
        for part in ("train", "validation", "test")
    }
    assert of["test"] == {"D", "M"}
    assert of["validation"] == {"O"}
    assert not of["train"] & {"D", "M", "O", None}
    assert shared(rows) == 0
    assert len(rows.groups) == len(rows.test)


@needs_data
@pytest.mark.parametrize(("site", "pair", "at"), [("donor", "GT", 60), ("acceptor", "AG", 58)])
def test_splice_sites_and_decoys_look_alike_in_the_middle(site, pair, at):
    rows = TASKS[f"splice {site}s, chr20"]()
    for table in (rows.train, rows.validation, rows.test):
        assert {text[at : at + 2] for text in table.sequences} == {pair}
        assert {len(text) for text in table.sequences} == {SPLICE_BASES}
        assert len(set(table.names)) == len(table)
    blocks = [{int(name) // 2_000_000 for name in t.names} for t in (rows.train, rows.test)]
    assert not blocks[0] & blocks[1]
    assert shared(rows) == 0
    assert 150 <= labels_of(rows.test).sum() <= 450


@needs_data
def test_promoters_stay_with_their_shuffles():
    rows = TASKS["TATA, shuffled"]()
    assert shared(rows) == 0
    for table in (rows.train, rows.validation, rows.test):
        texts, labels = table.sequences, labels_of(table)
        assert (labels == np.tile([1, 0], len(table) // 2)).all()
        for promoter, other in list(zip(texts[::2], texts[1::2], strict=True))[:50]:
            assert promoter != other
            assert sorted(promoter) == sorted(other)
            steps = [sorted(t[i : i + 2] for i in range(299)) for t in (promoter, other)]
            assert steps[0] == steps[1]


@needs_data
def test_published_enhancers_leak_and_clean_ones_do_not():
    leaky, clean = TASKS["enhancers, as published"](), TASKS["enhancers, clean"]()
    assert len(set(leaky.train.sequences) & set(leaky.test.sequences)) > 50
    assert shared(clean) == 0
    assert clean.test == leaky.test
    assert clean.left_out > 150


def made(texts, labels):
    numbers = tuple(range(1, len(texts) + 1))
    names = tuple(map(str, numbers))
    return SequenceTable(names, tuple(texts), tuple(map(str, labels)), "made", numbers)


def drawn(seed, rows, length, plant):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    texts = random.choice(list("ACGT"), (rows, length))
    plant(texts, labels, random)
    return made(["".join(row) for row in texts], labels)


def resplit(plant, length):
    parts = [drawn(seed, rows, length, plant) for seed, rows in ((1, 600), (2, 200), (3, 200))]
    return Resplit("made", *parts, np.arange(200).astype(str), 0, "made")


def areas(arm, rows):
    truth = labels_of(rows.test)
    return [roc_auc_score(truth, one.test()) for one in arm(rows, 0)]


def test_a_matrix_reads_steps_around_the_site():
    def plant(texts, labels, random):
        texts[labels == 1, 61] = texts[labels == 1, 60]  # the same base twice, which one is free

    assert areas(_matrix, resplit(plant, 120))[0] > 0.8


def test_junctions_alone_are_read_and_nothing_else():
    def at_junctions(texts, labels, random):
        texts[labels == 1, 45] = texts[labels == 1, 44]

    def elsewhere(texts, labels, random):
        texts[labels == 1, 50] = texts[labels == 1, 49]

    assert max(areas(_junctions, resplit(at_junctions, 300))) > 0.7
    assert max(areas(_junctions, resplit(elsewhere, 300))) < 0.62


@needs_data
@pytest.mark.study
def test_committed_scores_are_of_these_rows_and_make_the_committed_numbers():
    record = json.loads((SCORES.parents[1] / "results/resplits.json").read_text())
    for name, read in TASKS.items():
        rows = read()
        folder = SCORES / name.replace(",", "").replace(" ", "_")
        for path in folder.rglob("*.json"):
            assert json.loads(path.read_text())["rows"] == rows.digest, path
        found, committed = compared(rows), record["tasks"][name]
        assert set(found["arms"]) == set(committed["arms"]) <= set(ARMS)
        for arm, one in committed["arms"].items():
            assert found["arms"][arm]["auroc"]["value"] == pytest.approx(one["auroc"]["value"])
