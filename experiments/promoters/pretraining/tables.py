"""The pre-training study as Markdown."""

from typing import Any

from ntjax.baselines.cnn import CNNConfig
from ntjax.metrics.seeds import METRICS
from ntjax.reports.markdown import markdown_table

_TITLES = {
    "ecoli_promoters": "Promoters against random letters (`ecoli_promoters`, clean)",
    "genomic": "Promoters against windows of the genome of equal GC, split by blocks",
}


def as_markdown(record: dict[str, Any]) -> str:
    """Two tables for each task: all methods, and the frame of the 6-mers."""
    study = record["study"]
    lines = [
        "# Does pre-training pay?",
        "",
        "`mini` is pre-trained, `twin` is pre-trained like it without any genome of *E. coli*, "
        "`untrained` begins with random weights. {steps:,} steps of {batch_size} sequences; means "
        "over {seeds} seeds (± their standard deviation; in brackets the 95% bootstrap interval of "
        "the mean over loci of the test rows, uncalibrated, threshold 0.5). The last column is the "
        "difference in AUROC on the same test rows, with its interval.".format(**study),
        "",
        "The genome that the promoters and the genomic windows are of was in `mini`'s "
        "pre-training, without labels; in the twin's it was not.",
    ]
    for name, result in record["results"].items():
        rows = ", ".join(f"{count:,} {part}" for part, count in result["rows"].items())
        seen = study["steps"] * study["batch_size"] / result["rows"]["train"]
        passes = (
            f"The transformers see each training row {seen:.1f} times, the CNN {CNNConfig.epochs} "
            "times or as often as its line says."
        )
        lines += ["", f"## {_TITLES[name]}", "", f"Rows: {rows}. {passes}", ""]
        lines += [f"- {note}" for note in result["notes"]]
        lines += ["", *_table(result["methods"], "the CNN")]
        if "frames" in result:
            lines += ["", f"### The frame of the 6-mers: `mini`, {study['frames_adapter']}", ""]
            lines += _table(result["frames"], "the plain run")
            if any("steps" in name for name in result["frames"]):
                lines += ["", f"Where no number of steps is named it is {study['steps']:,}."]
    return "\n".join(lines) + "\n"


def _table(methods: dict[str, dict[str, Any]], against: str) -> list[str]:
    heads = ["method", *METRICS, f"AUROC − that of {against}"]
    rows = [
        [name, *(_cell(result[metric]) for metric in METRICS), _difference(result["auroc"])]
        for name, result in methods.items()
    ]
    return markdown_table(heads, rows)


def _cell(metric: dict[str, Any]) -> str:
    spread = "" if metric["sd"] is None else f" ± {metric['sd']:.3f}"
    return f"{metric['value']:.3f}{spread} ({_interval(metric)})"


def _difference(metric: dict[str, Any]) -> str:
    difference = metric["difference"]
    return f"{difference['value']:+.3f} ({_interval(difference)})"


def _interval(metric: dict[str, Any]) -> str:
    return "{low:.3f} to {high:.3f}".format(**metric)
