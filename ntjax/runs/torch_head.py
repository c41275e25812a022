"""A run's head for PyTorch: `head.safetensors`, and `head.py`, which reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.checkpoints import safetensors
from ntjax.io.files import write_bytes
from ntjax.models.heads import Attention, HeadConfig, Tokens
from ntjax.runs.adapter_file import named_leaves

HEAD_FILE, MODULE_FILE = "head.safetensors", "head.py"

_MODULE = '''"""The {kind} head of a run of ntjax, on the last hidden state of transformers' ESM.

head = Head()
hidden = model.esm(input_ids=ids, attention_mask=mask).last_hidden_state
outputs = head(hidden, mask)                                    # [batch, {outputs}]
"""

from pathlib import Path

import torch
from safetensors.torch import load_file


class Head(torch.nn.Module):
    def __init__(self, path=Path(__file__).with_name("{file}")):
        super().__init__()
        for name, tensor in load_file(path).items():
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(tensor))

    def forward(self, hidden, attention_mask):
        mask = attention_mask[..., None].to(hidden.dtype)
{body}
        return x @ self.output_w + self.output_b
'''
_DENSE = "x = torch.tanh(x @ self.dense_w + self.dense_b)"


def write_torch_head(folder: Path, config: HeadConfig, head: Mapping[str, Any]) -> None:
    """Write the head's parameters, and a module of PyTorch that computes what ours does.

    Raises:
        UserError: the disk is full.
    """
    tensors = {name: np.asarray(leaf, np.float32) for name, leaf in named_leaves(head).items()}
    safetensors.write(folder / HEAD_FILE, tensors, {"format": "pt"})
    body = "\n".join(f"        {line}" for line in _lines(config))
    text = _MODULE.format(kind=config.kind, outputs=config.outputs, file=HEAD_FILE, body=body)
    write_bytes(folder / MODULE_FILE, text.encode())


def _lines(config: HeadConfig) -> list[str]:
    """From `hidden` and `mask` to `x`, [batch, width]."""
    if isinstance(config, Tokens):
        return [
            f"padding = (0, 0, 0, {config.tokens} - hidden.shape[1])",
            "x = torch.nn.functional.pad(hidden * mask, padding).flatten(1)",
            *([_DENSE] if config.bottleneck else []),
        ]
    if isinstance(config, Attention):
        return [
            "# [batch, tokens, queries]",
            "scores = hidden @ self.query.T * hidden.shape[-1] ** -0.5",
            f"places = torch.arange(hidden.shape[1]).clamp(max={config.positions - 1})",
            "scores = scores + self.position[:, places].T",
            'scores = scores.masked_fill(mask == 0, float("-inf"))',
            "x = (torch.softmax(scores, dim=1).transpose(1, 2) @ hidden).flatten(1)",
        ]
    if config.kind == "cls":
        return ["x = hidden[:, 0]", _DENSE]
    return [
        "mask = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, 1:]], dim=1)  # without <cls>",
        "x = (hidden * mask).sum(1) / mask.sum(1)",
        _DENSE,
    ]
