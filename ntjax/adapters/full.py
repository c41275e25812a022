"""The two ends of the scale: train nothing but the head, or the whole backbone."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntjax.adapters.base import AdapterConfig, Binding
from ntjax.adapters.dropout import Dropout
from ntjax.models.config import ROOT, TransformerConfig

# A classification head reads the last embeddings: the language-model head stays as it was, and
# the optimiser holds no state for it.
LANGUAGE_MODEL_HEAD = tuple(
    f"{ROOT}/{name}" for name in ("lm_head_fc_1", "lm_head_layer_norm", "lm_final_fc")
)


@dataclass(frozen=True)
class HeadOnly(AdapterConfig):
    """Nothing but the classification head is trained."""

    kind: str = field(default="head", init=False, repr=False)
    learning_rate: ClassVar[float] = 1e-3
    learning_rate_for_mini: ClassVar[float] = 3e-3
    batch_size: ClassVar[int] = 32

    def init(self, model: TransformerConfig, params: dict[str, Any], key: jax.Array) -> Any:
        """Return no parameters."""
        del model, params, key
        return {}


@dataclass(frozen=True)
class Full(AdapterConfig):
    """All weights of the backbone are trained, as float32 master copies.

    Of a trained model that was saved whole the parameters are `{}`: its weights are the backbone.
    """

    kind: str = field(default="full", init=False, repr=False)
    learning_rate: ClassVar[float] = 5e-5
    learning_rate_for_mini: ClassVar[float] = 5e-4
    batch_size: ClassVar[int] = 16
    trains_backbone: ClassVar[bool] = True

    def init(self, model: TransformerConfig, params: dict[str, Any], key: jax.Array) -> Any:
        """Float32 copies of every weight but the language-model head's."""
        del model, key
        return master_copies(params)

    def bind(
        self, parameters: Any, params: dict[str, Any], dropout: Dropout | None = None
    ) -> Binding:
        """Use the trained weights in place of the backbone's."""
        del dropout
        return Binding(params | parameters)

    def merge(self, parameters: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Return the trained weights, and the backbone's where none were trained."""
        return params | parameters

    def decays(self, path: tuple[str, ...]) -> bool:
        """Matrices decay; biases and norms do not."""
        return path[-1] in ("w", "embeddings")


def master_copies(
    params: dict[str, Any], left_out: tuple[str, ...] = LANGUAGE_MODEL_HEAD
) -> dict[str, dict[str, jax.Array]]:
    """Float32 copies of every weight but those of some modules."""
    trained = {module: params[module] for module in params if module not in left_out}
    return jax.tree.map(lambda w: jnp.array(w, dtype=jnp.float32), trained)
