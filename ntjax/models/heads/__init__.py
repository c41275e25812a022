"""Heads on the last layer's embeddings: `<cls>`, mean, tokens side by side, attention.

A head is a frozen configuration; its parameters are a tree of float32 arrays. `cls` is what
published results and transformers' ESM read. `tokens` and `attention` keep what the others give
away: where in the sequence something stands.

To add a head, write a subclass of `HeadConfig` in a file of its own and add it to `HEADS`.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ntjax.models.heads.attention import Attention
from ntjax.models.heads.base import HeadConfig
from ntjax.models.heads.pooled import Cls, Mean, mean_over_nucleotides
from ntjax.models.heads.tokens import LARGEST_BOTTLENECK, MOST_TOKENS, Tokens

__all__ = [
    "HEADS",
    "LARGEST_BOTTLENECK",
    "MOST_TOKENS",
    "Attention",
    "Cls",
    "HeadConfig",
    "Mean",
    "Tokens",
    "head_from_dict",
    "mean_over_nucleotides",
]

HEADS: dict[str, type[HeadConfig]] = {head.kind: head for head in (Cls, Mean, Tokens, Attention)}


def head_from_dict(saved: Mapping[str, Any]) -> HeadConfig:
    """Rebuild what `HeadConfig.to_dict` gave.

    >>> head_from_dict({"pooling": "mean", "outputs": 3})
    Mean(outputs=3)

    Raises:
        ValueError: unknown head, or numbers that are not exactly the head's.
    """
    kind = saved.get("pooling")
    if kind not in HEADS:
        raise ValueError(f"unknown pooling {kind!r}")
    numbers = {name: value for name, value in saved.items() if name != "pooling"}
    expected = {field.name for field in fields(HEADS[kind])}
    if numbers.keys() != expected or any(type(value) is not int for value in numbers.values()):
        raise ValueError(f"head is {dict(saved)}, not a pooling and a whole number of outputs")
    return HEADS[kind](**numbers)
