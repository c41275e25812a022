"""How pages call things: adapters, metrics, parts of the data."""

ADAPTERS = {
    "ia3": "IA³",
    "lora": "LoRA",
    "bitfit": "BitFit",
    "full": "all weights",
    "head": "the head alone",
}

PARTS = {
    "train": "train adapter and head",
    "validation": "choose the step that is kept",
    "calibration": "calibrate the probabilities",
    "test": "are scored, once, in the end",
}

METRICS: dict[str, tuple[str, str]] = {
    "auroc": ("AUROC", "chance that a random positive row scores above a random negative one"),
    "auprc": ("AUPRC", "average precision over all thresholds"),
    "accuracy": ("accuracy", "share of rows called correctly"),
    "mcc": ("MCC", "correlation of calls and labels; 0 is chance"),
    "sensitivity": ("sensitivity", "share of positives that are called positive"),
    "specificity": ("specificity", "share of negatives that are called negative"),
    "precision": ("precision", "share of positive calls that are correct"),
    "npv": ("NPV", "share of negative calls that are correct"),
    "f1": ("F1", "harmonic mean of precision and sensitivity"),
    "micro_f1": ("micro-F1", "F1 of all labels of all rows together"),
    "subset_accuracy": ("subset accuracy", "share of rows with every label called correctly"),
    "brier": ("Brier score", "mean squared error of the probabilities; lower is better"),
    "ece": ("ECE", "mean gap between probability and share, ten bins; lower is better"),
    "calibration_error": (
        "calibration error",
        "mean squared gap between probability and share, less what chance adds",
    ),
    "pearson": ("Pearson's r", "linear correlation"),
    "spearman": ("Spearman's ρ", "correlation of the ranks"),
    "r2": ("R²", "share of the variance that is predicted; at or below 0: no better than the mean"),
    "rmse": ("RMSE", "root of the mean squared error, in units of the value; lower is better"),
    "mae": ("MAE", "mean absolute error, in units of the value; lower is better"),
    "loss": ("loss", ""),
}

HEADLINE = {"classification": "auroc", "multilabel": "auroc", "regression": "r2"}
"""The metric that the first sentence of a page gives, by kind of task."""


def metric_name(metric: str) -> str:
    """Name a metric for a reader.

    >>> metric_name("auroc")
    'AUROC'
    """
    return METRICS.get(metric, (metric, ""))[0]


def adapter_name(kind: str) -> str:
    """Name a kind of adapter for a reader."""
    return ADAPTERS.get(kind, kind)


def listed(names: list[str], most: int = 8) -> str:
    """List names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1:,} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
