"""Count the lines of code of each room of `ntjax/`, without docstrings, comments and blank lines.

python scripts/count_code_lines.py
python scripts/count_code_lines.py --against d613a6e

A line counts if a token of code stands on it or runs over it: a string over three lines is three
lines, unless it is the docstring of a module, a class or a function. The string under a field of a
dataclass counts, because it is the help that a command prints.
"""

import argparse
import ast
import io
import subprocess
import tarfile
import textwrap
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ntjax.reports.markdown import markdown_table

ROOT = Path(__file__).parents[1]
COMMANDS = "(commands)"
_NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    """Count the lines of code of one module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {
        line
        for token in tokens
        if token.type not in _NOT_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            code.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(code)


def lines_by_room(modules: dict[str, str]) -> Counter[str]:
    """Add up the lines of code of each room: a folder of `ntjax/`, or the files at its top.

    Arguments:
        modules: source by path, such as `ntjax/io/fasta.py`.
    """
    counts: Counter[str] = Counter()
    for path, source in modules.items():
        parts = Path(path).parts
        counts[parts[1] if len(parts) > 2 else COMMANDS] += code_lines(source)
    return counts


def working_tree() -> dict[str, str]:
    """Read the modules as they are in the working tree."""
    return {str(p.relative_to(ROOT)): p.read_text() for p in (ROOT / "ntjax").rglob("*.py")}


def revision(name: str) -> dict[str, str]:
    """Read the modules of a git revision."""
    archive = subprocess.run(
        ["git", "archive", name, "ntjax"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        return {
            member.name: files.extractfile(member).read().decode()
            for member in files
            if member.name.endswith(".py")
        }


def table(now: Counter[str], before: Counter[str] | None = None) -> str:
    """Write the counts as a Markdown table, with a last row for the total."""
    rows = [(room, [now[room]] + ([before[room]] if before else [])) for room in sorted(now)]
    if before:
        rows += [(room, [0, before[room]]) for room in sorted(before.keys() - now.keys())]
    rows.append(("total", [sum(column) for column in zip(*(row for _, row in rows), strict=True)]))
    heads = ["room", "lines of code"] + (["before", "change"] if before else [])
    cells = [[room, *(f"{count:,}" for count in counts)] for room, counts in rows]
    if before:
        for row, (_, (after, earlier)) in zip(cells, rows, strict=True):
            row.append(f"{after - earlier:+,}")
    return "\n".join(markdown_table(heads, cells, align="lrrr"))


def lines_by_function(modules: dict[str, str]) -> Counter[str]:
    """Add up the lines of code of functions of one name, methods with that of their class.

    A leading underscore is no part of a name, so that a function that became public is the same.
    """
    counts: Counter[str] = Counter()
    for source in modules.values():
        lines = source.splitlines(keepends=True)
        for name, node in _functions(ast.parse(source).body):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            counts[name] += code_lines(textwrap.dedent("".join(lines[first - 1 : node.end_lineno])))
    return counts


def _functions(
    body: list[ast.stmt], owner: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, node.name.lstrip("_") + ".")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield owner + node.name.lstrip("_"), node


def functions_since(now: Counter[str], before: Counter[str]) -> str:
    """Say what became of the functions of before, whichever room they are in now."""
    kept = now.keys() & before.keys()
    sums = {
        "before": before.total(),
        "stayed": sum(before[name] for name in kept),
        "now": sum(now[name] for name in kept),
        "added": sum(now[name] for name in now.keys() - kept),
    }
    return (
        f"functions: {len(kept):,} of {len(before):,} are there by the same name, with "
        f"{sums['now']:,} lines of code; they had {sums['stayed']:,}, all together "
        f"{sums['before']:,}. New ones have {sums['added']:,}."
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="REV", help="a git revision to compare with")
    options = parser.parse_args()
    now = working_tree()
    before = revision(options.against) if options.against else None
    print(table(lines_by_room(now), lines_by_room(before) if before else None))
    if before:
        print(f"\n{functions_since(lines_by_function(now), lines_by_function(before))}")


if __name__ == "__main__":
    main()
