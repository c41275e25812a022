"""Attention on elements: maps against plain code, shifts against rolled arrays, and simulation."""

import numpy as np
import pytest
from made_genomes import opened, random_text
from planted_task import MODEL

from ntjax import load_pretrained
from ntjax.adapters.apply import forward
from ntjax.errors import UserError
from ntjax.evaluation.annotated_attention import (
    STRONG,
    TokenAttention,
    _ratios,
    element_attention,
    tiled_attention,
)
from ntjax.genomes.intervals import Intervals
from ntjax.sequences.alphabet import base_texts

pytestmark = pytest.mark.usefixtures("quick_compilation")

TOKENS = 12_000


def test_received_attention_of_each_window(tmp_path):
    genome = opened(tmp_path, {"one": random_text(700, 1) + "N" * 9 + random_text(200, 2)})
    model = load_pretrained(MODEL)
    found = tiled_attention(model, genome, 96)
    starts = [*range(0, 672, 96), 709, 805]
    assert found.starts.reshape(-1, 16)[:, 0].tolist() == starts
    for number, start in list(enumerate(starts))[::4]:
        ids = model.tokenizer.encode(base_texts(genome.letters[None, start : start + 96]))
        outputs = forward(
            model.config, model.dtype, model.params, ids, None, logits=False,
            attention_layers=tuple(range(1, model.config.num_layers + 1)),
        )  # fmt: skip
        own = slice(16 * number, 16 * number + 16)
        for layer in range(model.config.num_layers):
            weights = np.array(outputs[f"attention_{layer + 1}"][0], np.float64)[:, 1:, 1:]
            for head in weights:
                np.fill_diagonal(head, 0)
            np.testing.assert_allclose(
                found.strong[layer, :, own], (weights > STRONG).sum(axis=1), atol=1
            )
            weights /= weights.sum(axis=-1, keepdims=True)
            np.testing.assert_allclose(
                found.received[layer, :, own], weights.sum(axis=1), rtol=2e-3
            )
    assert found.received.sum() == pytest.approx(found.received[..., 0].size * 9 * 16, rel=1e-4)


def test_shifts_are_those_of_a_rolled_annotation():
    random = np.random.default_rng(1)
    received, cover = random.random((2, 3, 500)).astype(np.float32), random.random(500) < 0.2
    shifts = np.array([1, 37, 250, 499])
    found, null = _ratios(received, cover, shifts)
    for number, shift in enumerate([0, *shifts]):
        on = np.roll(cover, shift)
        expected = received[..., on].sum(axis=-1) / received.sum(axis=-1) / cover.mean()
        ours = found if number == 0 else null[..., number - 1]
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def smooth(random, heads=4, tokens=TOKENS, span=40):
    """Attention that neighbours share, and that knows nothing of elements."""
    noise = np.repeat(random.normal(size=(1, heads, tokens // span)), span, axis=-1)
    received = np.exp(0.5 * noise + 0.1 * random.normal(size=(1, heads, tokens)))
    strong = random.poisson(3 * np.exp(0.5 * noise)).astype(np.float32)
    return TokenAttention(received.astype(np.float32), strong, 6 * np.arange(tokens), 6)


def elements(random, count=30, bases=500):
    starts = np.sort(random.choice(6 * TOKENS - bases, count, replace=False))
    return Intervals(starts, starts + bases, np.zeros(count, np.int8))


def test_the_family_of_all_heads_is_wrong_as_seldom_as_it_says():
    wrong, wrong_as_published = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        classes = {"a": elements(random), "b": elements(random)}
        found = element_attention(smooth(random), classes, shifts=1000, seed=seed)["classes"]
        wrong.append(min(one["p"].min() for one in found.values()) < 0.05)
        wrong_as_published.append(min(one["binomial_p"].min() for one in found.values()) < 0.05)
    assert np.mean(wrong) <= 0.13  # 0.05 and three standard errors of 60
    assert np.mean(wrong_as_published) > 0.3  # neighbours are no independent trials


def test_a_head_that_looks_at_elements_is_found():
    random = np.random.default_rng(7)
    attention, classes = smooth(random), {"a": elements(random), "b": elements(random)}
    on = np.zeros(TOKENS, bool)
    for start, end in classes["a"].bounds.tolist():
        on[start // 6 : end // 6] = True
    attention.received[0, 2, on] *= 1.6
    found = element_attention(attention, classes, shifts=1000)["classes"]
    assert found["a"]["p"][0, 2] < 0.01
    assert found["a"]["ratio"][0, 2] > 1.3
    assert (np.delete(found["a"]["p"][0], 2) > 0.05).all()
    assert (found["b"]["p"] > 0.05).all()


def test_too_few_shifts_and_too_short_a_genome():
    random = np.random.default_rng(8)
    attention = smooth(random)
    with pytest.raises(UserError, match="999 shifts: give 1,000 or more"):
        element_attention(attention, {"a": elements(random)}, shifts=999)
    cut = TokenAttention(
        attention.received[..., :7_000],
        attention.strong[..., :7_000],
        attention.starts[:7_000],
        6,
    )
    with pytest.raises(UserError, match="too few for 1,000 shifts"):
        element_attention(cut, {"a": elements(random)}, shifts=1000)


def test_a_window_that_does_not_fit(tmp_path):
    genome = opened(tmp_path, {"one": random_text(90, 1)})
    model = load_pretrained(MODEL)
    with pytest.raises(UserError, match="multiple of 6"):
        tiled_attention(model, genome, 100)
    with pytest.raises(UserError, match="holds no window of 96 bp"):
        tiled_attention(model, genome, 96)
