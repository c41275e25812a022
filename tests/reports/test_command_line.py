"""What all commands share."""

import os
import subprocess
import sys

import pytest

from ntjax.errors import MissingLabelsError, UserError

SHOWN = (
    "from ntjax.errors import UserError\n"
    "from ntjax.reports import command_line\n"
    "def command():\n"
    "    print('0.04 ± 0.01 – 3 × 2')\n"
    "    raise UserError('σ70: no such file')\n"
    "command_line.run(command)\n"
)


def python(*arguments, encoding):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_stream_that_lacks_a_character_gets_a_question_mark(encoding):
    done = python("-c", SHOWN, encoding=encoding)
    text = "0.04 ± 0.01 – 3 × 2\n".encode(encoding.partition(":")[0], "replace")
    assert done.stdout == text
    assert b"?" in text
    assert (done.returncode, done.stderr) == (2, b"error: ?70: no such file\n")


@pytest.mark.parametrize("module", ["finetune", "audit"])
def test_help_needs_no_unicode(module):
    done = python("-m", f"ntjax.{module}", "--help", encoding="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--label-column" in done.stdout


def test_a_users_error_is_a_value_error_and_knows_its_setting():
    assert UserError("--steps is 0").field is None
    error = UserError("should be at least 1", field="steps")
    assert isinstance(error, ValueError)
    assert (str(error), error.field) == ("should be at least 1", "steps")
    assert issubclass(MissingLabelsError, UserError)
