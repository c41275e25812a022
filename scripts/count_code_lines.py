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
import tokenize
from collections import Counter
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="REV", help="a git revision to compare with")
    options = parser.parse_args()
    before = lines_by_room(revision(options.against)) if options.against else None
    print(table(lines_by_room(working_tree()), before))


if __name__ == "__main__":
    main()
