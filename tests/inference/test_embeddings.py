import numpy as np
import pytest
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax.errors import UserError
from ntjax.inference.embeddings import bag_of_kmers, mean_embeddings, one_hot_kmers

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize(
    ("name", "kind", "last_layers"),
    first_by_default(
        [("v2_3mer", None, 1), ("v2_3mer", "lora", 2), ("v1", "full", 3), ("rotary_gelu", "ia3", 1)]
    ),
)
def test_means_against_a_plain_loop(golden_model, name, kind, last_layers):
    model = golden_model(name)
    run = small_run(model, kind) if kind else None
    found = mean_embeddings(run or model, SEQUENCES, last_layers)
    assert found.dtype == np.float32
    assert found.shape == (3, 16)
    adapter = run.trainable.adapter if run else None
    layers = tuple(range(4 - last_layers, 4))
    ids = model.tokenizer.encode(SEQUENCES)
    out = model.apply(model.params, ids, adapter=adapter, logits=False, embeddings_layers=layers)
    for row, texts in enumerate(model.tokenizer.tokens(ids)):
        points = [
            np.asarray(out[f"embeddings_{layer}"], np.float64)[row, column]
            for layer in layers
            for column, text in enumerate(texts)
            if "<" not in text
        ]
        np.testing.assert_allclose(found[row], np.mean(points, axis=0), rtol=1e-4, atol=1e-5)
    if run:
        again = mean_embeddings(model, SEQUENCES, last_layers, adapter)
        np.testing.assert_array_equal(again, found)


@pytest.mark.compiled
def test_bfloat16_is_near_float32(golden_model):
    exact, rounded = (
        mean_embeddings(small_run(golden_model("v2_3mer", dtype)), SEQUENCES)
        for dtype in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.03)


@pytest.mark.parametrize("last_layers", [0, 4])
def test_layers_that_do_not_exist(golden_model, last_layers):
    with pytest.raises(UserError, match=f"last_layers={last_layers}: .* has 1 to 3 layers"):
        mean_embeddings(golden_model("v1"), SEQUENCES, last_layers)


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
