"""The coding-strand experiment: rows of a seed, tables and figure on made-up scores."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from experiments.coding_strand import __main__ as command
from experiments.coding_strand import default_run, results
from experiments.coding_strand.arms import PRIMARY, arms, steps_for
from experiments.coding_strand.make_dataset import Windows
from experiments.coding_strand.rows import (
    POOL,
    apart_from,
    as_rows,
    draw_labelled,
    part_sizes,
    pieces,
)
from ntjax.errors import UserError
from ntjax.sequences.alphabet import reverse_complement


def random_windows(count, seed):
    generator = np.random.default_rng(seed)
    rows = generator.choice(list("ACGT"), (count, 40))
    return Windows(
        np.arange(count, dtype=np.int32) * 300,
        np.tile(np.array([1, -1], np.int8), count // 2),
        ["".join(row) for row in rows],
    )


@pytest.fixture(scope="module")
def pool():
    sizes = {"train": 800, "validation": 200, "calibration": 200, "test": 60}
    return {part: random_windows(n, seed) for seed, (part, n) in enumerate(sizes.items())}


@pytest.mark.parametrize("labels", [100, 300, 1_000, 3_000])
def test_all_labels_count_and_fit_the_pool(labels):
    sizes = part_sizes(labels)
    assert sum(sizes.values()) == labels
    assert all(size % 2 == 0 and size <= POOL[part] for part, size in sizes.items())
    assert sizes["train"] == pytest.approx(2 / 3 * labels, abs=2)


def test_labelled_rows_are_balanced_and_correct(pool):
    labelled = draw_labelled(pool, 300, seed=1)
    assert len(labelled.sequences) == len(set(labelled.sequences)) == 300
    for part, (sequences, forward) in vars(labelled).items():
        assert Counter(forward) == {0: len(sequences) // 2, 1: len(sequences) // 2}
        strands = dict(zip(pool[part].sequences, pool[part].strands, strict=True))
        assert [strands[sequence] == 1 for sequence in sequences] == (forward == 1).tolist()


def test_fewer_labels_are_among_more_and_seeds_differ(pool):
    few, many, other = (draw_labelled(pool, *of) for of in ((100, 0), (300, 0), (100, 1)))
    assert set(few.sequences) < set(many.sequences)
    assert len(set(few.sequences) & set(other.sequences)) < 50


def test_test_windows_that_share_a_16_mer_are_told(pool):
    labelled = draw_labelled(pool, 100, seed=0)
    test = pool["test"]
    [turned] = reverse_complement([labelled.train[0][3]])
    test.sequences[7] = test.sequences[7][:20] + turned[10:26] + test.sequences[7][36:]
    before, after = ("A" if base != "A" else "C" for base in (turned[9], turned[25]))
    fifteen = before + turned[10:25] + after
    test.sequences[9] = test.sequences[9][:19] + fifteen + test.sequences[9][36:]
    assert np.flatnonzero(~apart_from(test, labelled)).tolist() == [7]
    assert pieces(test).tolist() == [n * 300 // 10_000 for n in range(60)]


def test_squashing_keeps_order_and_sign():
    scores = np.array([-300.0, -40, -1e-9, 0, 1e-9, 37, 40, 300])
    squashed = results.as_probabilities(scores)
    assert (np.diff(squashed) > 0).all()
    assert ((squashed > 0.5) == (scores > 0)).all()
    assert squashed.min() > 0
    assert squashed.max() < 1


@pytest.fixture(scope="module")
def made_up():
    """Scores of three seeds for arms of known AUROC, and which rows are apart."""
    generator = np.random.default_rng(0)
    forward = np.arange(400) % 2
    arms = {PRIMARY: 2.5, "CNN": 1.0, "same": 2.5}
    scores = {
        name: generator.normal(size=(3, 400)) + shift * (forward - 0.5)
        for name, shift in arms.items()
    }
    apart = generator.random((3, 400)) > 0.2
    return forward, scores, np.arange(400) // 4, apart


def test_summary_agrees_with_scikit_learn(made_up):
    forward, scores, _, apart = made_up
    summary = results.summarise(*made_up)
    for name, of_seeds in scores.items():
        auroc = [roc_auc_score(forward, one) for one in of_seeds]
        mcc = [matthews_corrcoef(forward, one > 0) for one in of_seeds]
        assert summary[name]["auroc"]["value"] == pytest.approx(np.mean(auroc))
        assert summary[name]["auroc"]["sd"] == pytest.approx(np.std(auroc, ddof=1))
        assert summary[name]["mcc"]["value"] == pytest.approx(np.mean(mcc))
        restricted = [
            roc_auc_score(forward[kept], one[kept])
            for one, kept in zip(of_seeds, apart, strict=True)
        ]
        assert summary[name]["apart"]["auroc"] == pytest.approx(np.mean(restricted))
        assert auroc == pytest.approx(
            [norm.cdf({"CNN": 1.0}.get(name, 2.5) / 2**0.5)] * 3, abs=0.05
        )


def test_differences_are_paired_and_point_to_the_better_arm(made_up):
    summary = results.summarise(*made_up)
    worse = summary["CNN"]["auroc"]["difference"]
    assert worse["high"] < 0
    assert worse["ahead"] == 0
    same = summary["same"]["auroc"]["difference"]
    assert same["low"] < 0 < same["high"]
    itself = summary[PRIMARY]["mcc"]["difference"]
    assert (itself["value"], itself["low"], itself["high"], itself["ahead"]) == (0, 0, 0, 0)


def test_tables_and_figure(made_up, tmp_path):
    summary = results.summarise(*made_up)
    text = results.markdown({"100": summary, "3000": summary}, seeds=3)
    assert "**100 labels**" in text
    assert "**3,000 labels**" in text
    row = next(line for line in text.splitlines() if line.startswith("| CNN"))
    assert f"| {summary['CNN']['auroc']['value']:.3f} ± " in row
    assert f"{summary['CNN']['mcc']['difference']['value']:+.3f} [" in row
    assert "above in 0 of 3" in row
    heads = text.splitlines()[2]
    assert row.count("|") == heads.count("|")
    results.draw({"100": summary, "3000": summary}, tmp_path / "labels.png")
    assert (tmp_path / "labels.png").stat().st_size > 10_000


def test_steps_grow_with_the_cube_root_of_the_labels():
    assert steps_for(100) == 60
    assert steps_for(800) == 120
    assert steps_for(100) < steps_for(300) < steps_for(1_000) < steps_for(3_000)


def test_the_twin_is_an_arm_only_if_it_is_given(tmp_path):
    assert not [name for name in arms(tmp_path, None) if "twin" in name]
    assert [name for name in arms(tmp_path, tmp_path) if "twin" in name]
    assert PRIMARY in arms(tmp_path, None)


def test_unknown_arms_are_refused_before_anything_is_fitted(tmp_path):
    for chosen, message in (("nothing",), "there are IA³, mini"), (("CNN",), "lacks 'IA³, mini'"):
        with pytest.raises(UserError, match=message):
            command.run(command.Options(arms=chosen, runs=tmp_path / "runs", out=tmp_path))
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no genome here"
)
@pytest.mark.end_to_end
def test_the_command_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    fitted = []

    def arm(labelled, seed):
        fitted.append((len(labelled.sequences), seed))
        return lambda sequences: np.array([s.count("G") - s.count("C") for s in sequences], float)

    monkeypatch.setattr(command, "arms", lambda runs, twin: {PRIMARY: arm, "CNN": arm})
    monkeypatch.setattr(command, "_keep_compiled_programs", lambda folder: None)
    options = command.Options(labels=(100, 300), seeds=2, runs=tmp_path / "runs", out=tmp_path)
    command.run(options)
    assert fitted == [(n, seed) for seed in (0, 1) for n in (100, 300) for _ in range(2)]
    first = (tmp_path / "results.json").read_bytes()
    assert b'"steps"' in first
    assert "**300 labels**" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "labels.png").exists()
    command.run(options)
    assert len(fitted) == 8
    assert (tmp_path / "results.json").read_bytes() == first
    assert capsys.readouterr().out.count("300 labels, seed 1") == 2


def test_rows_know_the_strand():
    sequences, forward = as_rows(random_windows(4, seed=0))
    assert forward.tolist() == [1, 0, 1, 0]
    assert len(sequences) == 4


def test_committed_tables_are_those_of_the_committed_numbers():
    for name, table in (("results", results.markdown), ("default_run", default_run.markdown)):
        path = Path(results.__file__).with_name(name)
        content = json.loads(path.with_suffix(".json").read_text())
        seeds = content["seeds"] if "seeds" in content else content["protocol"]["seeds"]
        assert path.with_suffix(".md").read_text() == table(content["results"], seeds)
