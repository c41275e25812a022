"""The committed page of the pre-training study is made of its committed results."""

import json
from pathlib import Path

from experiments.promoters.pretraining.tables import as_markdown

FOLDER = Path(__file__).parents[2] / "experiments/promoters/pretraining"


def test_the_page_is_that_of_the_results():
    record = json.loads((FOLDER / "pretraining.json").read_text())
    assert as_markdown(record) == (FOLDER / "pretraining.md").read_text()
