"""The interface of all adapters: a frozen configuration that knows how to init, bind and merge.

A new adapter is one new file with a subclass of `AdapterConfig`, and its line in the registry of
`ntjax.adapters`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax

from ntjax.adapters.dropout import Dropout
from ntjax.models.config import TransformerConfig

Hook = Callable[..., jax.Array]
"""`hook(layer, name, linear, x)`: what is computed in place of `linear(x)` in one layer."""


class Binding(NamedTuple):
    """What the transformer needs to run with an adapter.

    Attributes:
        params: the backbone's weights.
        hook: the hook around its linear layers; None for no hook.
        per_layer: the hook's inputs, a pytree whose leaves are `[layers, ...]`.
    """

    params: dict[str, Any]
    hook: Hook | None = None
    per_layer: Any = None


class AdapterConfig(ABC):
    """What all configurations of adapters have; each is a frozen dataclass.

    Attributes:
        kind: the adapter's name, as in `--adapter`.
        learning_rate: peak learning rate that suits published models.
        learning_rate_for_mini: the same for the bundled `mini`: small models take larger steps.
        batch_size: sequences per step that suit published models.
        trains_backbone: whether the trained model is saved whole, not as an adapter beside it.
        dropout: probability to drop an input while training.
    """

    kind: str
    learning_rate: ClassVar[float]
    learning_rate_for_mini: ClassVar[float]
    batch_size: ClassVar[int]
    trains_backbone: ClassVar[bool] = False
    dropout: float = 0.0

    @abstractmethod
    def init(self, model: TransformerConfig, params: dict[str, Any], key: jax.Array) -> Any:
        """Return a pytree of float32 parameters that leave the model's output unchanged."""

    def bind(
        self, parameters: Any, params: dict[str, Any], dropout: Dropout | None = None
    ) -> Binding:
        """Return what the transformer needs to run with these parameters."""
        del parameters, dropout
        return Binding(params)

    def merge(self, parameters: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return the backbone's weights with the parameters folded in, exact but for rounding."""
        del parameters
        return params

    def decays(self, path: tuple[str, ...]) -> bool:
        """Tell whether weight decay acts on the parameter at this path."""
        del path
        return False

    def check(self, model: TransformerConfig) -> None:
        """Refuse a configuration that the model cannot have.

        Raises:
            UserError: names the option and what it can be.
        """
        del model


@partial(jax.tree_util.register_dataclass, data_fields=["parameters"], meta_fields=["config"])
@dataclass(frozen=True)
class Adapter:
    """Configuration (static) and parameters (a pytree of float32 arrays)."""

    config: AdapterConfig
    parameters: Any
