"""The rows of the study: the published task in its protocols, the main run on it, and tables."""

from pathlib import Path

import numpy as np

from experiments.promoters.study import Rows, Study, trained
from ntjax.data import table_output
from ntjax.data.datasets import load_dataset
from ntjax.data.tables import SequenceTable

DATASET = "ecoli_promoters"
# What is left out of the training rows: nothing; rows that share a 16-mer with a test row.
PROTOCOLS = ("published", "clean")


def protocol_rows(study: Study, protocol: str) -> Rows:
    """The published training rows as a protocol leaves them, and the published test rows."""
    folder = study.runs_folder / "rows" / protocol
    splits = load_dataset(DATASET, protocol)
    train = write_table(folder / "train.csv", splits.train)
    return Rows(protocol, train, write_table(folder / "test.csv", splits.test))


def main_run(study: Study) -> Path:
    """Folder of the run that several sections look at: LoRA on the clean rows."""
    return trained(study, protocol_rows(study, "clean"), "lora", **study.lora(study.main_steps))


def write_table(path: Path, table: SequenceTable) -> str:
    """`name,sequence,label`, unless the file is there; returns its path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        table_output.write_table(path, table)
    return str(path)


def labels_of(table: SequenceTable) -> np.ndarray:
    """1 for promoters, 0 for others, int64 [rows]."""
    return np.array([int(label) for label in table.labels])


def promoters_of(table: SequenceTable) -> list[str]:
    """Its sequences of label 1."""
    rows = zip(table.sequences, table.labels, strict=True)
    return [sequence for sequence, label in rows if label == "1"]
