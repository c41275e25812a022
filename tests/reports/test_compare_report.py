"""`python -m ntjax.compare`: the page and the console say the same, and what they may."""

import subprocess
import sys
from pathlib import Path

import pytest
from parsed_page import Page
from written_runs import write_run

from ntjax.compare import Options, compare, named
from ntjax.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    write_run(base / "lora", rows=400, signal=0.9, seed=1, adapter="lora")
    write_run(base / "ia3", rows=400, signal=0.4, seed=2)
    return base


@pytest.fixture(scope="module")
def compared(folder):
    return compare(Options((folder / "lora", folder / "ia3"), folder / "compared.html"))


@pytest.fixture(scope="module")
def page(folder, compared):
    return Page(folder / "compared.html")


def test_the_page_holds_what_was_found(compared, page):
    cells = page.row("differences", "run", "ia3")
    for cell, one in zip(cells[1:], compared.differences["ia3"].values(), strict=True):
        assert cell["values"] == [one[key] for key in ("value", "low", "high", "corrected")]
        assert one["verdict"] in cell["text"]
    for name, results in compared.runs.items():
        cells = page.row("runs", "run", name)
        for cell, metric in zip(cells[1:5], compared.metrics, strict=True):
            own = results.metrics[metric]
            assert cell["values"] == [own[end] for end in ("value", "low", "high")]
    assert page.texts[1].startswith("ia3 is worse in AUROC")
    assert page.says("The 400 rows form 200 groups of related sequences")
    assert page.says("4 differences are judged here. Their p-values are corrected")
    assert page.says("All runs were trained on the same rows.")
    assert ["adapter", "lora", "ia3"] in [
        [cell["text"] for cell in row["cells"]] for row in page.tables["settings"]
    ]
    assert page.loads == []
    assert "script" not in page.elements


def test_the_console_says_the_same(folder, compared, capsys):
    compare(Options((folder / "lora", folder / "ia3"), folder / "again.html"))
    printed = capsys.readouterr().out
    one = compared.differences["ia3"]["auroc"]
    assert f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" in printed
    assert "worse" in printed
    assert "corrected for 4 comparisons (Holm)" in printed
    assert (folder / "again.html").read_bytes() == (folder / "compared.html").read_bytes()


def test_a_run_is_not_told_from_itself(folder, capsys):
    compare(Options((folder / "ia3", folder / "ia3"), folder / "twice.html"))
    page = Page(folder / "twice.html")
    assert page.texts[1] == "ia3 (2) and ia3 are not told apart on these rows."
    assert "+0.000 [+0.000, +0.000]" in capsys.readouterr().out


def test_names_of_runs():
    assert list(named((Path("runs/a"), Path("runs/b")))) == ["a", "b"]
    assert list(named((Path("x/seed=0"), Path("y/seed=0")))) == ["x/seed=0", "y/seed=0"]
    assert list(named((Path("x/a"), Path("x/b"), Path("x/a"), Path("x/a")))) == [
        "a",
        "b",
        "a (2)",
        "a (3)",
    ]


def test_a_sweep_is_not_a_run(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="is a sweep: give the folders of its members"):
        compare(Options((tmp_path, tmp_path), tmp_path / "page.html"))


@pytest.mark.end_to_end
def test_other_test_rows_end_with_one_line(folder):
    write_run(folder / "other", rows=300)
    command = [sys.executable, "-W", "error", "-m", "ntjax.compare"]
    names = [str(folder / name) for name in ("ia3", "other")]
    done = subprocess.run(
        [*command, *names, "--out", str(folder / "no.html")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: other: was not scored on the test rows of ia3: ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "no.html").exists()
