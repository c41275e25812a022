"""The gradient against finite differences of the embedding table's rows."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax.interpret.gradients import gradients
from ntjax.models.config import ROOT
from ntjax.tasks.scores import score_weights

pytestmark = pytest.mark.usefixtures("quick_compilation")

STEP = 0.01
EMBED = f"{ROOT}/embed"


def derivative(run, weights, token, direction):
    """Of each sequence's score, as the table's row of a token moves along a direction [dim]."""
    scores = []
    for step in (STEP, -STEP):
        table = np.array(table_of(run))
        table[token] += step * direction
        scores.append(with_table(run, table).logits(SEQUENCES) @ weights)
    return (scores[0] - scores[1]) / (2 * STEP)


def is_full(run):
    return run.trainable.adapter.config.kind == "full"


def table_of(run):
    weights = run.trainable.adapter.parameters if is_full(run) else run.model.params
    return np.asarray(weights[EMBED]["embeddings"])


def with_table(run, table):
    embed = {EMBED: {"embeddings": table}}
    if not is_full(run):
        return replace(run, model=replace(run.model, params=run.model.params | embed))
    adapter = run.trainable.adapter
    adapter = replace(adapter, parameters=adapter.parameters | embed)
    return replace(run, trainable=run.trainable._replace(adapter=adapter))


CASES = [
    ("v2_3mer", "lora", "two", "mean", None),
    ("v2_3mer", "ia3", "three", "cls", "weak"),
    ("v1_token_dropout", "head", "labels", "cls", "GC"),
    ("rotary_gelu", "full", "value", "mean", None),
]


@pytest.mark.parametrize(("name", "kind", "task", "pooling", "target"), first_by_default(CASES))
def test_gradients_against_finite_differences(golden_model, name, kind, task, pooling, target):
    run = small_run(golden_model(name), kind, task, pooling)
    found = gradients(run, SEQUENCES, target=target)
    weights, table = score_weights(run.task, target), table_of(run)
    tokenizer = run.model.tokenizer
    ids = tokenizer.encode(SEQUENCES)
    assert found.tokens.shape == ids.shape
    scale = np.abs(found.tokens).max()
    for token in np.random.default_rng(0).permutation(np.unique(ids[ids != 1]))[:8]:
        expected = derivative(run, weights, token, table[token])
        total = np.where(ids == token, found.tokens, 0).sum(axis=1)
        np.testing.assert_allclose(total, expected, rtol=0.02, atol=2e-3 * scale)
    # An exchanged letter: the first of the last k-mer of row 0, and of the last single letter.
    for position in (48, 80):
        before = SEQUENCES[0]
        for code, letter in enumerate("ACGT"):
            after = before[:position] + letter + before[position + 1 :]
            change = found.substitutions[0, position, code]
            if letter == before[position]:
                assert change == 0
                continue
            ids_after = tokenizer.encode([after, *SEQUENCES[1:]])
            [column] = np.flatnonzero(ids_after[0] != ids[0])
            token, mutant = ids[0, column], ids_after[0, column]
            if (ids[0] == token).sum() > 1:
                continue
            expected = derivative(run, weights, token, table[mutant] - table[token])[0]
            np.testing.assert_allclose(change, expected, rtol=0.02, atol=2e-3 * scale)


def test_letters_share_what_their_token_has(golden_model):
    run = small_run(golden_model("v1_token_dropout"), "head", "labels", "cls")
    found = gradients(run, SEQUENCES, target="GC")
    ids = run.model.tokenizer.encode(SEQUENCES)
    for row, texts in enumerate(run.model.tokenizer.tokens(ids)):
        expected = [
            value / len(text)
            for text, value in zip(texts, found.tokens[row], strict=True)
            if "<" not in text
            for _ in text
        ]
        np.testing.assert_allclose(found.letters[row, : len(expected)], expected, rtol=1e-6)
        assert not found.letters[row, len(expected) :].any()
        assert not found.tokens[row, ids[row] == 1].any()
    without_cls = found.tokens[:, 1:].sum(axis=1)
    np.testing.assert_allclose(found.letters.sum(axis=1), without_cls, rtol=1e-4)
    is_n = np.array([[letter == "N" for letter in row.ljust(81, "N")] for row in SEQUENCES])
    assert not found.substitutions[is_n].any()
    assert ((found.substitutions[~is_n] != 0).sum(axis=1) == 3).all()


@pytest.mark.compiled
def test_bfloat16_is_near_float32(golden_model):
    exact, rounded = (
        gradients(small_run(golden_model("v2_3mer", dtype)), SEQUENCES)
        for dtype in ("float32", "bfloat16")
    )
    for name in ("tokens", "letters", "substitutions"):
        near, true = getattr(rounded, name), getattr(exact, name)
        assert near.dtype == np.float32
        assert np.corrcoef(near.ravel(), true.ravel())[0, 1] > 0.99
