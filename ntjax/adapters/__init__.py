"""IA³, LoRA, BitFit, full fine-tuning and head only, as pure functions on pytrees.

An adapter is a frozen configuration and a tree of float32 parameters. `init` makes the tree,
`bind` turns it into what the transformer understands (a hook around its linear layers and the
parameters that the hook needs in each layer), `merge` folds it into the weights.

To add an adapter, write a subclass of `AdapterConfig` in a file of its own and add it to
`ADAPTERS`; options that a user may choose become settings called KIND_OPTION.
"""

from dataclasses import fields
from typing import Any

import jax

from ntjax.adapters.backbone_dropout import with_backbone_dropout
from ntjax.adapters.base import Adapter, AdapterConfig, Binding
from ntjax.adapters.bitfit import BitFit
from ntjax.adapters.dropout import Dropout
from ntjax.adapters.full import Full, HeadOnly, master_copies
from ntjax.adapters.ia3 import IA3
from ntjax.adapters.lora import LoRA
from ntjax.errors import UserError
from ntjax.models.config import TransformerConfig

__all__ = [
    "ADAPTERS",
    "IA3",
    "Adapter",
    "AdapterConfig",
    "Binding",
    "BitFit",
    "Dropout",
    "Full",
    "HeadOnly",
    "LoRA",
    "adapter_config",
    "bind",
    "init",
    "master_copies",
    "merge",
    "options_of",
]

ADAPTERS: dict[str, type[Any]] = {  # subclasses of AdapterConfig, each a dataclass
    "ia3": IA3,
    "lora": LoRA,
    "full": Full,
    "head": HeadOnly,
    "bitfit": BitFit,
}


def adapter_config(kind: str, **options: Any) -> AdapterConfig:
    """Return the configuration of a kind of adapter, such as 'ia3' or 'lora'.

    >>> adapter_config("lora", rank=4).rank
    4

    Raises:
        UserError: unknown kind, or an option that this kind does not have.
    """
    if kind not in ADAPTERS:
        raise UserError(f"unknown adapter '{kind}'; known: {', '.join(ADAPTERS)}")
    try:
        return ADAPTERS[kind](**options)
    except TypeError:
        raise UserError(
            f"the adapter '{kind}' does not know all of: {', '.join(options)}"
        ) from None


def options_of(kind: str) -> tuple[str, ...]:
    """Names of what can be chosen for a kind of adapter.

    >>> options_of("lora")
    ('rank', 'alpha', 'dropout', 'targets')
    """
    return tuple(field.name for field in fields(ADAPTERS[kind]) if field.init)


def init(
    config: AdapterConfig, model: TransformerConfig, params: dict[str, Any], key: jax.Array
) -> Adapter:
    """Return an adapter that leaves the model's output unchanged."""
    return Adapter(config, config.init(model, params, key))


def bind(
    adapter: Adapter | None, params: dict[str, Any], dropout: Dropout | None = None
) -> Binding:
    """Return what the transformer needs to run with an adapter, or without one."""
    binding = (
        Binding(params)
        if adapter is None
        else adapter.config.bind(adapter.parameters, params, dropout)
    )
    if dropout is None or dropout.backbone is None:
        return binding
    return with_backbone_dropout(binding, dropout)


def merge(adapter: Adapter, params: dict[str, Any]) -> dict[str, Any]:
    """Return the backbone's weights with the adapter folded in; nothing is lost but rounding."""
    return adapter.config.merge(adapter.parameters, params)
