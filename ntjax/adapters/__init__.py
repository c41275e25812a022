"""IA³, LoRA, full fine-tuning and head only, as pure functions on pytrees.

An adapter is a frozen configuration and a tree of float32 parameters. `init` makes the tree,
`bind` turns it into what the transformer understands (a hook around its linear layers and the
parameters that hook needs in each layer), `merge` folds it into the weights.
"""

from ntjax.adapters.adapter import (
    Adapter,
    AdapterConfig,
    Dropout,
    adapter_config,
    bind,
    init,
    merge,
)
from ntjax.adapters.full import FullConfig, HeadOnlyConfig
from ntjax.adapters.ia3 import IA3Config
from ntjax.adapters.lora import LoRAConfig

__all__ = [
    "Adapter",
    "AdapterConfig",
    "Dropout",
    "FullConfig",
    "HeadOnlyConfig",
    "IA3Config",
    "LoRAConfig",
    "adapter_config",
    "bind",
    "init",
    "merge",
]
