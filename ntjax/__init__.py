"""Fine-tune the Nucleotide Transformer in JAX/Haiku, and say honestly how good the result is.

>>> import ntjax
>>> model = ntjax.load_pretrained("mini")
>>> model.embed(["ACGTACGTACGT"]).shape
(1, 192)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntjax.adapters import IA3, Adapter, BitFit, Full, HeadOnly, LoRA
    from ntjax.errors import UserError
    from ntjax.inference.pretrained import PretrainedModel, load_pretrained
    from ntjax.runs.peft_run import load_peft
    from ntjax.runs.run import Run
    from ntjax.runs.saved_run import load_run
    from ntjax.training.finetune import fine_tune
    from ntjax.training.swept_runs import sweep

__all__ = [
    "IA3",
    "Adapter",
    "BitFit",
    "Full",
    "HeadOnly",
    "LoRA",
    "PretrainedModel",
    "Run",
    "UserError",
    "fine_tune",
    "load_peft",
    "load_pretrained",
    "load_run",
    "sweep",
]

# Loaded when they are asked for: training alone needs Orbax, pandas and scikit-learn.
_HOMES = {
    "IA3": "adapters",
    "Adapter": "adapters",
    "BitFit": "adapters",
    "Full": "adapters",
    "HeadOnly": "adapters",
    "LoRA": "adapters",
    "PretrainedModel": "inference.pretrained",
    "Run": "runs.run",
    "UserError": "errors",
    "fine_tune": "training.finetune",
    "load_peft": "runs.peft_run",
    "load_pretrained": "inference.pretrained",
    "load_run": "runs.saved_run",
    "sweep": "training.swept_runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ntjax' has no attribute {name!r}")
    value = getattr(import_module(f"ntjax.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
