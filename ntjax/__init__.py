"""Fine-tune the Nucleotide Transformer in JAX/Haiku, and say honestly how good the result is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntjax.adapters import Adapter
    from ntjax.errors import UserError
    from ntjax.inference.pretrained import PretrainedModel, load_pretrained
    from ntjax.runs.run import Run, load_run

__all__ = ["Adapter", "PretrainedModel", "Run", "UserError", "load_pretrained", "load_run"]

# Imported at first use, so that the rooms without JAX and the list of commands load none.
_MODULES = {
    "Adapter": "ntjax.adapters",
    "PretrainedModel": "ntjax.inference.pretrained",
    "Run": "ntjax.runs.run",
    "UserError": "ntjax.errors",
    "load_pretrained": "ntjax.inference.pretrained",
    "load_run": "ntjax.runs.run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ntjax' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
