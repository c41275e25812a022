"""Every claim of the report: what was measured, and whether it holds."""

from pathlib import Path
from typing import Any

from experiments.promoters.claims import CLAIMS, NOT_HERE, PRETRAINING
from experiments.promoters.page import Block, Table, Text
from experiments.promoters.study import HERE, Study, keep, result_of
from ntjax.runs import read_json

NAME, TITLE = "ledger", "The report's claims"


def run(study: Study) -> dict[str, Any]:
    """The claims, by what the other sections have found so far; made anew each time."""
    wanted = {section for claim in CLAIMS for section in claim.sections}
    found = {name: result_of(study, name) for name in wanted - {PRETRAINING}}
    records = {name: result for name, result in found.items() if result is not None}
    records[PRETRAINING] = read_json(HERE / f"{PRETRAINING}.json")["results"]
    lines = []
    for claim in CLAIMS:
        if missing := [name for name in claim.sections if name not in records]:
            measured, verdict = f"not run: {', '.join(missing)}", "–"
        else:
            measured, verdict = claim.finding(records)
        lines.append({"claim": claim.text, "measured": measured, "verdict": verdict})
    result = {"model": Path(study.model).name, "claims": lines}
    keep(study, NAME, result)
    return result


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The table."""
    del folder
    return (
        Text(
            f"What is measured here is measured with {record['model']}: a verdict is one on the "
            "claim as made of it, not of the published models, whose weights this page may not "
            f"have been made with (`--models` takes them). *{NOT_HERE}* is said where what a claim "
            "is about is not to be had. A claim of more than something holds where the 95% "
            "interval of the difference says so."
        ),
        Table(
            ("the report says", "measured", "verdict"),
            tuple((line["claim"], line["measured"], line["verdict"]) for line in record["claims"]),
            "Differences are of the same test rows, intervals over their loci.",
        ),
    )
