"""What the study's pictures show, read off the drawing."""

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
from ntjax.reports.figures import draw_spreads, new_picture


@pytest.mark.parametrize(("spreads", "drawn"), [([None, 0.1, 0.0], [1, 2]), ([None] * 3, [])])
def test_one_seed_has_no_error_bar(spreads, drawn):
    """None is unknown and draws nothing, unlike no spread at all."""
    _, [[axes]] = new_picture()
    draw_spreads(axes, [0, 1, 2], [1.0, 1.0, 1.0], spreads)
    segments = [one for bars in axes.collections for one in bars.get_segments()]
    assert [float(segment[0][0]) for segment in segments] == drawn
