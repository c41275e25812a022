"""What a task is: how labels become numbers, what the head puts out, and how it is judged.

A new kind of task is one new file with a subclass of `Task`, and its line in the registry of
`ntjax.tasks`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import numpy as np

if TYPE_CHECKING:  # reading tables loads more than a task needs
    from ntjax.calibration import Calibration
    from ntjax.io.tables import SequenceTable

FEWEST_IN_A_STRATUM = 20


class Task(ABC):
    """What labels mean; each kind is a frozen dataclass.

    Attributes:
        outputs: names of the head's outputs, in their order.
        kind: the task's name, as in `--task`.
        has_probabilities: whether `values` are probabilities.
        selectable: validation metrics that can choose a checkpoint, the loss first.
        select: the one that does unless another is asked for.
        shown: test metrics that are printed.
        problem_type: the name that transformers has for such a task.
        all_alike: what is wrong with rows that cannot tell models apart, and which rows can.
        every_class: whether a split must have rows of every stratum in every part.
    """

    outputs: tuple[str, ...]
    kind: ClassVar[str]
    has_probabilities: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]]
    select: ClassVar[str]
    shown: ClassVar[tuple[str, ...]]
    problem_type: ClassVar[str]
    all_alike: ClassVar[tuple[str, str]]
    every_class: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, table: "SequenceTable", columns: Sequence[str], positive_class: str = "") -> Self:
        """Return the task that a table's labels make."""

    @classmethod
    @abstractmethod
    def from_dict(cls, saved: Mapping[str, Any], outputs: Sequence[str]) -> Self:
        """Rebuild what `to_dict` gave.

        Raises:
            ValueError: unknown keys, or outputs that do not go with the kind.
        """

    @abstractmethod
    def encode(self, table: "SequenceTable") -> np.ndarray:
        """Turn a table's labels into numbers, [rows] or [rows, labels]."""

    def fitted(self, labels: np.ndarray, source: str) -> Self:
        """Return the task once the training rows are known."""
        del labels, source
        return self

    @abstractmethod
    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Return what the loss compares the outputs with, [rows] or [rows, labels]."""

    @abstractmethod
    def strata(self, labels: np.ndarray) -> np.ndarray:
        """Return what a split should balance, [rows]."""

    @abstractmethod
    def varies(self, labels: np.ndarray) -> bool:
        """Tell whether metrics of these rows can tell one model from another."""

    @abstractmethod
    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Turn the head's outputs into what a user reads: probabilities, or values [rows]."""

    @staticmethod
    @abstractmethod
    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Return the loss of each row, [rows]."""

    @staticmethod
    @abstractmethod
    def validation_scores(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
        """Return the loss and the metrics that can choose a checkpoint.

        Arguments:
            outputs: of the head, [rows, outputs].
            targets: what the loss compares them with, as from `targets`.
        """

    def calls(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return class numbers [rows] by the task's threshold; None where the likeliest counts."""
        del outputs
        return None

    @abstractmethod
    def score(
        self,
        labels: np.ndarray,
        values: np.ndarray,
        seed: int,
        groups: np.ndarray | None,
        called: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Return metrics with their intervals.

        Arguments:
            labels: as the task encodes them.
            values: probabilities, or values of a regression.
            seed: of what is drawn at random.
            groups: [rows], related rows share a number; None for none.
            called: of `calls`.
        """

    @abstractmethod
    def calibration(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        method: str = "auto",
        groups: np.ndarray | None = None,
    ) -> "Calibration | None":
        """Fit a calibration on these rows, the identity if none helps; None if none can be had.

        Raises:
            UserError: the rows are too few, or all alike.
        """

    @abstractmethod
    def described(self) -> str:
        """Describe the outputs, for a reader."""

    @abstractmethod
    def label_columns(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the columns of `predictions.csv` that hold the labels as they were given."""

    @abstractmethod
    def value_columns(
        self, outputs: np.ndarray, values: np.ndarray, calibrated: np.ndarray | None
    ) -> dict[str, Any]:
        """Return the columns of predictions.

        Arguments:
            outputs: of the head, [rows, outputs].
            values: of `values`.
            calibrated: the same calibrated, or None.
        """

    def occurrences(self, labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are known for an output, and which are of it, both bool [rows]."""
        return np.ones(len(labels), bool), labels == number

    def to_dict(self) -> dict[str, Any]:
        """Return the kind and its numbers, ready for JSON; the outputs' names stand beside it."""
        return {"kind": self.kind}


def named_columns(
    names: Sequence[str], columns: Mapping[str, np.ndarray | None]
) -> dict[str, np.ndarray | float]:
    """Name each column by the class or label it is of: `probability[NAME]`.

    Arguments:
        names: of the outputs.
        columns: [rows, outputs] by what they hold; None for empty cells.
    """
    return {
        f"{kind}[{name}]": np.nan if values is None else values[:, number]
        for kind, values in columns.items()
        for number, name in enumerate(names)
    }
