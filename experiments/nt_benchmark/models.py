"""The models that are compared, and what was computed with them so far."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ntjax import PretrainedModel, load_pretrained
from ntjax.checkpoints import mini
from ntjax.inference.untrained import untrained_like
from ntjax.reports.colours import COLOURS

MODELS: dict[str, Callable[[], PretrainedModel]] = {
    "mini": lambda: load_pretrained("mini"),
    "mini_human": lambda: load_pretrained("mini_human"),
    "untrained": lambda: untrained_like(load_pretrained("mini")),
}
"""A bacterial and a human model of one size, and the null: the same network with random weights."""


OF_MODEL = dict(zip(MODELS, COLOURS, strict=False))
"""The colour of each model in all figures."""


def named_by(model: str, *inputs: object) -> str:
    """Name what is computed by its inputs: the model's weights, arrays, texts and numbers."""
    weights = mini.weights_id(mini.HUMAN if model == mini.HUMAN else mini.NAME)
    digest = hashlib.sha256(f"{model} {weights}".encode())
    for one in inputs:
        digest.update(one.tobytes() if isinstance(one, np.ndarray) else repr(one).encode())
    return digest.hexdigest()[:16]


def kept(path: Path, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Read arrays that were computed before, or compute and keep them."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.stem}.part.npz")
        np.savez(temporary, **compute())  # type: ignore[arg-type]
        temporary.rename(path)
    with np.load(path) as arrays:
        return dict(arrays)


def in_pieces(
    folder: Path, rows: int, size: int, compute: Callable[[np.ndarray], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Compute arrays [rows, ...] a piece at a time; what an interruption leaves is kept.

    Arguments:
        folder: of the pieces.
        rows: their number.
        size: rows of a piece.
        compute: arrays by name of some rows, given by number.
    """
    pieces = [
        kept(
            folder / f"{start:06}.npz",
            lambda start=start: compute(np.arange(start, min(start + size, rows))),
        )
        for start in range(0, rows, size)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
