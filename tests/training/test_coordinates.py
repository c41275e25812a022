"""Coordinates in which embeddings are white, and runs whose heads were trained in them."""

import numpy as np
import pytest

import ntjax
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.inference.embeddings import second_moments
from ntjax.models.heads import Attention, Mean, Tokens
from ntjax.training.coordinates import whitening
from ntjax.training.initial_state import hyperparameters, initial_trainable
from ntjax.training.job import Given, prepare
from ntjax.training.settings import Settings, complete

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(3)
PARTS = ("train", "validation", "test")


def dna(letters):
    return "".join(RANDOM.choice(list("ACGT"), letters))


def rows_with_a_box(rows=120, place=30):
    """TTGACA stands at `place` in half of the rows, elsewhere in the others, always as a token."""
    sequences, labels = [], []
    for row in range(rows):
        sequence, start = dna(81), place if row % 2 else 6 * int(RANDOM.integers(4))
        sequences.append(sequence[:start] + "TTGACA" + sequence[start + 6 :])
        labels.append("here" if row % 2 else "elsewhere")
    return sequences, labels


def embeddings_of_all_tokens(model, sequences):
    bases = model.embed(sequences, pooling=None)
    return np.concatenate([np.concatenate(bases), model.embed(sequences, pooling="cls")])


def test_second_moments_equal_a_plain_sum(golden_model):
    model = golden_model("v1")
    sequences = [dna(letters) for letters in (81, 30, 7)]
    x = embeddings_of_all_tokens(model, sequences).astype(np.float64)
    data = TokenisedSet.unlabelled(model.tokenizer.encode(sequences))
    np.testing.assert_allclose(second_moments(model, data), x.T @ x / len(x), rtol=1e-4, atol=1e-4)


def test_embeddings_are_white_in_their_coordinates():
    model = ntjax.load_pretrained("mini")
    sequences = [dna(81) for _ in range(50)]
    x = embeddings_of_all_tokens(model, sequences).astype(np.float64)
    turned = x @ whitening(model, TokenisedSet.unlabelled(model.tokenizer.encode(sequences)))
    spread = np.linalg.eigvalsh(turned.T @ turned / len(turned))
    before = np.linalg.eigvalsh(x.T @ x / len(x))
    # 1 but for what is added to the smallest, so that no noise is blown up.
    assert spread.max() < 1.001
    assert np.median(spread) / spread.max() > 3 * np.median(before) / before.max()


@pytest.mark.end_to_end
def test_a_run_gives_the_outputs_it_was_trained_with(tmp_path):
    rows = rows_with_a_box()
    options = {"head": "tokens", "steps": 3, "out": tmp_path / "run"}
    run = ntjax.fine_tune("mini", rows, rows, rows, **options)
    assert set(run.trainable.head) == {"output"}
    assert run.head.tokens == 17
    logits = run.logits(rows[0])
    column = run.record.predictions["logit"]
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], column, atol=1e-5)
    again = ntjax.load_run(tmp_path / "run")
    assert again.head == run.head
    np.testing.assert_array_equal(again.logits(rows[0]), logits)
    # The last evaluation was made in the coordinates; the same rows, the same loss.
    [last] = [line for line in run.record.history if line.get("step") == 3 and "loss" in line][-1:]
    assert last
    with pytest.raises(UserError, match=r"sequence 2 has 80 bp, .* of rows of 81 bp"):
        run.predict([dna(81), dna(80)])
    # What an N cuts falls into more tokens.
    with pytest.raises(UserError, match=r"sequence 1 has \d+ tokens, .* reads 17 at most"):
        run.predict([dna(40) + "N" + dna(40)])


@pytest.mark.slow
def test_a_second_stage_begins_with_the_outputs_of_the_first(tmp_path):
    rows = rows_with_a_box()
    first = ntjax.fine_tune("mini", rows, rows, rows, head="tokens", steps=3, out=tmp_path / "a")
    # So low a rate that nothing moves.
    second = ntjax.fine_tune(
        "mini",
        rows,
        rows,
        rows,
        head="tokens",
        steps=1,
        start_from=str(tmp_path / "a"),
        learning_rate=1e-12,
        head_learning_rate=1e-12,
    )
    np.testing.assert_allclose(second.logits(rows[0]), first.logits(rows[0]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["ia3", "head"])
def test_positions_are_learned(adapter):
    rows = rows_with_a_box(400)
    test = rows_with_a_box(200)
    options = {"steps": 60, "batch_size": 32, "evaluate_every": 30, "adapter": adapter}
    found = {
        head: ntjax.fine_tune("mini", rows, test, test, head=head, **options).metrics["auroc"]
        for head in ("tokens", "mean")
    }
    assert found["tokens"]["value"] > 0.95
    assert found["mean"]["value"] < 0.8


def job_of(rows, **settings):
    own, _ = complete(Settings(**settings))
    [job] = prepare([own], None, Given(rows=dict.fromkeys(PARTS, rows)))
    return job


@pytest.mark.compiled
def test_rows_that_have_no_positions_of_their_own():
    sequences, labels = rows_with_a_box(60)
    assert job_of((sequences, labels)).step.forward.head == Tokens(2, 17, 0, 81)
    longer = ([*sequences[:-1], sequences[-1] + "A"], labels)
    with pytest.raises(UserError, match=r"--head tokens needs rows of one length: .*, row 60 has"):
        job_of(longer, head="tokens")
    assert job_of(longer).step.forward.head == Mean(2)
    assert job_of(longer, head="attention", head_queries=3).step.forward.head == Attention(2, 3, 18)
    # A row with many N has more tokens, and leaves the choice as it is.
    odd = (["ACGTN" * 8 + dna(41), *sequences[1:]], labels)
    head = job_of(odd).step.forward.head
    assert (head.kind, head.bases) == ("tokens", 81)
    assert 32 < head.tokens <= 64
    # Of one length, but too long for "auto".
    assert job_of(([dna(200) for _ in labels], labels)).step.forward.head == Mean(2)
    with pytest.raises(UserError, match="--head tokens reads at most 64 tokens a row"):
        job_of(([dna(400) for _ in labels], labels), head="tokens")


@pytest.mark.compiled
def test_a_bottleneck():
    job = job_of(rows_with_a_box(60), head="tokens", head_bottleneck=5)
    assert job.step.forward.head == Tokens(2, 17, 5, 81)
    assert set(initial_trainable(job).head) == {"dense", "output", "coordinates"}


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, (1e-2, 2e-3)),
        ({"head_learning_rate": 0.5}, (1e-2, 0.5)),
        ({"head": "mean"}, (1e-2, 1e-2)),
        ({"adapter": "head"}, (3e-3, 3e-3)),
        ({"adapter": "head", "learning_rate": 0.1}, (0.1, 0.1)),
    ],
)
def test_rates_of_adapter_and_head(settings, rates):
    found = hyperparameters(job_of(rows_with_a_box(60), **settings))
    assert (found.learning_rate, found.head_learning_rate) == pytest.approx(rates)
