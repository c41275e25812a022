import numpy as np
import pytest
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax.adapters.apply import forward
from ntjax.errors import UserError
from ntjax.inference.embeddings import bag_of_kmers, embed, one_hot_kmers

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("pooling", ["mean", "cls", None])
@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    first_by_default(
        [("v2_3mer", None, [3]), ("v2_3mer", "lora", [2, 3]), ("v1", "full", [0, 1, 3])]
    ),
)
def test_every_pooling_against_a_plain_loop(golden_model, name, kind, layers, pooling):
    model = golden_model(name)
    run = small_run(model, kind) if kind else None
    found = embed(run or model, SEQUENCES, layers, pooling)
    adapter = run.trainable.adapter if run else None
    ids = model.tokenizer.encode(SEQUENCES)
    out = forward(
        model.config,
        model.dtype,
        model.params,
        ids,
        adapter,
        logits=False,
        embeddings_layers=tuple(layers),
    )
    assert list(found) == layers
    for layer in layers:
        whole = np.asarray(out[f"embeddings_{layer}"], np.float64)
        for row, texts in enumerate(model.tokenizer.tokens(ids)):
            bases = [column for column, text in enumerate(texts) if "<" not in text]
            own = whole[row, bases]
            expected = {"mean": own.mean(axis=0), "cls": whole[row, 0], None: own}[pooling]
            assert found[layer][row].dtype == np.float32
            np.testing.assert_allclose(found[layer][row], expected, rtol=1e-4, atol=1e-5)
    if run:
        again = embed(model, SEQUENCES, layers, pooling, adapter=adapter)
        for layer in layers:
            for one, other in zip(again[layer], found[layer], strict=True):
                np.testing.assert_array_equal(one, other)


def test_layer_0_is_what_enters_the_first(golden_model):
    """Token embeddings and positions, added by hand."""
    model = golden_model("v1")
    ids = model.tokenizer.encode(SEQUENCES[:1])
    [found] = model.embed(SEQUENCES[:1], 0, None)
    tables = {
        name: np.asarray(leaves["embeddings"])
        for name, leaves in ((path.split("/")[-1], leaves) for path, leaves in model.params.items())
        if "embeddings" in leaves
    }
    positions = np.arange(ids.shape[1]) + model.tokenizer.pad_id + 1
    scale = (1 - 0.15 * 0.8) if model.config.token_dropout else 1.0
    tokens = tables["embed"][ids[0]] * scale * model.config.embed_scale
    expected = tokens + tables["positional_embedding"][positions]
    np.testing.assert_allclose(found, expected[1:], rtol=1e-5, atol=1e-6)


@pytest.mark.compiled
def test_embed_of_models_and_runs(golden_model):
    model = golden_model("v2_3mer")
    run = small_run(model, "lora")
    for one in (model, run):
        np.testing.assert_array_equal(one.embed(SEQUENCES), embed(one, SEQUENCES)[3])
        np.testing.assert_array_equal(
            one.embed(SEQUENCES, 1, "cls"), embed(one, SEQUENCES, [1], "cls")[1]
        )
    assert not np.allclose(model.embed(SEQUENCES), run.embed(SEQUENCES))


@pytest.mark.compiled
def test_bfloat16_is_near_float32(golden_model):
    exact, rounded = (
        small_run(golden_model("v2_3mer", dtype)).embed(SEQUENCES)
        for dtype in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.03)


def test_what_does_not_exist(golden_model):
    for layer in (-1, 4):
        with pytest.raises(UserError, match=f"layer {layer} does not exist: .* from 1 to 3; 0"):
            golden_model("v1").embed(SEQUENCES, layer)
    with pytest.raises(UserError, match=r"pooling='max' is not known: give 'mean', 'cls' or None"):
        golden_model("v1").embed(SEQUENCES, pooling="max")


@pytest.mark.parametrize("name", ["v1", "v2_3mer"])
def test_input_representations_against_a_plain_loop(golden_model, name):
    tokenizer = golden_model(name).tokenizer
    ids = tokenizer.encode(SEQUENCES)
    places, vocabulary = ids.shape[1] - 1, tokenizer.vocabulary_size
    one_hot = np.zeros((3, places, vocabulary))
    for row in range(3):
        for place in range(places):
            if ids[row, place + 1] != tokenizer.pad_id:
                one_hot[row, place, ids[row, place + 1]] = 1
    found, bag = one_hot_kmers(tokenizer, SEQUENCES), bag_of_kmers(tokenizer, SEQUENCES)
    assert found.dtype == bag.dtype == np.float32
    assert found.nnz == (ids[:, 1:] != tokenizer.pad_id).sum()
    np.testing.assert_array_equal(found.toarray(), one_hot.reshape(3, -1))
    np.testing.assert_array_equal(bag.toarray(), one_hot.sum(axis=1))
    assert bag[1, tokenizer.id_of("AAAAAA"[: tokenizer.k])] > 0
    assert bag[2, tokenizer.id_of("N")] == 3
