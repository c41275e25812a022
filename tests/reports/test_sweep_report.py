"""The page of a sweep, with a member that failed."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from parsed_page import Page
from written_runs import write_run

from ntjax.metrics.seeds import standard_error
from ntjax.report import Options, report
from ntjax.training.settings import Settings

SWEEP = ["learning_rate=0.001,0.01", "seed=0,1"]
NAMES = [f"learning_rate={rate},seed={seed}" for rate in ("0.001", "0.01") for seed in (0, 1)]
FAILED = NAMES[2]
WHY = "the loss at step 10 is nan <b>"


def write_sweep(folder, failed=(FAILED,), own_split=False):
    settings = Settings(train="rows.csv", adapter="ia3")
    plan = {"settings": asdict(settings), "sweep": SWEEP, "populations": [NAMES]}
    for number, name in enumerate(NAMES):
        member = write_run(folder / "members" / name, rows=100, seed=number, baselines=False)
        path = member / "adapter.json"
        described = json.loads(path.read_text())
        described["training"]["mcc"] = 0.6 + 0.1 * number
        path.write_text(json.dumps(described))
        if own_split:
            config = json.loads((member / "config.json").read_text())
            config["data"]["validation"] |= {"sha256": name, "rows": 50}
            (member / "config.json").write_text(json.dumps(config))
        if name in failed:
            for file in ("test_metrics.json", "predictions.csv", "adapter.json"):
                (member / file).unlink()
            (member / "failure.json").write_text(json.dumps({"failure": WHY}))
    (folder / "sweep.json").write_text(json.dumps(plan))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("sweep") / "failed")


@pytest.fixture(scope="module")
def page(folder):
    report(Options(folder))
    return Page(folder / "report.html")


def test_every_member_has_its_own_numbers(folder, page):
    for name in NAMES:
        cells = page.row("members", "member", name)
        assert cells[0]["text"] == name
        assert cells[-1]["text"] == f"members/{name}"
        if name == FAILED:
            assert cells[1]["text"].strip() == f"failed: {WHY}"
            continue
        metrics = json.loads((folder / "members" / name / "test_metrics.json").read_text())
        assert cells[2]["values"] == [pytest.approx(0.6 + 0.1 * NAMES.index(name))]
        for cell, metric in zip(cells[3:-1], ("accuracy", "mcc", "auroc"), strict=True):
            assert cell["values"] == [metrics[metric][end] for end in ("value", "low", "high")]


def test_means_over_seeds_and_what_validation_chose(page, tmp_path):
    cells = page.row("means", "setting", "learning_rate=0.001")
    assert cells[1]["values"] == [pytest.approx(0.65)]
    assert cells[2]["values"] == [pytest.approx(standard_error([0.6, 0.7]))]
    # A setting of which a seed failed is not chosen, though the other seed is the best.
    assert "1 of 2" in page.row("means", "setting", "learning_rate=0.01")[3]["text"]
    assert page.says("Best by validation MCC: learning_rate=0.001.")
    assert page.texts[1].startswith(
        "3 of 4 members were trained and scored; the setting that validation chose, "
        "learning_rate=0.001, reaches AUROC "
    )
    assert page.says("plain because all seeds share their validation rows")
    whole = write_sweep(tmp_path / "own", failed=(), own_split=True)
    report(Options(whole))
    other = Page(whole / "report.html")
    assert other.says("(Nadeau & Bengio 2003)")
    found = other.row("means", "setting", "learning_rate=0.001")[2]["values"]
    assert found == [pytest.approx(np.std([0.6, 0.7], ddof=1) * np.sqrt(1 / 2 + 50 / 100))]
    assert other.says("Best by validation MCC: learning_rate=0.01.")


def test_the_page_of_a_sweep_needs_nothing_else(page):
    assert page.loads == []
    assert "script" not in page.elements
    assert "<b>" not in page.source
    assert page.source.count("<polyline") == 4  # also of the member that failed
    assert page.says("--sweep learning_rate=0.001,0.01 seed=0,1")


def test_a_sweep_without_a_scored_member(tmp_path):
    report(Options(write_sweep(tmp_path / "none", failed=NAMES)))
    page = Page(tmp_path / "none" / "report.html")
    assert page.says("0 of 4 members were trained and scored; none can be chosen")
    assert page.says("No member was scored.")
