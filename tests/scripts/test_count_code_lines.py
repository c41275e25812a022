"""The count of lines of code, by which the package is kept small."""

import subprocess

import count_code_lines
import pytest

SOURCE = '''"""A docstring
over two lines."""

# A comment.
X = 1  # a line of code

def f(a):
    """Another docstring."""
    text = """a string
    over two lines"""
    return (a,

            text)

class A:
    x: int
    """The help of a field."""
'''


def test_docstrings_comments_and_blank_lines_do_not_count():
    # X, def, text (2), return, text), class, x, the help of a field.
    assert count_code_lines.code_lines(SOURCE) == 9


def test_rooms_and_the_total():
    counts = count_code_lines.lines_by_room(
        {"ntjax/io/a.py": "x = 1\n", "ntjax/io/b/c.py": "x = 1\ny = 2\n", "ntjax/d.py": "z = 3\n"}
    )
    assert counts == {"io": 3, "(commands)": 1}
    assert count_code_lines.table(counts).splitlines()[-1] == "| total | 4 |"
    before = count_code_lines.Counter({"io": 5, "old": 2})
    assert count_code_lines.table(counts, before).splitlines()[2:] == [
        "| (commands) | 1 | 0 | +1 |",
        "| io | 3 | 5 | -2 |",
        "| old | 0 | 2 | -2 |",
        "| total | 4 | 7 | -3 |",
    ]


def test_the_count_of_a_known_revision():
    try:
        modules = count_code_lines.revision("d613a6e")
    except subprocess.CalledProcessError:
        pytest.skip("this checkout has no history")
    assert sum(count_code_lines.lines_by_room(modules).values()) == 13_659


def test_functions_by_name_wherever_they_are():
    before = {"ntjax/a.py": 'def _f(x):\n    """Docs."""\n    return x\n\ndef g(): pass\n'}
    now = {
        "ntjax/io/b.py": "@cache\ndef f(x):\n    y = x\n    return y\n",
        "ntjax/c.py": "class _A:\n    def h(self):\n        return 1\n",
    }
    counts = [count_code_lines.lines_by_function(modules) for modules in (now, before)]
    assert counts == [{"f": 4, "A.h": 2}, {"f": 2, "g": 1}]
    assert count_code_lines.functions_since(*counts) == (
        "functions: 1 of 2 are there by the same name, with 4 lines of code; they had 2, all "
        "together 3. New ones have 2."
    )
