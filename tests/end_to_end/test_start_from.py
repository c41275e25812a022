"""A second stage: training that begins with the adapter and head of an earlier run."""

import json

import numpy as np
import pytest
from planted_task import planted_rows, quick, run, write_csv

from ntjax.errors import UserError
from ntjax.runs.saved_run import load_run

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Rates at which nothing moves that float32 could show, so that the start can be seen.
STILL = {"learning_rate": 1e-30, "steps": 1, "evaluate_every": 1}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", planted_rows(240))


@pytest.mark.end_to_end
@pytest.mark.parametrize("adapter", ["lora", "ia3", "head", "full"])
def test_the_second_stage_begins_where_the_first_ended(adapter, rows, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(quick(rows, adapter=adapter), first)
    run(quick(rows, adapter=adapter, start_from=str(first), **STILL), second)
    sequences = [sequence for _, sequence, _ in planted_rows(20, seed=1)]
    before, after = (load_run(folder).logits(sequences) for folder in (first, second))
    np.testing.assert_array_equal(before, after)
    recorded = json.loads((second / "config.json").read_text())["model"]["start"]
    description = json.loads((first / "adapter.json").read_text())
    assert recorded == {"path": str(first), "sha256": description["tensors_sha256"]}


@pytest.mark.end_to_end
def test_another_adapter_is_refused(rows, tmp_path):
    run(quick(rows, adapter="lora", lora_rank=2, steps=1), tmp_path / "first")
    with pytest.raises(UserError, match=r"rank 2 .* not lora rank 4"):
        run(
            quick(rows, adapter="lora", lora_rank=4, start_from=str(tmp_path / "first")),
            tmp_path / "second",
        )


@pytest.mark.end_to_end
def test_other_classes_and_heads_are_refused(rows, tmp_path):
    run(quick(rows, steps=1), tmp_path / "first")
    three = write_csv(tmp_path / "three.csv", planted_rows(240, classes=3))
    for settings in (quick(three), quick(rows, head="cls")):
        with pytest.raises(UserError, match="both have to agree"):
            run(
                quick(settings.train, head=settings.head, start_from=str(tmp_path / "first")),
                tmp_path / "second",
            )


def test_a_folder_that_is_no_run_is_refused(rows, tmp_path):
    with pytest.raises(UserError, match=r"adapter\.json is missing"):
        run(quick(rows, start_from=str(tmp_path)), tmp_path / "second")
