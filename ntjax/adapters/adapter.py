"""One interface to all adapters: init, bind, merge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntjax.adapters import full, ia3, lora
from ntjax.adapters.full import FullConfig, HeadOnlyConfig
from ntjax.adapters.ia3 import IA3Config
from ntjax.adapters.lora import LoRAConfig
from ntjax.errors import UserError
from ntjax.models.config import TransformerConfig

AdapterConfig = IA3Config | LoRAConfig | FullConfig | HeadOnlyConfig
_CONFIGS = {"ia3": IA3Config, "lora": LoRAConfig, "full": FullConfig, "head": HeadOnlyConfig}


@partial(jax.tree_util.register_dataclass, data_fields=["parameters"], meta_fields=["config"])
@dataclass(frozen=True)
class Adapter:
    """Configuration (static) and parameters (a pytree of float32 arrays)."""

    config: AdapterConfig
    parameters: Any


class Dropout(NamedTuple):
    """Rate (traced, so that members of a population may differ) and one key per example."""

    rate: jax.Array | float
    keys: jax.Array


def adapter_config(kind: str, **options: Any) -> AdapterConfig:
    """The configuration for 'ia3', 'lora', 'full' or 'head'.

    Raises:
        UserError: unknown kind, or an option that this kind does not have.
    """
    if kind not in _CONFIGS:
        raise UserError(f"unknown adapter '{kind}'; known: {', '.join(_CONFIGS)}")
    try:
        return _CONFIGS[kind](**options)
    except TypeError:
        raise UserError(
            f"the adapter '{kind}' does not know all of: {', '.join(options)}"
        ) from None


def init(
    config: AdapterConfig, model: TransformerConfig, params: dict[str, Any], key: jax.Array
) -> Adapter:
    """An adapter that leaves the model's output unchanged."""
    match config:
        case IA3Config():
            parameters = ia3.init(model)
        case LoRAConfig():
            parameters = lora.init(config, model, key)
        case FullConfig():
            parameters = full.init(params)
        case HeadOnlyConfig():
            parameters = {}
    return Adapter(config, parameters)


def bind(
    adapter: Adapter | None, params: dict[str, Any], dropout: Dropout | None = None
) -> tuple[dict[str, Any], Callable | None, Any]:
    """What the transformer needs to run with an adapter.

    Returns:
        The backbone's weights, the hook around its linear layers (None: no hook) and that
        hook's inputs, a pytree whose leaves are `[layers, ...]`.
    """
    match adapter:
        case Adapter(IA3Config(), vectors):
            return params, ia3.hook, vectors
        case Adapter(LoRAConfig() as config, branches):
            layers = jax.tree.leaves(branches)[0].shape[0]
            inputs = {"number": jnp.arange(layers), "parameters": branches}
            return params, lora.make_hook(config, *(dropout or (None, None))), inputs
        case Adapter(FullConfig(), weights):
            return params | weights, None, None
    return params, None, None


def merge(adapter: Adapter, params: dict[str, Any]) -> dict[str, Any]:
    """The backbone's weights with the adapter folded in; nothing is lost but rounding."""
    match adapter:
        case Adapter(IA3Config(), vectors):
            return ia3.merge(vectors, params)
        case Adapter(LoRAConfig() as config, branches):
            return lora.merge(config, branches, params)
        case Adapter(FullConfig(), weights):
            return params | weights
    return params
