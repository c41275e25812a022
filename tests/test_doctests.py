"""The examples in the docstrings are run, and each package that needs no training has one."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import ntjax

PACKAGE = Path(ntjax.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text()
)
TRAINS = "ntjax.training.finetune"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.end_to_end) if name == TRAINS else name
        for name in MODULES
    ],
)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path))
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    "room",
    [
        "sequences",
        "io",
        "genomes",
        "metrics",
        "leakage",
        "calibration",
        "models",
        "checkpoints",
        "datasets",
        "reports",
    ],
)
def test_each_room_has_an_example(room):
    assert [name for name in MODULES if name.startswith(f"ntjax.{room}.")]
