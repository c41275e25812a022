"""What a claim, and what was measured of it, are made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

NOT_HERE = "not testable here"

Records = dict[str, dict[str, Any]]
"""Results by name: of the study's sections, and of `passes`."""


class Finding(NamedTuple):
    """What was measured of a claim.

    Attributes:
        number: the one number that the verdict rests on, short.
        verdict: on the claim, short.
        detail: all that was measured, a sentence or two.
    """

    number: str
    verdict: str
    detail: str


class Claim(NamedTuple):
    """A claim of the report.

    Attributes:
        text: what it says.
        sections: whose results the finding is made of.
        finding: of those sections' results; takes all of the records.
    """

    text: str
    sections: tuple[str, ...]
    finding: Callable[[Records], Finding]
