"""What all commands share: options from a dataclass, errors in one line."""

import contextlib
import io
import re
import sys
from collections.abc import Callable
from typing import Any

import tyro

from ntjax.errors import UserError
from ntjax.training.interruption import Interrupted


def parse(options: type, description: str) -> Any:
    """An instance of the dataclass `options` from the command line; `--help` explains it.

    Raises:
        UserError: an option is unknown or its value unusable.
    """
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(options, description=description)
    except SystemExit as leaving:
        if leaving.code:
            raise UserError(_one_line(messages.getvalue())) from None
        raise


def _one_line(box: str) -> str:
    """The text inside the frame that tyro draws around an error, up to its list of commands."""
    text = re.sub(r"\x1b\[[0-9;]*m|[╭╮╰╯│─┌┐└┘|]", " ", box)
    return re.sub(r"\s+", " ", text).strip() + " (see --help)"


def run(command: Callable[[], Any]) -> None:
    """Run a command; a user's error is one line on stderr and exit code 2.

    An interrupted run exits with 128 + the signal's number, as shells expect.
    """
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as interrupted:
        print(f"{interrupted}; its state is saved, --resume goes on", file=sys.stderr)
        sys.exit(128 + interrupted.signal_number)
    except KeyboardInterrupt:
        print("stopped before anything was saved", file=sys.stderr)
        sys.exit(130)
