"""The committed page and pictures are those that the code makes of the committed results."""

import json
import os
from importlib.util import find_spec

import pytest
from committed_study import copy_results

from experiments.promoters.study import Study

pytestmark = [
    pytest.mark.study,
    pytest.mark.skipif(
        "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no published curves"
    ),
    pytest.mark.skipif(find_spec("logomaker") is None, reason="logomaker is not installed"),
]
# Figure 8 is five pictures, one for each method.
FIGURES = ["species", "models", "metrics", "dropout", "settings", "calibration", "embeddings"]


@pytest.mark.parametrize("size", ["reduced", "full"])
def test_the_page_is_redrawn_from_the_results(tmp_path, size):
    from experiments.promoters.sections.registry import SECTIONS, run

    committed = copy_results(size, tmp_path)
    assert {path.stem for path in committed.glob("*.json")} == {*SECTIONS, "ledger"}

    run(Study(full=size == "full", out=tmp_path, runs=tmp_path / "runs"))
    made = {path.name for path in (tmp_path / "runs").iterdir()}
    assert made <= {"study.json", "compiled"}, "something was run"
    for name in ("report.md", "summary.md"):
        assert (tmp_path / name).read_text() == (committed / name).read_text()
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {path.name for path in committed.glob("*.png")}
    for number, name in enumerate(FIGURES, 1):
        assert f"figure_{number}_{name}.png" in drawn
    assert sum(name.startswith("figure_8_") for name in drawn) == 5
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(drawn)


@pytest.mark.parametrize("size", ["reduced", "full"])
def test_the_sweeps_have_one_number_for_the_clean_rows(tmp_path, size):
    """They stand in two tables: with all settings, and beside the other protocols."""
    copy_results(size, tmp_path)
    record = json.loads((tmp_path / "sweeps.json").read_text())["result"]
    of_arms = {arm["name"]: arm["test"] for arm in record["arms"]}
    clean, published = (record["protocols"][name] for name in ("clean", "published"))
    assert {record["choice"]["chosen"], "dropout 0.1"} == set(clean)
    for name, tested in clean.items():
        for metric in ("accuracy", "mcc"):
            assert tested[metric]["value"] == of_arms[name][metric]["value"]
            assert tested[metric]["value"] != published[name][metric]["value"]
