"""Baselines on the rows of a fine-tuning run: same training, validation, calibration, test."""

from functools import partial
from typing import Any

from ntjax.baselines.both_strands import Baseline, fit_both_strands
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import (
    fit_boosted_labels,
    fit_boosted_values,
    fit_gradient_boosting,
)
from ntjax.datasets.prepare import LabelledParts
from ntjax.datasets.reverse_complements import ReverseComplement
from ntjax.runs.predictions import calibrate, score_outputs

_FIT_BOOSTING = {
    "classification": fit_gradient_boosting,
    "multilabel": fit_boosted_labels,
    "regression": fit_boosted_values,
}


def score_baselines(
    parts: LabelledParts,
    seed: int = 0,
    progress: bool = True,
    calibration: str = "auto",
    reverse_complement: ReverseComplement = "none",
    average_strands: bool = True,
) -> dict[str, dict[str, Any]]:
    """Train gradient boosting and the small CNN, and score them on the test rows.

    Arguments:
        parts: the rows of the model that they are compared with.
        seed: of the CNN's training and of the bootstrap.
        progress: whether to show a bar over the CNN's epochs.
        calibration: the method, as for the model.
        reverse_complement: what the reverse complement of a row is; unless "none", it is learned
            from too.
        average_strands: whether outputs are then averaged over both strands.

    Returns:
        By baseline what `test_metrics.json` holds; `notes` only where there is something to know.

    Raises:
        UserError: rows that a baseline cannot learn from.
    """
    kind, fitted = parts.task.kind, {}
    training, validation = (
        (parts.tables[part].sequences, parts.targets(part)) for part in ("train", "validation")
    )
    for name, fit in {
        "gradient boosting": _FIT_BOOSTING[kind],
        "CNN": partial(fit_cnn, kind=kind, progress=progress),
    }.items():
        fitted[name] = fit_both_strands(
            fit, training, validation, reverse_complement, average_strands, seed=seed
        )
    notes = _notes_on_length(parts)
    return {
        name: _scored(model, parts, seed, calibration) | ({"notes": notes} if notes else {})
        for name, model in fitted.items()
    }


def _scored(model: Baseline, parts: LabelledParts, seed: int, calibration: str) -> dict[str, Any]:
    calibrator = None
    if own := parts.tables["calibration"].sequences:
        calibrator = calibrate(
            parts.task,
            model.logits(own),
            parts.labels["calibration"],
            calibration,
            parts.calibration_groups,
        )
    outputs = model.logits(parts.tables["test"].sequences)
    metrics, _, _ = score_outputs(
        parts.task, outputs, parts.labels["test"], calibrator, seed, parts.test_groups
    )
    return metrics


def _notes_on_length(parts: LabelledParts) -> list[str]:
    """Tell how many test rows the baselines see only the head of."""
    longest = max(map(len, parts.tables["train"].sequences))
    test = parts.tables["test"].sequences
    longer = sum(len(sequence) > longest for sequence in test)
    if not longer:
        return []
    return [
        f"{longer:,} of {len(test):,} test rows are longer than the longest training row: of these "
        f"the baselines see only the first {longest:,} bp, position by position"
    ]
