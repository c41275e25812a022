"""What a run does with the two strands of a sequence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

from ntjax.datasets.reverse_complements import ReverseComplement


@dataclass(frozen=True)
class Strands:
    """What a run does with the two strands of a sequence.

    Attributes:
        reverse_complement: what the reverse complement of a row is, if the run learned from it.
        average: whether outputs are those of both strands, averaged.
    """

    reverse_complement: ReverseComplement = "none"
    average: bool = False

    @property
    def read(self) -> str:
        """What outputs are of, for messages."""
        return "both strands, averaged" if self.average else "the forward strand alone"

    def are(self, average: bool | None) -> bool:
        """Tell whether outputs so asked for are those of the run; None asks for these."""
        return average in (None, self.average)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Rebuild what `dataclasses.asdict` gave.

        Raises:
            ValueError: other keys or values than those of a run.
        """
        strands = cls(**saved)
        known = get_args(ReverseComplement)
        if strands.reverse_complement not in known or not isinstance(strands.average, bool):
            raise ValueError(f"strands are {dict(saved)}")
        return strands


ONE_STRAND = Strands()
