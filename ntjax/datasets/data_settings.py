"""The settings that say which rows a run learns from and is scored on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataSettings:
    """Rows, labels and how they are split. None stands for 'choose for me'."""

    task: Literal["classification", "multilabel", "regression"] = "classification"
    """One of several classes a row, several labels a row that are 0 or 1 each, or a number."""
    train: str | None = None
    """CSV, TSV, Parquet or FASTA file (gzip or not), or a data set (ecoli_promoters,
    simulated_sigma70). Chosen: simulated_sigma70 for mini, ecoli_promoters for the others."""
    validation: str | None = None
    """File whose rows choose the checkpoint. Otherwise set aside from the training rows."""
    test: str | None = None
    """File whose rows are scored in the end. Otherwise the data set's, or set aside."""
    protocol: Literal["clean", "published"] = "clean"
    """For data sets whose published test rows overlap the training rows: remove the overlap
    ('clean') or keep it ('published')."""
    sequence_column: str = "sequence"
    """Column of the sequences."""
    label_column: str = "label"
    """Column of the labels. For --task multilabel: the columns, with commas between, each of them
    1, 0, or empty where it is not known."""
    name_column: str = "name"
    """Column of the names, which may be missing."""
    positive_class: str = ""
    """Of two classes the positive one. Otherwise the second, by alphabet or number."""
    ambiguous: Literal["refuse", "n"] = "refuse"
    """IUPAC codes for several bases, such as R: refuse the file, or read them as N (n)."""
    validation_fraction: float = 0.05
    """Share of the training rows that chooses the checkpoint, unless --validation is given."""
    calibration_fraction: float = 0.05
    """Share of the training rows that is kept apart to calibrate the probabilities."""
    test_fraction: float = 0.1
    """Share of the rows that is kept apart for the test, unless there is a test set."""
    seed: int = 0
    """Of everything random: split, initial values, order of rows, dropout, bootstrap."""
    split_seed: int | None = None
    """Seed of the split into parts. Otherwise --seed; with one, runs of several seeds are
    scored on the same test rows."""
    calibration: Literal["auto", "platt", "temperature", "isotonic"] = "auto"
    """How probabilities are calibrated. auto: Platt scaling of two classes (and of each label),
    temperature scaling of more. isotonic needs 100 rows at least."""

    @property
    def seed_of_the_split(self) -> int:
        """The seed that rows are split with."""
        return self.seed if self.split_seed is None else self.split_seed

    def label_columns(self) -> tuple[str, ...]:
        """Return the columns that hold the labels."""
        if self.task != "multilabel":
            return (self.label_column,)
        return tuple(name.strip() for name in self.label_column.split(","))
