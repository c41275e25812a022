"""What the study comes to, short enough to stand at the head of the project."""

from pathlib import Path
from typing import Any

from experiments.promoters.claims.findings import Records
from experiments.promoters.claims.headline import sentences
from experiments.promoters.claims.of_contests import PASSES, contested, seeds_of
from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN
from ntjax.io.files import write_bytes
from ntjax.reports.cells import interval_cell
from ntjax.reports.page import Table, as_markdown

_HEADS = {GENOMIC: "against the genome, equal GC", CLEAN: "against random bases, clean"}


def write_summary(folder: Path, records: Records, ledger: dict[str, Any]) -> None:
    """`summary.md`: sentences, the contest, and the verdicts of the ledger."""
    keys = ("claim", "number", "verdict")
    verdicts = tuple(tuple(line[key] for key in keys) for line in ledger["claims"])
    blocks = ["# Promoters of *E. coli*, in short"]
    blocks += [f"{number}. {text}" for number, text in enumerate(sentences(records), 1)]
    if results := contested(records):
        blocks += [_lead(records[PASSES]), as_markdown(contest_table(results))]
    blocks += [
        f"The report's claims, measured with {ledger['model']} (numbers: `report.md`):",
        as_markdown(Table(("the report says", "number", "verdict"), verdicts)),
    ]
    write_bytes(folder / "summary.md", ("\n\n".join(blocks) + "\n").encode())


def _lead(record: dict[str, Any]) -> str:
    return (
        f"AUROC on test rows [95% interval over loci] after {record['passes']} passes over the "
        "training rows, by what promoters are told from (seeds in round brackets):"
    )


def contest_table(results: dict[str, dict[str, Any]]) -> Table:
    """Lay out every arm's AUROC in both tasks."""
    arms = list(dict.fromkeys(arm for of_task in results.values() for arm in of_task["arms"]))

    def cell(of_task: dict[str, Any], arm: str) -> str:
        if (one := of_task["arms"].get(arm)) is None:
            return "–"
        return f"{interval_cell(one['test']['auroc'])} ({seeds_of(one)})"

    rows = ((arm, *(cell(of_task, arm) for of_task in results.values())) for arm in arms)
    return Table(("method", *(_HEADS[name] for name in results)), tuple(rows))
