"""Tables as Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], align: str = ""
) -> list[str]:
    """Write a table, a line of text for each row.

    >>> print(*markdown_table(["model", "AUROC"], [["CNN", "0.919"]], align="lr"), sep="\\n")
    | model | AUROC |
    |---|---:|
    | CNN | 0.919 |

    Arguments:
        heads: of the columns.
        rows: cells, as many as columns.
        align: a letter a column, `l` or `r`; left where it says nothing.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """
    rows = [list(row) for row in rows]
    if wrong := [row for row in rows if len(row) != len(heads)]:
        raise ValueError(f"{len(heads)} columns, but a row of {len(wrong[0])} cells: {wrong[0]}")
    rule = "".join("|---:" if side == "r" else "|---" for side in align.ljust(len(heads), "l"))
    return [_line(heads), f"{rule}|", *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
