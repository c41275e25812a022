"""`python -m ntjax`, and what importing the package loads."""

import subprocess
import sys

import pytest

import ntjax
from ntjax.__main__ import commands


def _python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


def test_the_commands_are_listed_with_a_line_each():
    listed = _python("-m", "ntjax")
    assert listed.returncode == 0
    assert {"audit", "finetune", "pretrain", "windows"} <= commands().keys()
    for name, line in commands().items():
        assert line.endswith((".", "?"))
        assert f"  {name} " in listed.stdout
        assert line in listed.stdout
    assert "errors" not in commands()
    assert _python("-m", "ntjax", "--help").stdout == listed.stdout


@pytest.mark.end_to_end
def test_a_command_runs_as_its_own_module_does():
    alone = _python("-m", "ntjax.windows", "--genome")
    named = _python("-m", "ntjax", "windows", "--genome")
    assert alone.returncode == named.returncode == 2
    assert named.stderr == alone.stderr != ""


def test_an_unknown_command_is_one_line():
    wrong = _python("-m", "ntjax", "fine-tune")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: there is no command 'fine-tune'; did you mean finetune?\n"


@pytest.mark.parametrize(
    "statement",
    [
        "import ntjax, ntjax.__main__; ntjax.__main__.commands()",
        "import ntjax.calibration.fitting, ntjax.metrics.classification",
        "from ntjax import UserError",
    ],
)
def test_no_jax_is_loaded(statement):
    check = f"{statement}; import sys; sys.exit('jax' in sys.modules)"
    assert _python("-c", check).returncode == 0


def test_public_names_are_found_and_others_are_not():
    assert ntjax.load_run.__module__ == "ntjax.runs.saved_run"
    assert set(ntjax.__all__) <= set(dir(ntjax))
    for name in ntjax.__all__:
        assert getattr(ntjax, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'ntjax' has no attribute 'nothing'"):
        ntjax.nothing  # noqa: B018
