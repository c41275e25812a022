"""How many of the training rows are kept apart to calibrate the probabilities."""

import numpy as np

from ntjax.tasks import Classification, Task

SHARE = 0.1
ROWS = 100
ROWS_OF_EACH_CLASS = 30
ROWS_OF_VALUES = 20
LARGEST_SHARE = 1 / 3


def calibration_share(task: Task, labels: np.ndarray, source: str) -> tuple[float, str]:
    """Choose the share of the rows that calibrates: a tenth, or more where that is few rows.

    Probabilities need 100 rows, and 30 of each class: of fewer, what is fitted to them changes
    new rows for the worse about as often as for the better. The interval of a measured value
    holds however few rows it is from, and gets 20. Where that would be more than a third of the
    rows, they are needed more for training.

    >>> labels = np.arange(2_000) % 2
    >>> calibration_share(Classification(("no", "yes")), labels, "x.csv")
    (0.1, '')
    >>> calibration_share(Classification(("no", "yes")), labels[:500], "x.csv")
    (0.2, '')
    >>> calibration_share(Classification(("no", "yes")), labels[:200], "x.csv")[0]
    0.0

    Arguments:
        task: what the labels mean.
        labels: of all rows that parts are set aside from, [rows] or [rows, labels].
        source: name of their file.

    Returns:
        The share, 0 where it would be too large, and then a note that says so.
    """
    wanted = ROWS if task.has_probabilities else ROWS_OF_VALUES
    needed, kind = wanted / len(labels), f"{wanted} rows"
    if isinstance(task, Classification):
        rarest = int(np.bincount(labels, minlength=len(task.outputs)).min())
        of_class = ROWS_OF_EACH_CLASS / max(rarest, 1)
        needed, kind = max(needed, of_class), f"{kind}, {ROWS_OF_EACH_CLASS} of each class,"
    share = max(SHARE, needed)
    if share <= LARGEST_SHARE:
        return share, ""
    what = "the model is not calibrated" if task.has_probabilities else "values have no interval"
    return 0.0, (
        f"{what}: {kind} set aside for that would be more than a third of the {len(labels):,} "
        f"rows of {source}; --calibration-fraction sets some aside all the same"
    )
