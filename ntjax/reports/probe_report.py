"""What a probe leaves: its table, summary and figure, and the lines on the console."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ntjax.evaluation.layer_probes import Probed
from ntjax.evaluation.probe_summary import METRICS, SEQUENCE, Features, Rows
from ntjax.io.files import check_writable, write_bytes
from ntjax.io.json import write_json
from ntjax.metrics.classification import score
from ntjax.reports.cells import interval_cell
from ntjax.reports.wording import metric_name

TABLE, SUMMARY, FIGURE = "probe.csv", "probe.json", "probe.png"
_SHOWN = ("mcc", "auroc")


def write_probe(
    folder: Path,
    content: dict[str, Any],
    found: Mapping[Features, Sequence[Probed]],
    rows: Rows,
) -> None:
    """Write the table, the summary and, where Matplotlib is there, the figure into a folder.

    Arguments:
        folder: for the files.
        content: of the summary.
        found: by features, the probes of each kind and outer fold.
        rows: what was predicted.

    Raises:
        UserError: the folder cannot be written.
    """
    lines = []
    for features, own in found.items():
        for one in own:
            fold = rows.folds[one.fold]
            labels = rows.labels[fold.test]
            scores = {name: score(labels, one.probabilities, name) for name in METRICS}
            lines.append(
                {**features._asdict(), "probe": one.kind, "fold": one.fold}
                | {"train_rows": len(fold.train), "test_rows": len(fold.test)}
                | {"setting": str(one.setting), "inner_log_loss": one.inner_loss, **scores}
            )
    check_writable(folder)
    data = pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
    write_bytes(folder / TABLE, data.encode())
    write_json(folder / SUMMARY, content)
    try:
        from ntjax.reports.probe_figures import draw_layers
    except ImportError:
        print('note: no figure: Matplotlib is missing: pip install "ntjax[plots]"')
        return
    draw_layers(content["results"], "mcc", "MCC", folder / FIGURE)


def print_probe(content: dict[str, Any]) -> None:
    """Print a line for each network, pooling and probe with the layer that inner folds chose."""
    print(f"{content['n']:,} test rows ({content['protocol']}), 95% intervals")
    for one in content["chosen"]:
        layers = ", ".join(map(str, sorted(set(one["layers"]))))
        what = f"{one['network']}, {one['pooling']}, {one['probe']}"
        print(f"  {what}: layer {layers} chosen by inner folds: {_cells(one)}")
        last = one.get("chosen_minus_last")
        if last and last["low"] is not None:
            print(f"    MCC above the last layer: {interval_cell(last)}")
    for one in content["results"]:
        if one["network"] == SEQUENCE:
            print(f"  {one['pooling']}, {one['probe']}: {_cells(one)}")


def _cells(one: dict[str, Any]) -> str:
    return ", ".join(
        f"{metric_name(name)} {interval_cell(one['metrics'][name])}" for name in _SHOWN
    )
