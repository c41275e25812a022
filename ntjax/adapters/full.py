"""The two ends of the scale: train nothing but the head, or the whole backbone."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from ntjax.models.config import ROOT

# A classification head reads the last embeddings: the language-model head stays as it was, and
# the optimiser holds no state for it.
LANGUAGE_MODEL_HEAD = tuple(
    f"{ROOT}/{name}" for name in ("lm_head_fc_1", "lm_head_layer_norm", "lm_final_fc")
)


@dataclass(frozen=True)
class HeadOnlyConfig:
    """Nothing but the classification head is trained."""

    kind: str = field(default="head", init=False)


@dataclass(frozen=True)
class FullConfig:
    """All weights of the backbone are trained, as float32 master copies."""

    kind: str = field(default="full", init=False)


def init(
    params: dict[str, Any], left_out: tuple[str, ...] = LANGUAGE_MODEL_HEAD
) -> dict[str, dict[str, jax.Array]]:
    """Float32 copies of every weight but those of some modules."""
    trained = {module: params[module] for module in params if module not in left_out}
    return jax.tree.map(lambda w: jnp.array(w, dtype=jnp.float32), trained)
