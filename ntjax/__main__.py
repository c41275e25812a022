"""List the commands, or run one.

python -m ntjax
python -m ntjax finetune --help
"""

import ast
import difflib
import runpy
import sys
from pathlib import Path


def commands() -> dict[str, str]:
    """Return what each command does, by its name: the first line of its module's docstring.

    The modules are read, not imported, so that JAX is not loaded.
    """
    modules = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return {
        path.stem: (ast.get_docstring(tree) or "").partition("\n")[0]
        for path in modules
        if _has_main(tree := ast.parse(path.read_text(encoding="utf-8")))
    }


def _has_main(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)


def main() -> None:
    """List the commands, or run the one that is named; exits with 2 if there is none of the name.

    It runs as `python -m ntjax.NAME` does, with the arguments after its name.
    """
    known = commands()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, known))
        print("usage: python -m ntjax COMMAND [OPTIONS]\n")
        print("\n".join(f"  {name:<{width}}  {line}" for name, line in known.items()))
        print("\npython -m ntjax COMMAND --help lists the options of a command.")
        return
    name = arguments[0].replace("-", "_")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        print(f"error: there is no command {arguments[0]!r}; {hint}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments[1:]
    runpy.run_module(f"ntjax.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
