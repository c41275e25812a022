"""The command `python -m ntjax.explain`: its table, its logos, bad input."""

import pandas as pd
import pytest
from planted_task import planted_rows, quick, run, write_csv

import ntjax
from ntjax.errors import UserError
from ntjax.explain import Options, explain_command
from ntjax.interpret.mutagenesis import mutagenesis

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("quick_compilation")]


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("explain")
    write_csv(folder / "train.csv", planted_rows(200))
    run(quick(folder / "train.csv"), folder / "run")
    write_csv(folder / "rows.csv", planted_rows(3))
    return folder


def options(here, out, **others):
    given = {"run": here / "run", "input": str(here / "rows.csv"), "progress": False}
    return Options(out=here / out, **given | others)


def test_a_table_and_logos(here, capsys):
    explain_command(options(here, "out"))
    rows = pd.read_csv(here / "rows.csv")
    table = pd.read_csv(here / "out" / "explanation.csv")
    assert "".join(table["base"]) == "".join(rows["sequence"])
    effects = mutagenesis(ntjax.load_run(here / "run"), rows["sequence"].tolist())
    assert table["to_G"].tolist() == pytest.approx(effects[:, :, 2].ravel().tolist(), abs=1e-5)
    logos = sorted(path.name for path in (here / "out" / "logos").iterdir())
    assert logos == ["0001.svg", "0002.svg", "0003.svg"]
    assert "importance for the logit of 1" in capsys.readouterr().out
    explain_command(options(here, "again"))
    for name in ("explanation.csv", "logos/0002.svg"):
        assert (here / "again" / name).read_bytes() == (here / "out" / name).read_bytes()


def test_a_title_is_no_formula(here):
    (here / "odd.fasta").write_text(f">$\\bar$ <b> & {{\n{planted_rows(1)[0][1]}\n")
    explain_command(options(here, "odd", input=str(here / "odd.fasta"), method="gradients"))
    assert (here / "odd" / "logos" / "0001.svg").exists()


def test_without_logos(here):
    explain_command(options(here, "bare", logos=False, method="attention"))
    assert not (here / "bare" / "logos").exists()


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ({"class_name": "x"}, "--class: this run has 0, 1: 'x' is none of them"),
        ({"method": "attention", "class_name": "1"}, "leave --class"),
        ({"input": "missing.csv"}, "missing.csv"),
        ({"out": "run"}, "is in use"),
        ({"out": "rows.csv/out"}, "rows.csv is a file"),
    ],
)
def test_what_is_refused(here, others, problem):
    out = others.get("out", "refused")
    given = {name: value for name, value in others.items() if name != "out"}
    with pytest.raises(UserError) as caught:
        explain_command(options(here, out, **given))
    assert problem in str(caught.value)
    assert not (here / "refused").exists()


def test_rows_that_cannot_be_read_are_named(here):
    write_csv(here / "long.csv", [("a", "ACGT" * 9, "1"), ("b", "ACGT" * 5000, "0")])
    with pytest.raises(UserError, match=r"long\.csv: row 3 has [\d,]+ tokens"):
        explain_command(options(here, "refused", input=str(here / "long.csv")))
    write_csv(here / "many.csv", [("a", "ACGT" * 9, "1")] * 1001)
    with pytest.raises(UserError, match="has 1,001 sequences, more than the 1,000"):
        explain_command(options(here, "refused", input=str(here / "many.csv")))
