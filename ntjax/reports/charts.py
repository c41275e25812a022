"""Small charts as inline SVG: their axes and geometry; `templates/charts.html` draws them.

A report is written after every run, also where matplotlib is not installed, and has to follow the
reader's colours (dark, print): both are simpler with a few lines of SVG than with a picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_CHARACTER = 6.3
"""Width of a character of a tick's label, in the units of the view box."""
_TICK_ROOM = 26
"""Beside an axis without another at its ends: half of a tick's label stands there."""


@dataclass(frozen=True)
class Axis:
    """One axis with round ticks.

    Attributes:
        label: what is measured, with its unit.
        low: the value at its start, a tick.
        high: the value at its end, a tick.
        step: between two ticks.
    """

    label: str
    low: float
    high: float
    step: float

    @classmethod
    def over(
        cls,
        label: str,
        values: Sequence[float],
        low: float | None = None,
        high: float | None = None,
        ticks: int = 5,
    ) -> "Axis":
        """Return an axis that holds finite values, with `ticks` intervals between ticks at most.

        >>> Axis.over("steps", [10, 287]).ticks
        [(0.0, '0'), (100.0, '100'), (200.0, '200'), (300.0, '300')]

        Arguments:
            label: what is measured.
            values: at least one.
            low: where the axis begins at the latest.
            high: where it ends at the earliest.
            ticks: most intervals.
        """
        known = [value for value in (*values, low, high) if value is not None]
        first, last = min(known), max(known)
        if first == last:
            first, last = first - abs(first) * 0.1 - 1e-9, last + abs(last) * 0.1 + 1e-9
        step = next(
            size
            for power in range(math.floor(math.log10((last - first) / ticks)), 400)
            for size in (factor * 10.0**power for factor in _STEPS)
            if _intervals(first, last, size) <= ticks
        )
        return cls(label, _down(first, step) * step, _up(last, step) * step, step)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Values of the ticks and what is written beside them."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + number * self.step for number in range(count + 1)]
        return [(value, self._written(value)) for value in values]

    def _written(self, value: float) -> str:
        if max(abs(self.low), abs(self.high)) >= 1e6 or self.step < 1e-4:
            return f"{value:.3g}"
        decimals = next(d for d in range(9) if _is_whole(self.step * 10**d))
        text = f"{value:,.{decimals}f}"
        return text.removeprefix("-") if abs(value) < self.step / 2 else text


def _intervals(first: float, last: float, step: float) -> int:
    return _up(last, step) - _down(first, step)


def _down(value: float, step: float) -> int:
    return math.floor(value / step + 1e-9)


def _up(value: float, step: float) -> int:
    return math.ceil(value / step - 1e-9)


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


@dataclass(frozen=True)
class Series:
    """Points of one kind, [(x, y)], and how they are drawn.

    Attributes:
        name: for the legend; "" for none.
        points: x and y, finite.
        colour: number of the colour, or -1 for that of lines that only guide the eye.
        dash: number of the dash pattern.
        line: whether the points are joined.
        dots: whether each is marked.
        bars: of each point the ends of its interval, both None where it has none.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dash: int = 0
    line: bool = True
    dots: bool = True
    bars: tuple[tuple[float | None, float | None], ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart: two axes and what is drawn between them.

    Attributes:
        title: what it shows, a line.
        text: what a reader sees in it, for those who cannot see it.
        x: the horizontal axis.
        y: the vertical axis.
        series: drawn in this order.
        mark: x of a vertical line, and what it says.
    """

    title: str
    text: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    mark: tuple[float, str] | None = None
    width: int = 360
    height: int = 250

    @property
    def left(self) -> float:
        """Where the horizontal axis begins."""
        return 30 + _CHARACTER * max(len(text) for _, text in self.y.ticks)

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.width - 16

    @property
    def top(self) -> float:
        """Where the vertical axis ends."""
        return 14.0 if self.mark is None else 26.0

    @property
    def bottom(self) -> float:
        """Where it begins."""
        return self.height - 42

    def across(self, value: float) -> float:
        """Where a value of the horizontal axis is drawn."""
        share = (value - self.x.low) / (self.x.high - self.x.low)
        return round(self.left + share * (self.right - self.left), 1)

    def up(self, value: float) -> float:
        """Where a value of the vertical axis is drawn."""
        share = (value - self.y.low) / (self.y.high - self.y.low)
        return round(self.bottom - share * (self.bottom - self.top), 1)

    def path(self, series: Series) -> str:
        """The points of a series, as SVG wants them."""
        return " ".join(f"{self.across(x)},{self.up(y)}" for x, y in series.points)

    def anchor(self, value: float) -> str:
        """On which side of its place a text stands, so that it is not clipped."""
        share = (self.across(value) - self.left) / (self.right - self.left)
        return "start" if share < 0.25 else "end" if share > 0.75 else "middle"


@dataclass(frozen=True)
class IntervalChart:
    """A line for each name: a difference and its interval, beside a line at 0.

    Attributes:
        title: what it shows.
        text: what a reader sees in it, for those who cannot see it.
        x: the axis.
        rows: name, value, and the ends of its interval; None where there is none.
    """

    title: str
    text: str
    x: Axis
    rows: tuple[tuple[str, float | None, float | None, float | None], ...]
    width: int = 360
    top: int = 4

    @property
    def height(self) -> int:
        """Room for the rows and the axis."""
        return 52 + 34 * len(self.rows)

    @property
    def bottom(self) -> int:
        """Where the axis is."""
        return self.height - 42

    def line(self, number: int) -> int:
        """How far down the interval of a row is; its name stands above it."""
        return 24 + 34 * number

    def across(self, value: float) -> float:
        """Where a value is drawn."""
        share = (value - self.x.low) / (self.x.high - self.x.low)
        return round(_TICK_ROOM + share * (self.width - 2 * _TICK_ROOM), 1)
