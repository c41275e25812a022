"""What others have published on these promoters: the report's own runs, and earlier tools.

The report (M. Nagyal, "Bacterial DNA in the spotlight", 2024) calls precision and negative
predictive value "sensitivity" and "specificity" (the arguments of its confusion matrix are
swapped), and scored 1,856 of the 1,865 test rows. What is given here is recomputed with the
textbook's definitions. Its curves are read from the files it published beside its code.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ntjax.datasets.remote_files import DATA_FOLDER_VARIABLE

FOLDER = "promoters/prokprompred/published"
_SMALL, _LARGE = "nucleotide-transformer-500m-1000g", "nucleotide-transformer-2.5b"


@dataclass(frozen=True)
class Result:
    """Metrics on the 865 promoters and 1,000 random sequences; None where none was published."""

    name: str
    accuracy: float
    mcc: float
    sensitivity: float | None = None
    specificity: float | None = None


# The report's Table of runs, sensitivity and specificity by the textbook.
REPORT = (
    Result("500M-1000G, 1,000 steps", 0.735, 0.472, 0.751, 0.722),
    Result("500M-1000G, 10,000 steps", 0.780, 0.565, 0.830, 0.736),
    Result("500M-1000G, dropout 0.4, r 32, α 1, 10,000 steps", 0.814, 0.628, 0.832, 0.797),
    Result("500M-1000G, 10,000 steps, then E. coli 10,000", 0.727, 0.486, 0.875, 0.597),
    Result("2.5B-1000G, 1,000 steps", 0.727, 0.450),
    Result("2.5B-multi-species, 1,000 steps", 0.734, 0.466),
)
THOUSAND, TEN_THOUSAND, BEST, TWO_STAGES, LARGE, LARGE_MULTI_SPECIES = REPORT
# Cassiano & Silva-Rocha 2020, mSystems 5:e00439-20; their training sets overlap the test set too.
TOOLS = (
    Result("iPro70-FMWin", 0.76, 0.53, 0.84, 0.69),
    Result("70ProPred", 0.74, 0.51, 0.90, 0.60),
    Result("CNNProm", 0.72, 0.50, 0.95, 0.51),
    Result("iPromoter-2L", 0.64, 0.37, 0.94, 0.37),
    Result("BPROM", 0.56, 0.10, 0.20, 0.87),
    Result("MULTiPly", 0.50, 0.05, 0.81, 0.23),
    Result("IBPP", 0.50, -0.03, 0.26, 0.71),
    Result("bTSSfinder", 0.46, -0.07, 0.48, 0.45),
)
MODEL_CURVES = {
    "500M-1000G": _SMALL,
    "2.5B-1000G": f"{_LARGE}-1000g",
    "2.5B-multi-species": f"{_LARGE}-multi-species",
}
DROPOUT_CURVES = {f"0.{tenth}": f"D_0.{tenth}_InstaDeepAI_{_SMALL}" for tenth in range(1, 10)}
STAGE_CURVES = {
    "10,000 steps": f"{_SMALL}_10000steps",
    "10,000 steps, then E. coli 1,000": f"{_SMALL}_finetuned-10000steps-finetuned-1000steps-",
    "10,000 steps, then E. coli 10,000": f"{_SMALL}_finetuned-10000steps-finetuned-10000steps-",
    "dropout 0.4, r 32, α 1, 10,000 steps": f"D_0.4_MS_10000_r_32_a_1_InstaDeepAI_{_SMALL}",
}


def validation_accuracy(stem: str) -> tuple[list[int], list[float]] | None:
    """Steps and validation accuracies of one of the report's runs; None without its files.

    Arguments:
        stem: what the names of the run's files begin with.
    """
    path = _file(stem, "validation_history")
    if path is None:
        return None
    table = pd.read_csv(path).dropna(subset="eval_ACCURACY")
    return table["step"].astype(int).tolist(), table["eval_ACCURACY"].tolist()


def test_accuracy(stem: str) -> float | None:
    """The test accuracy that the report published of a run; None without its files."""
    path = _file(stem, "test_results")
    return (
        None if path is None else float(pd.read_csv(path, index_col=0).loc["eval_ACCURACY"].iloc[0])
    )


def _file(stem: str, kind: str) -> Path | None:
    folder = os.environ.get(DATA_FOLDER_VARIABLE)
    if not folder:
        return None
    joint = "" if stem.endswith("-") else "_"
    path = Path(folder) / FOLDER / f"{stem}{joint}{kind}.csv"
    return path if path.exists() else None
