"""Standard input as a file, so that everything that reads files reads it too."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ntjax.errors import UserError

STDIN = "-"
"""What stands for standard input on a command line."""

_CALLED = "standard input"


@contextlib.contextmanager
def input_file(given: str, beside: Path, resume: bool = False) -> Iterator[Path]:
    """Return the file that a command line names; of "-" one that holds standard input meanwhile.

    Arguments:
        given: the file, or "-".
        beside: a file in the folder that has room for it.
        resume: whether the command goes on with an interrupted one.

    Raises:
        UserError: standard input is to be read again; or one from within, which calls it by name.
    """
    if given != STDIN:
        yield Path(given)
        return
    if resume:
        raise UserError(
            f"--resume: {_CALLED} cannot be read again: save it to a file and give that"
        )
    if sys.stdin is None:
        raise UserError(f"--input -: {_CALLED} is closed")
    beside.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=beside.parent, prefix=f".{beside.name}.", suffix=".tmp"
    ) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield Path(file.name)
        except UserError as error:
            raise UserError(called(str(error), given, file.name)) from None


def called(message: str, given: str, path: str | Path) -> str:
    """Name standard input in a message, not the file that holds it."""
    return message.replace(str(path), _CALLED) if given == STDIN else message
