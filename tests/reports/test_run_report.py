"""The page of a run: every number on it is that of the run's files."""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from parsed_page import Page
from written_runs import write_run

from ntjax.errors import UserError
from ntjax.report import Options, report
from ntjax.reports.pages import write_report

KINDS = ("two", "three", "labels", "value")


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    return {kind: write_run(base / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def pages(folders, tmp_path_factory):
    base, found = tmp_path_factory.mktemp("pages"), {}
    for kind, folder in folders.items():
        write_report(folder, base / f"{kind}.html")
        found[kind] = Page(base / f"{kind}.html")
    return found


def estimates(found):
    return [found[end] for end in ("value", "low", "high", "p") if found.get(end) is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_it_needs_nothing_else_and_is_well_formed(pages, kind):
    page = pages[kind]
    assert page.loads == []
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.elements)
    assert not re.search(r"https?://|@import|url\(", page.source)
    assert len(set(page.ids)) == len(page.ids)
    # A figure has a name for those who cannot see it.
    assert page.source.count('role="img" aria-labelledby=') >= 2
    assert page.elements.count("title") == page.elements.count("figure") + 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_metrics_are_those_of_the_run_and_its_baselines(folders, pages, kind):
    metrics = read(folders[kind], "test_metrics.json")
    baselines = read(folders[kind], "baselines.json")
    models = [
        metrics,
        *([metrics["calibrated"]] if metrics["calibrated"] else []),
        *baselines.values(),
    ]
    assert len(pages[kind].tables["metrics"][0]["cells"]) == 1 + len(models)
    names = [
        name for name, found in metrics.items() if isinstance(found, dict) and "value" in found
    ]
    assert len(names) >= 5
    for name in names:
        _, *cells = pages[kind].row("metrics", "metric", name)
        for cell, model in zip(cells, models, strict=True):
            assert cell["values"] == estimates(model.get(name, {})), name
            if model.get(name, {}).get("low") is not None and name not in ("rmse", "mae"):
                shown = [f"{value:.3f}".replace("-", "−") for value in cell["values"][:3]]
                assert cell["text"].split()[:3] == [shown[0], f"[{shown[1]},", f"{shown[2]}]"]


@pytest.mark.parametrize("kind", KINDS[:3])
def test_calibration_before_and_after(folders, pages, kind):
    metrics = read(folders[kind], "test_metrics.json")
    assert metrics["calibration"]["method"] != "identity"
    for name in ("brier", "ece"):
        _, before, after = pages[kind].row("calibration", "metric", name)
        assert before["values"] == estimates(metrics[name])
        assert after["values"] == estimates(metrics["calibrated"][name])
    method = metrics["calibration"]["method"].replace("platt", "Platt")
    assert pages[kind].says(f"were calibrated by {method} scaling")
    for name in read(folders[kind], "reliability.json")["calibrated"]:
        drawn = f"Reliability of {name}</title>" in pages[kind].source
        assert drawn == (kind != "two" or name == "reverse")


def test_the_reliability_diagram_is_drawn_to_scale(folders, pages):
    curve = read(folders["two"], "reliability.json")["calibrated"]["reverse"]
    svg = pages["two"].source.partition("Reliability of reverse")[2].partition("</svg>")[0]
    lines = re.findall(r'points="([^"]*)"', svg)
    points = [np.array([p.split(",") for p in line.split()], float) for line in lines]
    (x0, y0), (x1, y1) = points[0]  # the diagonal, from (0, 0) to (1, 1)
    filled = [k for k, rows in enumerate(curve["count"]) if rows]
    for number, k in enumerate(filled):
        x, y = points[-1][number]
        assert (x - x0) / (x1 - x0) == pytest.approx(curve["mean_predicted"][k], abs=0.001)
        assert (y - y0) / (y1 - y0) == pytest.approx(curve["fraction_positive"][k], abs=0.001)


@pytest.mark.parametrize("kind", ["two", "three"])
def test_the_confusion_matrix_counts_the_predictions(folders, pages, kind):
    frame = pd.read_csv(folders[kind] / "predictions.csv", keep_default_na=False)
    classes = read(folders[kind], "config.json")["classes"]
    heads, *rows = pages[kind].tables["confusion"]
    assert [cell["text"] for cell in heads["cells"]] == [
        "label",
        *(f"called {name}" for name in classes),
        "rows",
    ]
    counts = np.array([[cell["values"][0] for cell in row["cells"][1:]] for row in rows])
    expected = pd.crosstab(frame["label"], frame["call"]).loc[classes, classes].to_numpy()
    np.testing.assert_array_equal(counts[:, :-1], expected)
    np.testing.assert_array_equal(counts[:, -1], expected.sum(axis=1))
    accuracy = np.trace(expected) / expected.sum()
    assert accuracy == pytest.approx(
        read(folders[kind], "test_metrics.json")["calibrated"]["accuracy"]["value"]
    )


def test_every_label_is_counted_where_it_is_known(folders, pages):
    frame = pd.read_csv(folders["labels"] / "predictions.csv")
    scores = read(folders["labels"], "test_metrics.json")["calibrated"]["labels"]
    for name in ("TATA", "GC box"):
        label, called = frame[f"label[{name}]"], frame[f"calibrated_probability[{name}]"] > 0.5
        cells = pages["labels"].row("labels", "label", name)
        expected = [
            ((label == value) & (called == call)).sum()
            for value, call in ((1, True), (1, False), (0, True), (0, False))
        ]
        assert [cell["values"][0] for cell in cells[1:5]] == expected
        assert cells[5]["values"] == estimates(scores[name]["sensitivity"])
        assert cells[9]["values"] == estimates(scores[name]["auroc"])


def test_the_most_confident_errors_of_two_classes(folders, pages):
    frame = pd.read_csv(folders["two"] / "predictions.csv")
    shown = [row["cells"] for row in pages["two"].tables["errors"] if row["cells"][-1]["values"]]
    for call, sign in (("reverse", 1), ("forward", -1)):
        wrong = frame[(frame["call"] == call) & (frame["label"] != call)]
        p = wrong["calibrated_probability"] if sign > 0 else 1 - wrong["calibrated_probability"]
        order = p.sort_values(ascending=False, kind="stable").index[:10]
        assert 0 < len(order) <= 10
        own, shown = shown[: len(order)], shown[len(order) :]
        assert [cells[0]["text"] for cells in own] == frame.loc[order, "name"].tolist()
        assert [cells[-1]["values"][0] for cells in own] == pytest.approx(p[order].tolist())
        assert pages["two"].says(f"Called {call}, labelled")
        assert pages["two"].says(f": {len(wrong)} in all")
    assert shown == []


def test_the_largest_errors_of_a_regression(folders, pages):
    frame = pd.read_csv(folders["value"] / "predictions.csv")
    error = (frame["prediction"] - frame["label"]).sort_values()
    shown = [row["cells"] for row in pages["value"].tables["errors"] if row["cells"][-1]["values"]]
    values = [cells[-1]["values"][0] for cells in shown]
    assert values == pytest.approx([*error[::-1][:10], *error[:10]])
    names = [*frame["name"][error[::-1].index[:10]], *frame["name"][error.index[:10]]]
    assert [cells[0]["text"] for cells in shown] == names
    observed = frame["label"][error[::-1].index[:10]]
    assert [cells[2]["text"] for cells in shown[:10]] == [f"{value:.6g}" for value in observed]
    interval = read(folders["value"], "test_metrics.json")["interval"]
    assert pages["value"].says(f"± {interval['half_width']:.3g} should hold 90% of the values")
    assert pages["value"].says(f"a share of {interval['coverage']['value']:.3f}")


def test_the_first_sentence(folders, pages):
    metrics, baselines = (read(folders["two"], f"{n}.json") for n in ("test_metrics", "baselines"))
    sentence = pages["two"].texts[1]
    assert sentence.startswith("mini with IA³, trained on rows.csv, reaches AUROC ")
    found = metrics["auroc"]
    assert (
        f"{found['value']:.3f} [95% interval {found['low']:.3f} to {found['high']:.3f}]" in sentence
    )
    assert f"reaches {baselines['CNN']['auroc']['value']:.3f}" in sentence
    assert "on 200 test rows" in sentence
    assert "a mean over 3 classes" in pages["three"].texts[1]
    assert "reaches R² " in pages["value"].texts[1]


def test_what_was_trained_on_what(folders, pages):
    page = pages["two"]
    config = read(folders["two"], "config.json")
    assert page.says("mini, sha256-d8e7")
    assert page.says("two classes: forward and reverse (positive)")
    [table] = [rows for name, rows in page.tables.items() if name == ""]
    cells = [[cell["text"] for cell in row["cells"]] for row in table[1:]]
    assert [row[1:] for row in cells] == [
        [f"{part['rows']:,}", part["source"], part["sha256"]] for part in config["data"].values()
    ]
    assert page.says("The adapter and head of step 20 were kept: its validation MCC, 0.750")
    assert "kept: step 20</text>" in page.source
    assert page.says(config["notes"][0])
    for name, version in config["versions"].items():
        assert f"<dt>{name}</dt><dd>{version}</dd>" in page.source


def test_without_baselines_and_calibration(tmp_path):
    folder = write_run(tmp_path / "run", baselines=False, calibrated=False, notes=())
    report(Options(folder))
    page = Page(folder / "report.html")
    assert page.says("no baseline was trained on the same rows.")
    assert page.says("The run is not calibrated: too few rows, or none, were set aside for it.")
    assert page.says("No test row was found to share sequence")
    assert len(page.tables["metrics"][0]["cells"]) == 2
    assert len(page.tables["confusion"]) == 3


def test_a_missing_interval_is_explained(tmp_path):
    folder = write_run(tmp_path / "few", rows=12, calibrated=False)
    report(Options(folder))
    metrics = read(folder, "test_metrics.json")
    page = Page(folder / "report.html")
    assert metrics["auroc"]["low"] is None
    assert page.says(f": {metrics['auroc']['interval']}.")


def test_what_comes_from_data_is_escaped(tmp_path):
    bad = '<script>alert("1")</script>'
    classes = (f"a{bad}", f"b{bad}&amp;")
    names = [f"{bad}{number}" for number in range(60)]
    folder = write_run(
        tmp_path / "run", rows=60, names=names, classes=classes, signal=0.3, notes=(bad,)
    )
    report(Options(folder))
    page = Page(folder / "report.html")
    assert "<script" not in page.source
    assert "script" not in page.elements
    shown = [row["cells"][0]["text"] for row in page.tables["errors"]]
    assert any(name in shown for name in names)
    assert page.says(bad)
    assert f"called {classes[1]}" in [c["text"] for c in page.tables["confusion"][0]["cells"]]


@pytest.mark.parametrize(
    "missing",
    [
        ["splits.csv", "reliability.json", "metrics.jsonl"],
        ["predictions.csv"],
        ["adapter.json"],
        ["config.json"],
        ["test_metrics.json", "predictions.csv", "reliability.json"],
        ["config.json", "adapter.json", "metrics.jsonl", "predictions.csv", "reliability.json"],
    ],
)
def test_older_folders_lack_files(tmp_path, missing):
    folder = write_run(tmp_path / "run")
    for name in missing:
        (folder / name).unlink()
    report(Options(folder))
    page = Page(folder / "report.html")
    for name in set(missing) - {"splits.csv", "reliability.json"}:
        assert any("This folder lacks" in text and name in text for text in page.texts)
    if "metrics.jsonl" in missing:
        assert page.says("No log of the training is at hand.")


def test_no_run_no_page(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        write_report(tmp_path / "none", tmp_path / "page.html")
    with pytest.raises(UserError, match="holds no run and no sweep"):
        write_report(tmp_path, tmp_path / "page.html")
    folder = write_run(tmp_path / "run")
    (folder / "test_metrics.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        write_report(folder, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_same_folder_gives_the_same_bytes(folders, tmp_path):
    for name in ("a.html", "b.html"):
        report(Options(folders["two"], tmp_path / name))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_command_is_copyable(pages):
    command = next(text for text in pages["two"].texts if text.startswith("python -m"))
    words = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines
    assert words[:3] == ["python", "-m", "ntjax.finetune"]
    assert words[words.index("--train") + 1] == "rows.csv"
    assert all(line.endswith(" \\") for line in command.splitlines()[:-1])
