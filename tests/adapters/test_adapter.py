"""What holds for every kind of adapter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_models import MODELS, random_parameters, run
from tiers import first_by_default

from ntjax import adapters
from ntjax.adapters import IA3, Full, HeadOnly, LoRA
from ntjax.adapters.lora import PROJECTIONS
from ntjax.errors import UserError
from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compilation")

CONFIGS = {
    "ia3": IA3(),
    "lora": LoRA(rank=2, targets=PROJECTIONS),
    "full": Full(),
    "head": HeadOnly(),
}


@pytest.fixture(scope="module", params=first_by_default(list(MODELS)))
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module", params=first_by_default(["float32", "bfloat16"]))
def bare(request, model):
    """Data type, weights and outputs of the bare model."""
    dtype, params = request.param, random_parameters(model)
    params = {
        module: {
            name: jnp.asarray(leaf, dtype if name in ("w", "embeddings") else "float32")
            for name, leaf in leaves.items()
        }
        for module, leaves in params.items()
    }
    return dtype, params, run(model, params, dtype=dtype)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_adapter_starts_as_the_bare_model(config, model, bare):
    dtype, params, expected = bare
    adapter = adapters.init(config, model, params, jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(adapter))
    got = run(model, params, adapter, dtype=dtype)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_merging_a_fresh_adapter_changes_no_weight(config, model, bare):
    _, params, _ = bare
    adapter = adapters.init(config, model, params, jax.random.key(0))
    merged = adapters.merge(adapter, params)
    assert jax.tree.map(np.shape, merged) == parameter_shapes(model)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a.astype("float32"), b.astype("float32")),
        merged,
        params,
    )


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_adapter_is_a_pytree_of_its_parameters_with_a_static_configuration(kind):
    model = MODELS["learned"]
    adapter = adapters.init(CONFIGS[kind], model, random_parameters(model), jax.random.key(0))
    leaves, tree = jax.tree.flatten(adapter)
    assert len(leaves) == len(jax.tree.leaves(adapter.parameters))
    doubled = jax.tree.unflatten(tree, [2 * leaf for leaf in leaves])
    assert doubled.config == CONFIGS[kind]
    jax.tree.map(
        lambda twice, once: np.testing.assert_array_equal(twice, 2 * once),
        doubled.parameters,
        adapter.parameters,
    )


def test_a_kind_and_its_options_give_the_configuration():
    assert adapters.adapter_config("ia3") == IA3()
    assert adapters.adapter_config("full") == Full()
    assert adapters.adapter_config("head") == HeadOnly()
    lora = adapters.adapter_config("lora", rank=4, alpha=1.0, targets=["fc1"])
    assert lora == LoRA(4, 1.0, targets=("fc1",))
    assert [config.kind for config in CONFIGS.values()] == list(CONFIGS)


def test_unknown_kinds_are_refused_with_the_known_ones():
    with pytest.raises(
        UserError, match="unknown adapter 'ia4'; known: ia3, lora, full, head, bitfit"
    ):
        adapters.adapter_config("ia4")


@pytest.mark.parametrize("kind", ["ia3", "full", "head"])
def test_options_of_another_kind_are_refused(kind):
    with pytest.raises(UserError, match=f"the adapter '{kind}' does not know all of: rank"):
        adapters.adapter_config(kind, rank=4)


def test_bad_values_of_known_options_keep_their_own_message():
    with pytest.raises(UserError, match="LoRA rank 0"):
        adapters.adapter_config("lora", rank=0)
