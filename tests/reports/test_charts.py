"""Axes with round ticks that hold every value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntjax.reports.charts import Axis, Chart, Series

numbers = st.floats(-1e9, 1e9, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(st.lists(numbers, min_size=1, max_size=5), st.integers(2, 8))
def test_an_axis_holds_its_values_between_round_ticks(values, ticks):
    axis = Axis.over("x", values, ticks=ticks)
    slack = 1e-6 * axis.step
    assert axis.low <= min(values) + slack
    assert max(values) - slack <= axis.high
    assert 2 <= len(axis.ticks) <= ticks + 1
    mantissa = axis.step / 10 ** np.floor(np.log10(axis.step) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 2.5, 5, 10)) < 1e-6


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0, 5000], ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
        ([-0.2, 0.3], ["-0.2", "-0.1", "0.0", "0.1", "0.2", "0.3"]),
        ([0, 0.125], ["0.000", "0.025", "0.050", "0.075", "0.100", "0.125"]),
    ],
)
def test_what_is_written_beside_ticks(values, expected):
    assert [text for _, text in Axis.over("x", values).ticks] == expected


def test_points_are_drawn_within_the_axes():
    x, y = Axis.over("step", [0, 300]), Axis.over("loss", [0.1, 0.9], low=0.0)
    series = Series("", ((0.0, 0.1), (300.0, 0.9)))
    chart = Chart("title", "text", x, y, (series,), (300.0, "kept: step 300"))
    assert (chart.across(0), chart.across(300)) == (pytest.approx(chart.left, abs=0.1), chart.right)
    assert chart.up(0) == chart.bottom
    assert chart.anchor(300.0) == "end"
    assert chart.anchor(0.0) == "start"
    first, last = (tuple(map(float, point.split(","))) for point in chart.path(series).split())
    assert first[0] < last[0] <= chart.right
    assert first[1] > last[1] >= chart.top
