"""Every claim of the report: what was measured, and whether it holds."""

from pathlib import Path
from typing import Any

from experiments.promoters.claims.claims import CLAIMS
from experiments.promoters.claims.findings import NOT_HERE, Finding, Records
from experiments.promoters.claims.of_contests import PASSES
from experiments.promoters.study import HERE, Study, keep, result_of
from ntjax.io.json import read_json
from ntjax.reports.cells import LEVEL
from ntjax.reports.page import Block, Table, Text

NAME, TITLE = "ledger", "The report's claims"
_PASSES_FILE = HERE / PASSES / f"{PASSES}.json"


def records_of(study: Study) -> Records:
    """What the other sections and the contest have found so far."""
    wanted = {section for claim in CLAIMS for section in claim.sections}
    found = {name: result_of(study, name) for name in wanted - {PASSES}}
    records = {name: result for name, result in found.items() if result is not None}
    if _PASSES_FILE.exists():
        records[PASSES] = read_json(_PASSES_FILE)
    return records


def run(study: Study, records: Records) -> dict[str, Any]:
    """The claims, by what was found so far; made anew each time."""
    lines = []
    for claim in CLAIMS:
        if missing := [name for name in claim.sections if name not in records]:
            finding = Finding("–", "–", f"not run: {', '.join(missing)}")
        else:
            finding = claim.finding(records)
        where = ", ".join(claim.sections) or "published"
        lines.append({"claim": claim.text, "sections": where, **finding._asdict()})
    result = {"model": Path(study.model).name, "claims": lines}
    keep(study, NAME, result)
    return result


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The table, and below it what the verdicts rest on."""
    del folder
    keys = ("claim", "number", "verdict", "sections")
    return (
        Text(
            f"Measured with {record['model']}: a verdict is one on the claim as made of it, not of "
            f"the published models. *{NOT_HERE}*: the data are not to be had."
        ),
        Table(
            ("the report says", "number", "verdict", "section"),
            tuple(tuple(line[key] for key in keys) for line in record["claims"]),
        ),
        Text(
            "A claim of more than something holds where the 95% interval of the difference (or the "
            "two intervals, where the section has no difference) lies above, and the p-value, if "
            f"corrected there, is below {LEVEL}; two published shares are told apart by two "
            "standard errors. Intervals are over what the section says. The section *passes* is "
            "always of `mini`. What each verdict rests on:"
        ),
        *(Text(f"*{_plain(line['claim'])}*: {line['detail']}.") for line in record["claims"]),
    )


def _plain(text: str) -> str:
    return text.replace("*", "")
