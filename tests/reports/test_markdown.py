"""Markdown tables."""

import pytest

from ntjax.reports.markdown import markdown_table


def test_a_table():
    lines = markdown_table(["", "a", "b"], iter([("x", "1", "2"), ["y", "3", "4"]]), align="lr")
    assert lines == ["|  | a | b |", "|---|---:|---|", "| x | 1 | 2 |", "| y | 3 | 4 |"]
    assert markdown_table(["a"], []) == ["| a |", "|---|"]


def test_a_row_of_another_length():
    with pytest.raises(ValueError, match="2 columns, but a row of 1 cells"):
        markdown_table(["a", "b"], [["x"]])
