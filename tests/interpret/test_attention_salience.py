import numpy as np
import pytest
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax.errors import UserError
from ntjax.interpret.attention_salience import attention_salience, received_attention

pytestmark = pytest.mark.usefixtures("quick_compilation")


def attention_of(model, adapter, layers, heads, queries):
    """Texts of each sequence's tokens and what each receives; a plain loop over maps."""
    ids = model.tokenizer.encode(SEQUENCES)
    out = model.apply(model.params, ids, adapter=adapter, logits=False, attention_layers=layers)
    for row, texts in enumerate(model.tokenizer.tokens(ids)):
        real = len(texts) - texts.count("<pad>")
        asks = 1 if queries == "cls" else real
        rows = [
            np.asarray(out[f"attention_{layer}"], np.float64)[row, head, query, :real]
            for layer in layers
            for head in heads
            for query in range(asks)
        ]
        yield texts[1:real], np.mean(rows, axis=0)


def salience_of(texts, received):
    """The definition, letter by letter; `received` without `<cls>`."""
    return [
        attention / (text.count(letter) + 1e-6)
        for text, attention in zip(texts, received, strict=True)
        for letter in text
    ]


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    first_by_default(
        [
            ("v2_3mer", "lora", {}),
            ("v2_3mer", "ia3", {"layers": (3, 1), "heads": [2]}),
            ("v1", "full", {"queries": "cls"}),
            ("rotary_gelu", "head", {"layers": (1, 2, 3)}),
        ]
    ),
)
def test_salience_against_a_plain_loop(golden_model, name, kind, options):
    model = golden_model(name)
    run = small_run(model, kind)
    found = attention_salience(run, SEQUENCES, **options)
    assert found.salience.dtype == found.shuffled.dtype == np.float32
    assert found.salience.shape == found.shuffled.shape == (3, 81)
    settings = {"layers": (3,), "heads": range(4), "queries": "all"} | options
    attention = attention_of(model, run.trainable.adapter, **settings)
    for row, (texts, received) in enumerate(attention):
        size = len(SEQUENCES[row])
        assert "".join(texts) == SEQUENCES[row].upper()
        expected = salience_of(texts, received[1:])
        control = salience_of(texts, np.full(len(texts), received[1:].mean()))
        np.testing.assert_allclose(found.salience[row, :size], expected, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.shuffled[row, :size], control, rtol=1e-4, atol=1e-7)
        assert not found.salience[row, size:].any()
        assert not found.above_shuffled[row, size:].any()


def test_the_control_is_the_mean_over_shuffles(golden_model):
    run = small_run(golden_model("v2_3mer"))
    received = received_attention(run, SEQUENCES)
    found = attention_salience(run, SEQUENCES)
    random = np.random.default_rng(0)
    for row, sequence in enumerate(SEQUENCES):
        [texts] = run.model.tokenizer.tokens(run.model.tokenizer.encode([sequence]))
        texts, own = texts[1:], received[row, 1 : len(texts)]
        draws = [salience_of(texts, random.permutation(own)) for _ in range(2000)]
        error = np.std(draws, axis=0) / np.sqrt(len(draws))
        distance = np.abs(np.mean(draws, axis=0) - found.shuffled[row, : len(sequence)])
        assert (distance < 4.5 * error + 1e-8).all()


def test_the_control_takes_away_the_preference_for_rare_letters(golden_model):
    # Of AAAAAC the C has five times the salience of an A: all of it is the division's.
    model = golden_model("rotary_gelu")
    found = attention_salience(model, ["AAAAAC" * 8])
    by_letter = found.salience.reshape(8, 6).mean(axis=0)
    np.testing.assert_allclose(by_letter[5] / by_letter[:5], 5, rtol=1e-5)
    np.testing.assert_allclose(found.above_shuffled.reshape(8, 6).mean(axis=0), 0, atol=1e-7)


def test_what_tokens_receive(golden_model):
    model = golden_model("v2_3mer")
    received = received_attention(model, SEQUENCES)
    real = model.tokenizer.encode(SEQUENCES) != 1
    np.testing.assert_allclose(received.sum(axis=1), 1, rtol=1e-5)  # with <cls>
    assert (received[real] > 0).all()
    assert not received[~real].any()


def test_neighbours_in_the_batch_change_nothing(golden_model):
    run = small_run(golden_model("v2_3mer"))
    together = attention_salience(run, SEQUENCES).salience
    alone = attention_salience(run, SEQUENCES[2:3]).salience
    np.testing.assert_allclose(together[2, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-8)


def test_a_bare_model_runs_with_an_adapter(golden_model):
    model = golden_model("v2_3mer")
    run = small_run(model, "lora")
    adapted = attention_salience(model, SEQUENCES, adapter=run.trainable.adapter).salience
    np.testing.assert_array_equal(adapted, attention_salience(run, SEQUENCES).salience)
    assert not np.allclose(adapted, attention_salience(model, SEQUENCES).salience, rtol=1e-2)
    with pytest.raises(UserError, match="a run has an adapter of its own"):
        attention_salience(run, SEQUENCES, adapter=run.trainable.adapter)


@pytest.mark.compiled
def test_bfloat16_is_near_float32(golden_model):
    exact, rounded = (
        attention_salience(small_run(golden_model("v2_3mer", dtype)), SEQUENCES).salience
        for dtype in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, rtol=0.15, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [0]}, r"layer 0 does not exist: the model's layers count from 1 to 3"),
        ({"layers": []}, r"layer \(none\) does not exist"),
        ({"heads": [1, 4]}, r"head 4 does not exist: the model's heads count from 0 to 3"),
        ({"queries": "some"}, r"queries='some' is not known"),
    ],
)
def test_what_does_not_exist_is_refused(golden_model, options, message):
    with pytest.raises(UserError, match=message):
        attention_salience(golden_model("v2_3mer"), SEQUENCES, **options)


def test_sequences_that_the_model_cannot_read(golden_model):
    with pytest.raises(UserError, match="is one text"):
        attention_salience(golden_model("v1"), "ACGT")
    with pytest.raises(UserError, match="more than the model's 32 positions"):
        attention_salience(golden_model("v1"), ["ACGTTT" * 32])
