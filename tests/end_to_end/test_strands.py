"""Runs that learn from both strands and average over them."""

import numpy as np
import pytest

import ntjax
from ntjax.errors import UserError
from ntjax.runs.export import export_esm
from ntjax.sequences.alphabet import reverse_complement

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(5)


def rows(count=60):
    """On which strand more letters are purines."""
    sequences = ["".join(RANDOM.choice(list("ACGT"), 60)) for _ in range(count)]
    labels = ["purine" if s.count("A") + s.count("G") > 30 else "other" for s in sequences]
    return sequences, labels


def fine_tuned(how, **options):
    train, validation, test = rows(80), rows(60), rows(60)
    settings = {"steps": 4, "batch_size": 16, "evaluate_every": 2, "adapter": "head"} | options
    run = ntjax.fine_tune(
        "mini", train, validation, test, augment_reverse_complement=how, **settings
    )
    return run, test


@pytest.mark.end_to_end
@pytest.mark.parametrize("how", ["flip-label", "same"])
def test_outputs_are_averaged_wherever_a_run_predicts(how, tmp_path):
    run, (test, _) = fine_tuned(how, out=tmp_path / "run")
    one_strand = run.logits(test, average_strands=False)
    other = run.logits(reverse_complement(test), average_strands=False)
    expected = (one_strand + (other[:, ::-1] if how == "flip-label" else other)) / 2
    np.testing.assert_allclose(run.logits(test), expected, atol=1e-6)
    column = run.record.predictions["logit"]
    np.testing.assert_allclose(column, expected[:, 1] - expected[:, 0], atol=1e-5)
    # Turned round, a sequence has the same outputs, or those of the other class.
    turned = run.predict(reverse_complement(test))
    np.testing.assert_allclose(
        turned[:, ::-1] if how == "flip-label" else turned, run.predict(test), atol=1e-5
    )
    again = ntjax.load_run(tmp_path / "run")
    assert again.strands == run.strands
    np.testing.assert_array_equal(again.logits(test), run.logits(test))


@pytest.mark.slow
def test_reverse_complements_are_learned_from():
    # Nearly all rows are purine ones; those of the other label are their reverse complements.
    train, validation, test = ([], []), rows(60), rows(100)
    while len(train[0]) < 60:
        sequences, labels = rows(60)
        train[0].extend(s for s, label in zip(sequences, labels, strict=True) if label == "purine")
    # A few rows of the other label, without which there would be one class.
    few = [s for s, label in zip(*rows(100), strict=True) if label == "other"][:8]
    train = (train[0] + few, ["purine"] * len(train[0]) + ["other"] * len(few))
    options = {"steps": 40, "batch_size": 32, "evaluate_every": 40}
    both, one = (
        ntjax.fine_tune("mini", train, validation, test, augment_reverse_complement=how, **options)
        for how in ("flip-label", "none")
    )
    assert both.metrics["accuracy"]["value"] > 0.7 > one.metrics["accuracy"]["value"]


@pytest.mark.end_to_end
def test_strands_that_cannot_be_averaged():
    run, (test, _) = fine_tuned("none")
    with pytest.raises(UserError, match="this run learned from one strand alone"):
        run.predict(test, average_strands=True)
    with pytest.raises(UserError, match="--average-strands needs --augment-reverse-complement"):
        fine_tuned("none", average_strands=True)
    three = (rows(60)[0], ["a", "b", "c"] * 20)
    with pytest.raises(UserError, match="flip-label is for two classes"):
        ntjax.fine_tune(
            "mini", three, three, three, augment_reverse_complement="flip-label", steps=1
        )


def test_a_calibration_is_of_the_outputs_it_was_fitted_to():
    run, (test, _) = fine_tuned("same")
    with pytest.raises(UserError, match="calibrated on outputs of both strands, averaged"):
        run.predict(test, calibrated=True, average_strands=False)


@pytest.mark.end_to_end
def test_an_exported_model_reads_one_strand(tmp_path):
    run, _ = fine_tuned("same", head="cls")
    with pytest.warns(UserWarning, match="reads the forward strand alone"):
        export_esm(run, tmp_path / "esm")


@pytest.mark.end_to_end
def test_learning_from_both_strands_without_averaging():
    run, (test, _) = fine_tuned("same", average_strands=False)
    np.testing.assert_array_equal(run.logits(test), run.logits(test, average_strands=False))
    assert np.abs(run.logits(test, average_strands=True) - run.logits(test)).max() > 1e-4
