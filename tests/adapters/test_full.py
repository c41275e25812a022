"""Full fine-tuning and head only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_models import MODELS, TOKENS, random_parameters, run
from reference_transformer import reference_forward

from ntjax import adapters
from ntjax.adapters import Adapter, Full, HeadOnly
from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compilation")

MODEL = MODELS["gated"]
ROOT = "nucleotide_transformer"
LANGUAGE_MODEL_HEAD = {
    f"{ROOT}/{name}" for name in ("lm_head_fc_1", "lm_head_layer_norm", "lm_final_fc")
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_full_is_the_backbone_without_the_language_model_head(model):
    params = random_parameters(model)
    adapter = adapters.init(Full(), model, params, jax.random.key(0))
    shapes = parameter_shapes(model)
    assert set(shapes) > LANGUAGE_MODEL_HEAD
    expected = {name: shapes[name] for name in shapes if name not in LANGUAGE_MODEL_HEAD}
    assert jax.tree.map(np.shape, adapter.parameters) == expected
    assert f"{ROOT}/emb_layer_norm_after" in adapter.parameters


def test_full_keeps_float32_master_copies_of_a_bfloat16_model():
    params = jax.tree.map(lambda w: jnp.asarray(w, jnp.bfloat16), random_parameters(MODEL))
    adapter = adapters.init(Full(), MODEL, params, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(adapter))


def test_trained_weights_stand_in_for_the_loaded_ones():
    loaded, trained = random_parameters(MODEL, seed=0), random_parameters(MODEL, seed=1)
    changed = {name: trained[name] for name in trained if name not in LANGUAGE_MODEL_HEAD}
    adapter = Adapter(Full(), changed)
    merged = adapters.merge(adapter, loaded)
    assert jax.tree.map(np.shape, merged) == parameter_shapes(MODEL)
    for module in merged:
        source = loaded if module in LANGUAGE_MODEL_HEAD else trained
        jax.tree.map(np.testing.assert_array_equal, merged[module], source[module])
    expected = reference_forward(MODEL, merged, TOKENS)
    for name, value in run(MODEL, loaded, adapter).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_head_only_trains_nothing_of_the_backbone():
    params = random_parameters(MODEL)
    adapter = adapters.init(HeadOnly(), MODEL, params, jax.random.key(0))
    assert adapter.parameters == {}
    jax.tree.map(np.testing.assert_array_equal, adapters.merge(adapter, params), params)
