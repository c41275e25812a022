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
from experiments.promoters.passes.__main__ import Options, all_scored, run
from experiments.promoters.passes.__main__ import markdown as page
from experiments.promoters.passes.arms import (
    BEST,
    CNN,
    Plan,
    Scored,
    copies,
    in_frames,
    made_with_for,
    score_file,
    scored,
)
from experiments.promoters.passes.misclassified import BOXES, GC, misclassified
from experiments.promoters.passes.results import paired, result
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
    text = page(record, tmp_path)
    [ours] = re.findall(rf"\| {BEST} \| (2 \|.*)\|", text)
    cells = [cell.strip() for cell in ours.split("|")]
    low, high = map(float, re.fullmatch(r"-0\.\d+ \[(-0\.\d+), (-0\.\d+)\]", cells[-1]).groups())
    assert low < high < 0
    assert "| pre-training | mini, all weights | untrained, all weights | 2 and 1 | +0." in text
    assert (tmp_path / "passes.png").stat().st_size > 10_000


def test_missed_promoters_have_weaker_boxes():
    random = np.random.default_rng(4)

    def promoter(box):
        text = list(random.choice(list("ACGT"), 81))
        for first, letters in ((24, "TTGACA"), (47, "TATAAT")):
            if box:
                text[first : first + 6] = letters
        return "".join(text)

    strong = np.arange(300) % 2 == 0
    rows = [promoter(True) for _ in range(200)]
    train = SequenceTable(
        tuple(map(str, range(200))), tuple(rows), ("1",) * 200, "made", tuple(range(200))
    )
    tested = tuple(promoter(has) for has in strong)
    names = tuple(map(str, range(300)))
    test = SequenceTable(names, tested, ("1",) * 300, "made", tuple(range(300)))
    task = Task("clean", train, test, test, np.arange(300))
    found = misclassified(task, np.where(strong, 0.9, 0.1))
    assert found["rows"] == {"found": 150, "missed": 150}
    assert found[BOXES]["difference"]["high"] < -5
    gc_of_row = gc_letters(tested) / 81
    gc = [gc_of_row[strong].mean(), gc_of_row[~strong].mean()]
    assert found[GC]["found"] == pytest.approx(gc[0])
    assert found[GC]["difference"]["value"] == pytest.approx(gc[1] - gc[0])
    assert misclassified(task, np.ones(300))[GC]["missed"] is None


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


def test_scores_of_other_rows_or_settings_are_refused(made, tmp_path):
    task, arms = made
    plan = Plan(14, 1.0, tmp_path / "runs", tmp_path / "scores")

    def keep(name, **changes):
        path = score_file(name, task.name, 0, plan)
        path.parent.mkdir(parents=True)
        made_with = json.loads(json.dumps(made_with_for(name, task, plan))) | changes
        [one, *_] = arms[CNN]
        values = {part: p.tolist() for part, p in one.probabilities.items()}
        path.write_text(json.dumps({"made_with": made_with, "curve": [], "probabilities": values}))

    keep(CNN)
    keep(BEST)
    keep("mini, IA³", learning_rate=1.0)
    np.testing.assert_array_equal(
        scored(CNN, task, 0, plan).probabilities["test"], arms[CNN][0].probabilities["test"]
    )
    with pytest.raises(UserError, match="made with"):
        scored("mini, IA³", task, 0, plan)
    # As many rows in another order, whose labels would be those of others.
    turned = replace(task, test=task.test.take(range(len(task.test))[::-1]))
    for name in (CNN, BEST):
        with pytest.raises(UserError, match="made with"):
            scored(name, turned, 0, plan)
    scored(CNN, task, 0, replace(plan, share=0.5))  # of transformers alone
    with pytest.raises(UserError, match="made with"):
        scored(BEST, task, 0, replace(plan, share=0.5))


def test_a_table_fits_nothing(made, tmp_path):
    task, _ = made
    plan = Plan(14, 1.0, tmp_path / "runs", tmp_path / "scores")
    path = score_file(CNN, task.name, 2, plan)  # and no seed 0 or 1
    path.parent.mkdir(parents=True)
    values = {part: [0.5] * 200 for part in ("validation", "test")}
    saved = {"made_with": json.loads(json.dumps(made_with_for(CNN, task, plan))), "curve": []}
    path.write_text(json.dumps(saved | {"probabilities": values}))
    assert {name: len(ones) for name, ones in all_scored(task, plan).items()} == {CNN: 1}


def test_a_trial_does_not_go_beside_the_real_ones():
    with pytest.raises(UserError, match="a trial"):
        Options(share=0.1)
    with pytest.raises(UserError, match="'mini' is none of"):
        Options(arms=("mini",))


@pytest.mark.study
@pytest.mark.skipif("NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set")
def test_what_was_scored_is_read_and_other_settings_are_refused(tmp_path):
    folders = {"runs": tmp_path / "runs", "scores": tmp_path / "scores", "out": tmp_path}
    options = Options(tasks=("genomic",), arms=(BEST,), seeds=1, passes=2, share=0.005, **folders)
    run(options)
    plan = Plan(2, 0.005, options.runs, options.scores)
    path = score_file(BEST, "genomic", 0, plan)
    saved = json.loads(path.read_text())
    assert len(saved["curve"]) == 2
    assert not list(options.runs.glob("genomic/*/*"))  # nothing in it is needed any more
    first = path.stat().st_mtime_ns
    run(options)
    assert path.stat().st_mtime_ns == first


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
