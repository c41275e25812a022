"""What the study comes to, short enough to stand at the head of the project."""

from pathlib import Path
from typing import Any

from experiments.promoters.data.rows import CLEAN, LOCUS_CLEAN, PUBLISHED
from ntjax.io.files import written_atomically
from ntjax.reports.cells import interval_cell
from ntjax.reports.page import Table, as_markdown


def write_summary(folder: Path, methods: dict[str, Any], ledger: dict[str, Any]) -> None:
    """`summary.md`: the methods side by side, and the verdicts of the ledger."""
    verdicts = tuple((line["claim"], line["verdict"]) for line in ledger["claims"])
    blocks = [
        "# Promoters of *E. coli*, in short",
        f"AUROC on the 1,865 published test rows [95% interval over loci], by the rows that were "
        f"trained on. Transformers: {methods['steps']:,} steps of 32 sequences "
        f"({methods['passes']:.1f} passes over the rows), the CNN {methods['epochs']} passes; "
        f"{methods['protocols'][CLEAN]['seeds']} seeds on the clean rows, else one. Seconds of "
        f"training: {methods['machine']}.",
        as_markdown(_methods(methods)),
        f"The report's claims, measured with {ledger['model']} (numbers: `report.md`):",
        as_markdown(Table(("the report says", "verdict"), verdicts)),
    ]
    data = ("\n\n".join(blocks) + "\n").encode()
    with written_atomically(folder / "summary.md", len(data)) as file:
        file.write(data)


def _methods(record: dict[str, Any]) -> Table:
    protocols = {name: record["protocols"][name] for name in (CLEAN, LOCUS_CLEAN, PUBLISHED)}
    heads = (
        "method", "clean", "locus-clean", "test promoters in training", "trained numbers",
        "seconds",
    )  # fmt: skip
    rows = []
    for name in protocols[CLEAN]["results"]:
        cost = protocols[CLEAN]["costs"].get(name, {})
        cells = [interval_cell(of["results"][name]["auroc"]) for of in protocols.values()]
        cells += [f"{cost[key]:,.0f}" if key in cost else "–" for key in ("trained", "seconds")]
        rows.append((name, *cells))
    return Table(heads, tuple(rows))
