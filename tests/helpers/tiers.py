"""The tiers of the tests: what the default run leaves to CI (`markers` in pyproject.toml)."""

from collections.abc import Sequence
from typing import Any

import pytest


def first_by_default(cases: Sequence[Any], tier: str = "compiled") -> list[Any]:
    """Leave all cases of a parametrised test but the first to a slower tier.

    Arguments:
        cases: of `pytest.mark.parametrize`; with several names a tuple each.
        tier: the marker of the others.
    """
    first, *others = cases
    mark = getattr(pytest.mark, tier)
    return [
        first,
        *(pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=mark) for c in others),
    ]
