"""Fine-tune the Nucleotide Transformer in JAX/Haiku, and say honestly how good the result is."""

from ntjax.adapters import Adapter
from ntjax.errors import UserError
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.runs.run import Run, load_run

__all__ = ["Adapter", "PretrainedModel", "Run", "UserError", "load_pretrained", "load_run"]
