"""What all commands share."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated

import pytest
import tyro

from ntjax.errors import MissingLabelsError, UserError
from ntjax.reports import command_line

SHOWN = (
    "from ntjax.errors import UserError\n"
    "from ntjax.reports import command_line\n"
    "def command():\n"
    "    print('0.04 ± 0.01 – 3 × 2')\n"
    "    raise UserError('σ70: no such file')\n"
    "command_line.run(command)\n"
)


@dataclass(frozen=True)
class Inner:
    """Settings."""

    learning_rate: float = 0.1
    """Step size."""
    steps: int | None = None
    """How many."""


@dataclass(frozen=True)
class Options:
    """Options."""

    genome: str
    """A file."""
    settings: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=Inner)
    baselines: bool = True
    """Whether to train them."""
    hidden: Annotated[int, tyro.conf.Suppress] = 0
    """Not for the command line."""


@pytest.fixture
def parsed(monkeypatch):
    def parse(line):
        monkeypatch.setattr("sys.argv", ["made", *line.split()])
        return command_line.parse(Options, "made", "Make something.")

    return parse


def test_options_are_parsed(parsed):
    given = parsed("--genome x --learning_rate=1 --no-baselines")
    assert given == Options("x", Inner(1.0), baselines=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--genome x --step 3", "there is no option --step; did you mean --steps? (--help"),
        ("--genome x --learning_rte=3", "there is no option --learning_rte; did you mean --lear"),
        ("--genome x --no-baseline", "there is no option --no-baseline; did you mean --no-base"),
        ("--genome x --bogus 3", "there is no option --bogus (--help lists all)"),
        (f"--genome x --{'x' * 100} 3", f"there is no option --{'x' * 100} (--help lists all)"),
        ("--genome x stray", "there is no option stray (--help lists all)"),
        ("--genome x -z", "there is no option -z (--help lists all)"),
        # A misspelt option is the cause, whatever else is wrong because of it.
        ("--genom x", "there is no option --genom; did you mean --genome? (--help lists all)"),
        ("--genome x --stepz 3 --steps abc", "there is no option --stepz; did you mean --steps?"),
        ("--hiden 3", "there is no option --hiden (--help lists all)"),
        ("--steps 3", "Required options Missing from python -m made: --genome"),
        ("--genome x --steps abc", "--steps 'abc': should be a whole number"),
        ("--genome", "Missing argument Missing value for argument '--genome'"),
    ],
)
def test_unusable_options_are_one_line(parsed, line, message):
    with pytest.raises(UserError) as refused:
        parsed(line)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def python(*arguments, encoding):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_a_stream_that_lacks_a_character_gets_a_question_mark(encoding):
    done = python("-c", SHOWN, encoding=encoding)
    text = "0.04 ± 0.01 – 3 × 2\n".encode(encoding.partition(":")[0], "replace")
    assert done.stdout == text
    assert b"?" in text
    assert (done.returncode, done.stderr) == (2, b"error: ?70: no such file\n")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["finetune", "audit"])
def test_help_needs_no_unicode(module):
    done = python("-m", f"ntjax.{module}", "--help", encoding="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--label-column" in done.stdout


ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}


SETTINGS = (
    "from pathlib import Path\n"
    "from ntjax.io.settings_file import read_settings\n"
    "assert read_settings(Path('mine.yaml')) == {'train': '\\u03c370.csv'}\n"
)


@pytest.mark.parametrize("code", ["from ntjax.__main__ import main; main()", SETTINGS])
def test_files_are_utf_8_whatever_the_locale(code, tmp_path):
    (tmp_path / "mine.yaml").write_text("train: σ70.csv\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | ASCII,
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_users_error_is_a_value_error_and_knows_its_setting():
    assert UserError("--steps is 0").field is None
    error = UserError("should be at least 1", field="steps")
    assert isinstance(error, ValueError)
    assert (str(error), error.field) == ("should be at least 1", "steps")
    assert issubclass(MissingLabelsError, UserError)
