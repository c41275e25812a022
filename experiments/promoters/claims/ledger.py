"""Every claim of the report: what was measured, and whether it holds."""

from pathlib import Path
from typing import Any

from experiments.promoters.claims.claims import CLAIMS, NOT_HERE, PRETRAINING
from experiments.promoters.study import HERE, Study, keep, result_of
from ntjax.reports.cells import LEVEL
from ntjax.reports.page import Block, Table, Text
from ntjax.runs.run import read_json

NAME, TITLE = "ledger", "The report's claims"


def run(study: Study) -> dict[str, Any]:
    """The claims, by what the other sections have found so far; made anew each time."""
    wanted = {section for claim in CLAIMS for section in claim.sections}
    found = {name: result_of(study, name) for name in wanted - {PRETRAINING}}
    records = {name: result for name, result in found.items() if result is not None}
    records[PRETRAINING] = read_json(HERE / PRETRAINING / f"{PRETRAINING}.json")["results"]
    lines = []
    for claim in CLAIMS:
        where = ", ".join(claim.sections) or "published numbers"
        if missing := [name for name in claim.sections if name not in records]:
            measured, verdict = f"not run: {', '.join(missing)}", "–"
        else:
            measured, verdict = claim.finding(records)
        line = {"claim": claim.text, "sections": where, "measured": measured, "verdict": verdict}
        lines.append(line)
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
            "interval of the difference (or the two intervals, where the sections named have no "
            "difference) lies above, and the p-value, if corrected there, is below "
            f"{LEVEL}; two published shares are told apart by two standard errors."
        ),
        Table(
            ("the report says", "measured", "verdict", "sections"),
            tuple(
                tuple(line[key] for key in ("claim", "measured", "verdict", "sections"))
                for line in record["claims"]
            ),
            "Every number is that of the sections named, and so is what its interval is over. "
            "Of pre-training, the model is always `mini`.",
        ),
    )
