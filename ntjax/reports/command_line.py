"""What all commands share: options from a dataclass, errors in one line."""

import contextlib
import dataclasses
import difflib
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import jax
import tyro

from ntjax.errors import UserError
from ntjax.training.interruption import Interrupted

_VALUES = {"INT": "a whole number", "FLOAT": "a number with a decimal point"}


def parse(options: type, module: str, description: str) -> Any:
    """An instance of the dataclass `options` from the command line; `--help` explains it.

    Arguments:
        options: a dataclass with a docstring under each field.
        module: the command, as in `python -m ntjax.finetune`.
        description: what it does; lines that begin with `python -m` are shown as they are.

    Raises:
        UserError: an option is unknown or its value unusable.
    """
    description = re.sub(r"^(?=python -m )", "    ", description, flags=re.MULTILINE)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            given, unknown = tyro.cli(
                options,
                description=description,
                prog=f"python -m {module}",
                return_unknown_args=True,
            )
    except SystemExit as leaving:
        if not leaving.code:
            raise
        # The cause may be a misspelt option: the one that is missing, or another.
        known = {"--help", *_option_names(options)}
        unknown = [flag for flag in _typed_flags() if flag.replace("_", "-") not in known]
        if not unknown:
            raise UserError(_one_line(messages.getvalue())) from None
    if unknown:
        raise UserError(_unknown_option(unknown[0].partition("=")[0], options))
    return given


def _unknown_option(word: str, options: type) -> str:
    """Say that there is no such option, and which one is most like it."""
    near = difflib.get_close_matches(word.replace("_", "-"), _option_names(options), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no option {word}{hint} (--help lists all)"


def _option_names(options: type) -> list[str]:
    """List the options of a dataclass, those of a dataclass in it included.

    The inner one must have no prefix: `tyro.conf.arg(name="")`.
    """
    names = []
    for name, hint in get_type_hints(options, include_extras=True).items():
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        flag = name.replace("_", "-")
        if dataclasses.is_dataclass(kind):
            names += _option_names(kind)
        elif tyro.conf.Positional not in notes and tyro.conf.Suppress not in notes:
            names += [f"--{flag}", f"--no-{flag}"] if kind is bool else [f"--{flag}"]
    return names


def _one_line(box: str) -> str:
    """What is wrong, from the frame that tyro draws around it and its list of commands."""
    text = re.sub(r"\x1b\[[0-9;]*m|[╭╮╰╯│─┌┐└┘|]|-{9,}", " ", box)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" For full helptext, .*", "", text)
    if found := re.search(r"Error parsing (--\S+):.*helptext: --\S+ (?:{None} )?(\S+)", text):
        given = re.search(r"(?:instantiated from |: )\[?'([^']*)'\]?", text)
        value = f" {given[1]!r}" if given else ""
        return f"{found[1]}{value}: should be {_VALUES.get(found[2], found[2])} (see --help)"
    if found := re.search(r"invalid choice (.*?) for argument '(--\S+)'.*one of \((.*?)\)", text):
        choices = found[3].replace("'", "")
        return f"{found[2]} {found[1]}: should be one of {choices} (see --help)"
    return text.partition(" Argument helptext: ")[0] + " (see --help)"


def run(command: Callable[[], Any]) -> None:
    """Run a command; a user's error is one line on stderr and exit code 2.

    An interrupted run exits with 128 + the signal's number, as shells expect. What the terminal
    or file cannot show, such as "×" where the encoding is ASCII, is printed as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(
            "error: out of memory: lower --batch-size or raise --accumulation (pre-training: lower "
            "--tokens-per-pass), add --rematerialise or --dtype bfloat16, or take a machine with "
            "more memory",
            file=sys.stderr,
        )
        sys.exit(2)
    except BrokenPipeError:  # who reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {place}{error.strerror or error}: check the disk's space and the folder's "
            "permissions; what was saved before is untouched",
            file=sys.stderr,
        )
        sys.exit(2)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(128 + interrupted.signal_number)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def naming_options(**renamed: str) -> Iterator[None]:
    """Put the option that an error is about before its message.

    Arguments:
        renamed: option names of fields that are called otherwise there: `target="class"`.

    Raises:
        UserError: that of the block.
    """
    try:
        yield
    except UserError as error:
        if error.field is None:
            raise
        name, text = renamed.get(error.field, error.field), str(error)
        option = name.replace("_", "-")
        told = f"--{text}" if text.startswith(f"{option} ") else f"--{option}: {text}"
        raise UserError(told) from None


def chosen(option: str, text: str, known: Sequence[str]) -> list[str]:
    """Read an option of several words with commas between them; each counts once.

    >>> chosen("--pooling", "mean, cls,mean", ("mean", "cls", "none"))
    ['mean', 'cls']

    Raises:
        UserError: a word that is none of the known ones.
    """
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in known]:
        allowed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise UserError(f"{option} {unknown[0]}: should be {allowed}, or several of them")
    return list(dict.fromkeys(words))


def typed_options() -> tuple[str, ...]:
    """Return the names of the settings that were given on the command line."""
    names = [flag[2:].replace("-", "_") for flag in _typed_flags()]
    return (*names, *(name.removeprefix("no_") for name in names if name.startswith("no_")))


def _typed_flags() -> list[str]:
    """List the options of the command line as typed, without their values."""
    return [text.partition("=")[0] for text in sys.argv[1:] if text.startswith("--")]
