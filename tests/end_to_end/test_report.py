"""The page that a run leaves, on runs that were trained."""

import json
import warnings

import pytest
from parsed_page import Page
from planted_task import contents, planted_rows, quick, run, start, write_csv

import ntjax
from ntjax.errors import UserError
from ntjax.finetune import Options, finetune
from ntjax.reports import pages
from ntjax.training.settings import Settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("quick_compilation")]


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("report")
    write_csv(folder / "train.csv", planted_rows(200))
    return folder


@pytest.fixture(scope="module")
def settings(here):
    return quick(here / "train.csv", steps=10)


@pytest.fixture(scope="module")
def finished(here, settings):
    run(settings, here / "finished")
    return here / "finished"


def test_a_run_leaves_its_page(finished):
    page = Page(finished / "report.html")
    metrics = json.loads((finished / "test_metrics.json").read_text())
    assert page.row("metrics", "metric", "auroc")[1]["values"][0] == metrics["auroc"]["value"]
    assert page.source.count("<figure>") >= 3
    assert len(page.tables["confusion"]) == 3


def test_a_run_writes_the_same_page_from_memory_and_from_disk(finished, settings, here, tmp_path):
    given = {name: value for name, value in vars(settings).items() if value is not None}
    given |= {"baselines": False, "adapter": "ia3"}
    made = ntjax.fine_tune(given.pop("model"), given.pop("train"), **given)
    made.report(tmp_path / "memory.html")
    ntjax.load_run(finished).report(tmp_path / "disk.html")
    written = (finished / "report.html").read_bytes()
    assert (tmp_path / "disk.html").read_bytes() == written
    assert (tmp_path / "memory.html").read_bytes() == written


def test_no_report(here, settings, tmp_path):
    finetune(Options(settings, tmp_path / "run", progress=False, report=False))
    assert (tmp_path / "run" / "test_metrics.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()
    ntjax.fine_tune(
        settings.model, settings.train, out=tmp_path / "python", report=False, steps=2, head="mean"
    )
    assert not (tmp_path / "python" / "report.html").exists()


def test_python_writes_it_where_a_folder_is_written(settings, tmp_path, capsys):
    ntjax.fine_tune(settings.model, settings.train, out=tmp_path / "run", steps=2, head="mean")
    assert Page(tmp_path / "run" / "report.html").tables["metrics"]
    assert capsys.readouterr().out == ""


def test_a_page_that_fails_is_a_warning(settings, tmp_path, capsys, monkeypatch):
    def broken(*_):
        raise UserError("no page\ntoday")

    monkeypatch.setattr(pages, "write_report", broken)
    result = run(settings, tmp_path / "run")
    assert result["auroc"]["value"] is not None
    assert (tmp_path / "run" / "predictions.csv").exists()
    file = tmp_path / "run" / "report.html"
    expected = f"warning: {file} was not written (no page today); the results are whole\n"
    assert capsys.readouterr().err == expected
    with pytest.warns(RuntimeWarning, match="the results are whole"):
        made = ntjax.fine_tune(
            settings.model, settings.train, out=tmp_path / "python", steps=2, head="mean"
        )
    assert made.metrics["n"] == 20


def test_a_page_that_cannot_be_written_leaves_the_run_whole(here, settings, tmp_path):
    out = tmp_path / "run"
    # A folder stands where the page should go: renaming onto it fails.
    run(settings, out)
    (out / "report.html").unlink()
    (out / "report.html").mkdir()
    (out / "test_metrics.json").unlink()
    resumed = start("--resume", "--no-progress", "--out", str(out))
    _, err = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    assert [line for line in err.splitlines() if line.startswith("warning: ")] == [
        line for line in err.splitlines() if "report.html was not written" in line
    ]
    assert "report.html was not written" in err
    assert (out / "test_metrics.json").exists()


def test_a_sweep_leaves_one_page(settings, tmp_path):
    out = tmp_path / "sweep"
    finetune(Options(settings, out, progress=False, sweep=("learning_rate=0.01,0.02",)))
    written = [name for name in contents(out) if name.endswith(".html")]
    assert written == ["report.html"]
    table = Page(out / "report.html").tables["members"]
    assert len(table) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ntjax.sweep(
            settings.model,
            settings.train,
            vary={"seed": range(2)},
            out=tmp_path / "python",
            steps=2,
            head="mean",
        )
    assert Page(tmp_path / "python" / "report.html").tables["members"]


def test_a_finished_run_keeps_its_page(finished, capsys):
    before = contents(finished)
    run(Settings(), finished, resume=True)
    assert contents(finished) == before
