"""What is known of a named data set, and its rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ntjax.datasets.remote_files import RemoteFile
from ntjax.datasets.reverse_complements import ReverseComplement
from ntjax.genomes.windows import RecordedWindows
from ntjax.io.tables import SequenceTable

Protocol = Literal["clean", "published"]


@dataclass(frozen=True)
class DatasetSplits:
    """A data set ready for use."""

    name: str
    protocol: Protocol
    train: SequenceTable
    test: SequenceTable
    description: str
    notes: tuple[str, ...]
    """What was removed and why, with counts, and what to keep in mind about the result."""
    validation: SequenceTable | None = None
    """Rows that choose the checkpoint; None where they are set aside from the training rows."""
    calibration: SequenceTable | None = None
    """Rows that fit the calibration; None where they are set aside from the training rows."""


@dataclass(frozen=True)
class Dataset:
    """A named data set: what it is, and how to make it ready."""

    name: str
    description: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]
    """Training, then test file; empty for data that are bundled or made."""
    load: Callable[["Dataset", Protocol], DatasetSplits]
    reverse_complement: ReverseComplement = "none"
    """Whether the reverse complement of a row is a row of the same label, or of the other one."""
    windows: RecordedWindows | None = None
    """Where the site lies in a row, and what the negatives are; None of rows without a site."""
