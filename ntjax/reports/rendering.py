"""Pages from templates: everything that comes from data is escaped, and numbers keep all digits."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ntjax.io.files import write_bytes

IN_UNITS = ("rmse", "mae")
"""Metrics in the units of the user's values: three digits, wherever the point stands."""


def write_html(file: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write one self-contained page.

    Arguments:
        file: the page.
        template: its name in `templates/`.
        content: what the template names.

    Raises:
        UserError: the file cannot be written.
    """
    text = _environment().get_template(template).render(content)
    write_bytes(file, text.encode())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ntjax.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a name that is misspelt fails the tests, not the reader
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "estimate": estimate, "count": count}
    return environment


def number(value: float | None, metric: str = "", sign: bool = False) -> Markup:
    """Show a number, rounded; the page keeps its full value in `<data value>`.

    >>> print(number(0.98765))
    <data value="0.98765">0.988</data>

    Arguments:
        value: None where it is undefined.
        metric: its name; errors in the user's units have three digits, others three decimals.
        sign: whether + is shown too.
    """
    if value is None:
        return Markup("–")
    shown = rounded(value, metric, sign).replace("-", "−")  # a minus as wide as the plus
    return Markup('<data value="{}">{}</data>').format(repr(float(value)), shown)


def rounded(value: float | None, metric: str = "", sign: bool = False) -> str:
    """Round as `number` does, to plain text."""
    if value is None:
        return "–"
    style = ("+" if sign else "") + (".3g" if metric in IN_UNITS else ".3f")
    return f"{value:{style}}"


def estimate(found: Mapping[str, Any] | None, metric: str = "", sign: bool = False) -> Markup:
    """Show a value with its interval, or alone where it has none."""
    if found is None:
        return Markup("–")
    value = number(found["value"], metric, sign)
    if found.get("low") is None:
        return value
    ends = [number(found[end], metric, sign) for end in ("low", "high")]
    return Markup('{} <span class="interval">[{}, {}]</span>').format(value, *ends)


def count(value: int) -> Markup:
    """Show a whole number, thousands set off."""
    return Markup('<data value="{}">{}</data>').format(int(value), f"{int(value):,}")
