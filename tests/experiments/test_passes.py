"""The study over passes and the grid behind the defaults: rows, tables, and a figure."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.defaults.__main__ import markdown as grid
from experiments.promoters.passes.__main__ import Options, draw, paired, result, run
from experiments.promoters.passes.__main__ import markdown as page
from experiments.promoters.passes.arms import (
    BEST,
    BOOSTING,
    CNN,
    Plan,
    Scored,
    copies,
    in_frames,
    score_file,
    scored,
)
from experiments.promoters.passes.tasks import Task, gc_matched
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable

GRID = Path(__file__).parents[2] / "experiments/defaults"
PASSES = Path(__file__).parents[2] / "experiments/promoters/passes"
RANDOM = np.random.default_rng(8)


def table(rows, shares=(0.5, 0.4)):
    labels = RANDOM.integers(0, 2, rows)
    sequences = tuple(
        "".join(RANDOM.choice(list("GCAT"), 81, p=[s / 2, s / 2, (1 - s) / 2, (1 - s) / 2]))
        for s in np.array(shares)[labels]
    )
    names = tuple(f"row{row}" for row in range(rows))
    return SequenceTable(names, sequences, tuple(map(str, labels)), "made", tuple(range(rows)))


def gc_letters(sequences):
    return np.array([text.count("G") + text.count("C") for text in sequences])


def test_rows_of_equal_gc():
    whole = table(600)
    rows = gc_matched(whole)
    assert (np.diff(rows) > 0).all()
    kept = whole.take(rows)
    assert 200 < len(kept) < 600
    gc, labels = gc_letters(kept.sequences), np.array(kept.labels)
    for count in np.unique(gc):
        assert (labels[gc == count] == "0").sum() == (labels[gc == count] == "1").sum()
    of_class = [np.sort(gc[labels == label]) for label in ("0", "1")]
    np.testing.assert_array_equal(*of_class)
    # As many as there can be.
    before, all_labels = gc_letters(whole.sequences), np.array(whole.labels)
    pairs = sum(
        min(((before == count) & (all_labels == label)).sum() for label in ("0", "1"))
        for count in np.unique(before)
    )
    assert len(kept) == 2 * pairs


@pytest.fixture
def made():
    """A task and made-up scores: of the validation negatives every arm knows more."""
    random = np.random.default_rng(3)
    validation, test = table(200), table(200)
    task = Task("clean", test, validation, test, np.arange(200))

    def scored(strength, curve):
        def of(rows, easier):
            labels = np.array(rows.labels) == "1"
            noise = random.normal(size=len(rows)) - easier * ~labels
            return 1 / (1 + np.exp(-(strength * labels + noise)))

        return Scored({"validation": of(validation, 1.0), "test": of(test, 0.0)}, curve)

    arms = {
        BEST: [scored(1.5, [0.6, 0.7, 0.75]) for _ in range(2)],
        "untrained, all weights": [scored(0.4, [0.6, 0.7, 0.7])],
        CNN: [scored(2.5, []) for _ in range(3)],
    }
    return task, arms


def test_the_numbers_are_those_of_scikit_learn(made):
    task, arms = made
    found = result(task, arms)["arms"]
    labels = np.array(task.test.labels) == "1"
    values = [roc_auc_score(labels, one.probabilities["test"]) for one in arms[BEST]]
    assert found[BEST]["auroc"]["test"] == pytest.approx(values)
    assert found[BEST]["test"]["auroc"]["value"] == pytest.approx(np.mean(values))
    kept = gc_matched(task.validation)
    truth = np.array(task.validation.labels)[kept] == "1"
    matched = [roc_auc_score(truth, one.probabilities["validation"][kept]) for one in arms[CNN]]
    assert found[CNN]["auroc"]["matched validation"] == pytest.approx(matched)
    # Whose negatives are harder shows where promoters of one part meet those of the other.
    cells = found[BEST]["crossed"]
    assert cells["test promoters, test negatives"] == pytest.approx(np.mean(values))
    assert cells["test promoters, validation negatives"] > np.mean(values) + 0.05
    assert abs(cells["validation promoters, test negatives"] - np.mean(values)) < 0.1


def test_pairs_are_told_apart_where_they_differ(made):
    task, arms = made
    of_test = {
        name: np.array([one.probabilities["test"] for one in of]) for name, of in arms.items()
    }
    found = paired(task, of_test)
    assert list(found) == ["pre-training"]
    gain = found["pre-training"]
    labels = np.array(task.test.labels) == "1"
    means = [np.mean([roc_auc_score(labels, p) for p in of_test[arm]]) for arm in list(arms)[:2]]
    assert gain["value"] == pytest.approx(means[0] - means[1])
    assert 0 < gain["low"] < gain["value"] < gain["high"]
    assert gain["holm"] == gain["p"] < 0.05


def test_the_page_and_the_figure(made, tmp_path):
    task, arms = made
    record = {"passes": 3, "share": 1.0, "results": {"clean": result(task, arms)}}
    text = page(record)
    [ours] = re.findall(rf"\| {BEST} \| (2 \|.*)\|", text)
    cells = [cell.strip() for cell in ours.split("|")]
    low, high = map(float, re.fullmatch(r"-0\.\d+ \[(-0\.\d+), (-0\.\d+)\]", cells[-1]).groups())
    assert low < high < 0
    assert "| pre-training | mini, all weights | untrained, all weights | +0." in text
    draw(record["results"], Options(passes=3, out=tmp_path))
    assert (tmp_path / "passes.png").stat().st_size > 10_000


def test_frames_are_of_one_length_and_keep_their_labels():
    rows = table(5)
    cut = in_frames(rows.sequences, True)
    assert len(cut) == 6
    assert {len(text) for of_frame in cut for text in of_frame} == {76}
    for first, of_frame in enumerate(cut):
        for text, whole in zip(of_frame, rows.sequences, strict=True):
            assert text == whole[first : first + 76]
    assert in_frames(rows.sequences, False) == [list(rows.sequences)]
    both = copies(rows, True)
    assert both.labels == tuple(label for label in rows.labels for _ in range(6))
    assert both.sequences[6:12] == tuple(of_frame[1] for of_frame in cut)
    assert copies(rows, False) is rows


def test_scores_of_other_settings_are_refused(made, tmp_path):
    task, _ = made
    plan = Plan(3, 1.0, tmp_path / "runs", tmp_path / "scores")
    path = score_file(BOOSTING, task.name, 0, plan)
    first = scored(BOOSTING, task, 0, plan)
    before = path.read_bytes()
    again = scored(BOOSTING, task, 0, plan)  # read
    np.testing.assert_array_equal(first.probabilities["test"], again.probabilities["test"])
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="made with"):
        scored(BOOSTING, task, 0, replace(plan, passes=4))


@pytest.mark.study
@pytest.mark.skipif("NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set")
@pytest.mark.skipif(not (PASSES / "passes.json").exists(), reason="no results are committed")
def test_the_committed_page_is_that_of_the_committed_scores(tmp_path):
    run(Options(table=True, out=tmp_path))
    for name in ("passes.json", "passes.md"):
        assert (tmp_path / name).read_text() == (PASSES / name).read_text()


def test_the_committed_grid_is_that_of_its_numbers():
    record = json.loads((GRID / "defaults.json").read_text())
    assert grid(record["results"], record["steps"]) == (GRID / "defaults.md").read_text()


def test_the_table_of_the_grid():
    results = [
        {"task": "promoters", "adapter": "ia3", "head": head, "rate": rate, "auroc": values}
        for head, rate, values in (
            ("mean", 1e-3, [0.6, 0.62, 0.64]),
            ("mean", 1e-2, [0.65, 0.7, 0.66]),
            ("tokens", 1e-3, [0.8, 0.82, 0.84]),
            ("tokens", 1e-2, [np.nan, 0.9, 0.9]),
        )
    ]
    text = grid(results, steps=300)
    assert "| mean | 0.620 ± 0.020 | 0.670 ± 0.026 |" in text
    # What diverged with one seed is not the best.
    assert "| tokens | **0.820 ± 0.020** | nan ± nan |" in text
