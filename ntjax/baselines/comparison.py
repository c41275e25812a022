"""Baselines on the rows of a fine-tuning run: same training, validation, calibration, test."""

from typing import Any

from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import (
    fit_boosted_labels,
    fit_boosted_values,
    fit_gradient_boosting,
)
from ntjax.datasets.prepare import LabelledParts
from ntjax.runs.predictions import calibrate, score_outputs

_FIT_BOOSTING = {
    "classification": fit_gradient_boosting,
    "multilabel": fit_boosted_labels,
    "regression": fit_boosted_values,
}


def score_baselines(
    parts: LabelledParts, seed: int = 0, progress: bool = True, calibration: str = "auto"
) -> dict[str, dict[str, Any]]:
    """Train gradient boosting and the small CNN; their test metrics, as in `test_metrics.json`.

    `calibration`: the method, as for the model they are compared with.
    """
    sequences = {part: table.sequences for part, table in parts.tables.items()}
    training, validation = (
        (sequences[part], parts.targets(part)) for part in ("train", "validation")
    )
    options, kind = {"validation": validation, "seed": seed}, parts.task.kind
    models = {
        "gradient boosting": _FIT_BOOSTING[kind](*training, **options),
        "CNN": fit_cnn(*training, **options, kind=kind, progress=progress),
    }
    results = {}
    for name, model in models.items():
        calibrator = calibrate(
            parts.task,
            model.logits(sequences["calibration"]),
            parts.labels["calibration"],
            calibration,
        )
        results[name], _, _ = score_outputs(
            parts.task,
            model.logits(sequences["test"]),
            parts.labels["test"],
            calibrator,
            seed,
            parts.test_groups,
        )
    return results
