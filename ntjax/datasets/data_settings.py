"""The settings that say which rows a run learns from and is scored on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataSettings:
    """Rows, labels and how they are split. None stands for 'choose for me'."""

    task: Literal["classification", "multilabel", "regression"] = "classification"
    """What a row's label is: one class, several binary labels, or a number."""
    train: str | None = None
    """CSV, TSV, Parquet or FASTA file (gzip or not), or a data set (ecoli_promoters,
    ecoli_coding_strand, simulated_sigma70, nt:TASK, nt-revised:TASK). Default:
    ecoli_coding_strand for mini, ecoli_promoters for the others."""
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
    """Column of the labels. For --task multilabel: a comma-separated list of columns that hold 1, 0
    or nothing (unknown)."""
    name_column: str = "name"
    """Column of the names, which may be missing."""
    group_column: str = ""
    """Column that says which rows belong together (a gene, a family, a chromosome), besides those
    that share sequence: they go to one part of the split, and count as one in intervals."""
    positive_class: str = ""
    """Name of the positive class, of two. Default: the second in numerical or alphabetical
    order."""
    ambiguous: Literal["refuse", "n"] = "refuse"
    """IUPAC codes for several bases, such as R: refuse the file, or read them as N (n)."""
    validation_fraction: float = 0.05
    """Share of the training rows that chooses the checkpoint, unless --validation is given."""
    calibration_fraction: float | None = None
    """Share of the training rows that is kept apart to calibrate the probabilities; 0 for none.
    Default: a tenth, or more for 100 rows with 30 of each class; none where that is more than a
    third."""
    test_fraction: float = 0.1
    """Share of the rows that is kept apart for the test, unless there is a test set."""
    folds: int = 0
    """Cross-validate in this many folds of related rows, trained as one population; 0 for one
    split."""
    fold: int | None = None
    """Train this fold of --folds alone, counted from 0. Default: all of them."""
    fold_protocol: Literal["pooled", "official"] = "pooled"
    """What a fold is: the test rows of its run (pooled), or its validation rows beside one test set
    (official: the protocol of the Nucleotide Transformer's paper)."""
    augment_reverse_complement: Literal["none", "same", "flip-label"] | None = None
    """Also learn from the reverse complement of every training row: a row of the same label, or of
    the other one of two classes (flip-label). Baselines do so too. Default: what is known of the
    data set, else none."""
    average_strands: bool | None = None
    """Average the outputs of both strands of a row, wherever the run predicts: twice the time.
    Default: True with --augment-reverse-complement."""
    seed: int = 0
    """Random seed of the split, initial values, order of rows, dropout and bootstrap."""
    split_seed: int | None = None
    """Random seed of the split (default: --seed). Fix it so that runs with different seeds share
    their test rows."""
    calibration: Literal["auto", "platt", "temperature", "isotonic"] = "auto"
    """How probabilities are calibrated. auto: Platt scaling of two classes (and of each label),
    temperature scaling of more. isotonic needs 100 rows at least."""

    @property
    def cross_validates(self) -> bool:
        """Whether these are the settings of all folds, and of no single run."""
        return self.folds != 0 and self.fold is None

    @property
    def seed_of_the_split(self) -> int:
        """The seed that rows are split with."""
        return self.seed if self.split_seed is None else self.split_seed

    def label_columns(self) -> tuple[str, ...]:
        """Return the columns that hold the labels."""
        if self.task != "multilabel":
            return (self.label_column,)
        return tuple(name.strip() for name in self.label_column.split(","))
