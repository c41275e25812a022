"""Baselines on the rows of a fine-tuning run: same training, validation, calibration, test."""

from typing import Any

from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.scoring import calibrate, score_logits
from ntjax.training.prepare import LabelledParts


def score_baselines(
    parts: LabelledParts, seed: int = 0, progress: bool = True
) -> dict[str, dict[str, Any]]:
    """Train gradient boosting and the small CNN; their test metrics, as in `test_metrics.json`."""
    sequences = {part: table.sequences for part, table in parts.tables.items()}
    training = sequences["train"], parts.labels["train"]
    validation = sequences["validation"], parts.labels["validation"]
    models = {
        "gradient boosting": fit_gradient_boosting(*training, validation=validation, seed=seed),
        "CNN": fit_cnn(*training, validation=validation, seed=seed, progress=progress),
    }
    results = {}
    for name, model in models.items():
        calibration = calibrate(model.logits(sequences["calibration"]), parts.labels["calibration"])
        logits = model.logits(sequences["test"])
        results[name], _, _ = score_logits(
            logits, parts.labels["test"], calibration, seed, parts.test_groups
        )
    return results
