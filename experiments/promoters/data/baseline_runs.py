"""Gradient boosting and the CNN on a study's rows, kept beside its runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.baselines.cnn import CNN as CNNModel
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.baselines.gradient_boosting import GradientBoosting, fit_gradient_boosting
from ntjax.datasets.prepare import LabelledParts
from ntjax.io.json import read_json, write_json

CNN, BOOSTING, MARKOV = "CNN", "gradient boosting", "Markov chain of order 5, no labels"


class BaselineRuns(NamedTuple):
    """Probabilities of the test rows to be promoters, [seeds, rows]; seconds a seed, the mean."""

    probabilities: np.ndarray
    seconds: float


def baseline_runs(
    folder: Path,
    parts: Callable[[int], LabelledParts],
    name: str,
    seeds: int,
    cnn: CNNConfig | None = None,
) -> BaselineRuns:
    """Those of `name`, BOOSTING or one that begins with CNN; fitted if `folder` does not have them.

    Arguments:
        parts: the rows of a seed.
        cnn: its size and training; None for those of the library.
    """
    found = []
    for seed in range(seeds):
        path = folder / f"{name}-{seed}.json"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            rows = parts(seed)
            began = time.perf_counter()
            model = fitted_baseline(rows, name, seed, cnn)
            values = model.probabilities(rows.tables["test"].sequences)[:, 1].tolist()
            write_json(path, {"values": values, "seconds": time.perf_counter() - began})
        found.append(read_json(path))
    return BaselineRuns(
        np.array([result["values"] for result in found]),
        float(np.mean([result["seconds"] for result in found])),
    )


def fitted_baseline(
    parts: LabelledParts,
    name: str,
    seed: int = 0,
    cnn: CNNConfig | None = None,
    progress: bool = False,
) -> GradientBoosting | CNNModel:
    """Gradient boosting or, if its name begins so, the CNN, trained on the rows of a run."""
    training, validation = (
        (parts.tables[part].sequences, parts.labels[part]) for part in ("train", "validation")
    )
    options = {"validation": validation, "seed": seed}
    if name.startswith(CNN):
        return fit_cnn(*training, **options, config=cnn or CNNConfig(), progress=progress)
    return fit_gradient_boosting(*training, **options)
