"""The study over passes and the grid behind the defaults: rows, tables, and a figure."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.defaults.__main__ import markdown as grid
from experiments.promoters.passes.__main__ import Options, draw, result
from experiments.promoters.passes.__main__ import markdown as page
from experiments.promoters.passes.arms import CNN, Scored
from experiments.promoters.passes.tasks import Task, gc_matched
from ntjax.io.tables import SequenceTable

GRID = Path(__file__).parents[2] / "experiments/defaults"
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
    kept = gc_matched(whole)
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
def record():
    test = table(200)
    labels = np.array(test.labels) == "1"
    task = Task("genomic", test, test, test, test, test, np.arange(200))

    def scored(strength, curve):
        noise = RANDOM.normal(size=200)
        probabilities = 1 / (1 + np.exp(-(strength * labels + noise)))
        return Scored({part: 0.8 for part in PARTS}, probabilities, curve)

    arms = {
        "mini, IA³": [scored(1.0, [0.6, 0.7, 0.75]) for _ in range(2)],
        CNN: [scored(2.0, []) for _ in range(2)],
    }
    return {"passes": 3, "share": 1.0, "results": {"genomic": result(task, arms)}}


PARTS = ("validation", "matched validation", "test")


def test_the_page_and_the_figure(record, tmp_path):
    text = page(record)
    [ours] = re.findall(r"\| mini, IA³ \|(.*)\|", text)
    cells = [cell.strip() for cell in ours.split("|")]
    assert cells[0] == "0.800 ± 0.000"
    low, high = map(float, re.fullmatch(r"-0\.\d+ \[(-0\.\d+), (-0\.\d+)\]", cells[-1]).groups())
    assert low < high < 0
    draw(record["results"], Options(passes=3, out=tmp_path))
    assert (tmp_path / "passes.png").stat().st_size > 10_000


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
