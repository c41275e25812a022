"""What the contest of `passes`, the sweeps and published numbers say of the report's claims."""

from collections.abc import Sequence
from typing import Any

from experiments.promoters import published
from experiments.promoters.claims.findings import Finding, Records
from experiments.promoters.claims.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    by_difference,
    by_two_errors,
)
from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN
from experiments.promoters.passes.misclassified import BOXES, GC
from experiments.promoters.passes.page import SEEN
from ntjax.reports.cells import LEVEL, interval_cell, signed_cell

PASSES = "passes"
"""Name of the contest's results among the records."""

TASKS = {
    GENOMIC: "against windows of the genome of equal GC (held-out blocks)",
    CLEAN: "against random bases (the published rows, clean)",
}
_CNN = "CNN"
_ROWS, _NEGATIVES = 1865, 1000


def best_transformer(of_task: dict[str, Any]) -> str:
    """Choose the arm of `mini` with the best AUROC on validation rows of equal GC."""
    ours = [name for name in of_task["arms"] if name.startswith("mini")]
    return max(ours, key=lambda name: _mean(of_task["arms"][name]["auroc"]["matched validation"]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def contested(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the results of both tasks that have a CNN and a `mini`, the genomic one first."""
    there = {name: record["results"].get(name, {"arms": ()}) for name in TASKS}
    return {
        name: of_task
        for name, of_task in there.items()
        if _CNN in of_task["arms"] and any(arm.startswith("mini") for arm in of_task["arms"])
    }


def of_one_seed(*seeds: int) -> str:
    """Say where a number is of one seed on any side; else nothing."""
    return ", of one seed" if min(seeds) == 1 else ""


def seeds_of(arm: dict[str, Any]) -> int:
    """Count the fits of an arm."""
    return len(arm["auroc"]["test"])


def _judged(pair: dict[str, Any]) -> str:
    """Judge a pair of arms by its difference, corrected p-value and seeds."""
    return by_difference(pair, pair.get("holm")) + of_one_seed(*pair["seeds"].values())


def joined_verdict(verdicts: dict[str, str]) -> str:
    """Say a verdict of both tasks once where they agree."""
    if not verdicts:
        return "–"
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    short = {GENOMIC: "genome", CLEAN: "random bases"}
    return "; ".join(f"{short[name]}: {verdict}" for name, verdict in verdicts.items())


def beats_cnn(records: Records) -> Finding:
    """Set the best transformer beside the CNN."""
    record, details, verdicts, numbers = records[PASSES], [], {}, {}
    for name, of_task in contested(record).items():
        arms, best = of_task["arms"], best_transformer(of_task)
        one, cnn = (arms[arm]["test"]["auroc"] for arm in (best, _CNN))
        seeds = [seeds_of(arms[arm]) for arm in (best, _CNN)]
        verdicts[name] = by_difference(one["difference"]) + of_one_seed(*seeds)
        numbers[name] = f"AUROC {one['value']:.3f}, CNN {cnn['value']:.3f}"
        details.append(
            f"{TASKS[name]} {interval_cell(one)} ({best}), the CNN {interval_cell(cnn)}, "
            f"difference {signed_cell(one['difference'])}"
        )
    return Finding(
        next(iter(numbers.values()), "–"),
        joined_verdict(verdicts),
        f"AUROC after {record['passes']} passes over the rows for either side, the best state on "
        f"validation rows of equal GC kept, {'; '.join(details)}",
    )


def transfer(records: Records) -> Finding:
    """Set the pre-trained network beside the same untrained."""
    details, verdicts, numbers = [], {}, {}
    for name, of_task in contested(records[PASSES]).items():
        if (gain := of_task["pairs"].get("pre-training")) is None:
            continue
        verdicts[name] = _judged(gain)
        numbers[name] = f"AUROC {gain['value']:+.3f}"
        details.append(f"{TASKS[name]} {signed_cell(gain)}")
    return Finding(
        next(iter(numbers.values()), "–"),
        joined_verdict(verdicts),
        "AUROC of `mini`, all weights trained, minus that of the same network from random weights: "
        f"{'; '.join(details) or 'not measured'}. {SEEN}",
    )


def lora_as_full(records: Records) -> Finding:
    """Set LoRA on all six layers beside all weights."""
    details, verdicts, numbers = [], {}, {}
    wide, narrow = (f"LoRA on {which}, against all weights" for which in _LORA)
    for name, of_task in contested(records[PASSES]).items():
        pairs = of_task["pairs"]
        if wide not in pairs:
            continue
        gap = pairs[wide]
        verdicts[name] = _as_well(gap) + of_one_seed(*gap["seeds"].values())
        numbers[name] = f"AUROC {gap['value']:+.3f}"
        found = [f"on all six {signed_cell(gap)}"]
        if narrow in pairs:
            found.append(f"on query and value {signed_cell(pairs[narrow])}")
        details.append(f"{TASKS[name]} {', '.join(found)}")
    return Finding(
        next(iter(numbers.values()), "–"),
        joined_verdict(verdicts),
        f"AUROC of LoRA minus that of all weights: {'; '.join(details)}",
    )


_LORA = ("all six layers", "query and value")


def _as_well(gap: dict[str, Any]) -> str:
    verdict = by_difference(gap, gap.get("holm"))
    return f"{HOLDS}: better" if verdict == HOLDS else verdict


def two_of_three(_: Records) -> Finding:
    """Set the report's model beside its three best tools, by its own numbers."""
    ours, tools = published.THOUSAND, published.TOOLS[:3]
    beaten = [tool.name for tool in tools if ours.accuracy > tool.accuracy]
    return Finding(
        f"{len(beaten)} of 3",
        f"{HOLDS if len(beaten) >= 2 else FAILS}, by its own numbers",
        f"its own numbers: accuracy {ours.accuracy:.3f} after 1,000 steps against "
        + ", ".join(f"{tool.accuracy:.2f} ({tool.name})" for tool in tools),
    )


def best_model(_: Records) -> Finding:
    """Set the report's three models side by side, by its own numbers."""
    first, *others = (published.THOUSAND, published.LARGE_MULTI_SPECIES, published.LARGE)
    next_best = max(other.accuracy for other in others)
    named = ", ".join(f"{r.accuracy:.3f} ({r.name})" for r in (first, *others))
    return Finding(
        f"accuracy {first.accuracy:.3f} and {next_best:.3f}",
        by_two_errors(first.accuracy, next_best, _ROWS),
        f"its own numbers: test accuracy {named}, one run each on {_ROWS:,} rows",
    )


def specific(records: Records) -> Finding:
    """Set the report's specificity beside that of the tools."""
    tools, theirs = published.TOOLS[:3], published.THOUSAND.specificity
    best = max(tool.specificity for tool in tools)
    most = max(published.TOOLS, key=lambda tool: tool.specificity)
    ours = ", ".join(
        f"{interval_cell(run['test']['specificity'])} ({name})"
        for name, run in records["comparison"]["runs"].items()
        if name.endswith(f", {CLEAN}")
    )
    return Finding(
        f"{theirs:.2f}; three best {best:.2f}, {most.name} {most.specificity:.2f}",
        f"three best: {by_two_errors(theirs, best, _NEGATIVES)}; "
        f"{most.name}: {by_two_errors(theirs, most.specificity, _NEGATIVES)}",
        f"specificity by the textbook: its 500M-1000G has {theirs:.3f} after 1,000 steps, the "
        f"three best tools at most {best:.2f}, {most.name} {most.specificity:.2f}; of its 2.5B "
        f"runs none is published. Here {ours}",
    )


def dropout(records: Records) -> Finding:
    """Tell the chosen LoRA dropout from the others."""
    sweep = records["sweeps"]
    choice = sweep["choice"]
    told = [name for name, test in choice["against"].items() if test["holm"] < LEVEL]
    reported = choice["against"].get("dropout 0.4")
    beside = (
        f"; {choice['chosen']} minus dropout 0.4: {reported['difference']:+.3f} "
        f"[{reported['low']:+.3f}, {reported['high']:+.3f}]"
        if reported
        else ""
    )
    if reported:
        verdict = FAILS if reported["holm"] < LEVEL else OPEN
    else:
        verdict = HOLDS if len(told) == len(choice["against"]) else OPEN
    others = len(choice["against"])
    return Finding(
        f"{len(told)} of {others} others told apart",
        verdict,
        f"validation accuracy chooses {choice['chosen']}, {sweep['seeds']} seeds each; {len(told)} "
        f"of the {others} others can be told from it{beside}",
    )


def dropout_as_cited(_: Records) -> Finding:
    """Say what the reference calls LoRA dropout, and what was run."""
    return Finding(
        "–",
        "another method was run",
        "its reference (Lin et al. 2024, arXiv:2404.09610) drops rows and columns of the matrices "
        "A and B; the report's notebook, like PEFT and this project, drops elements of the layer's "
        "input. A sweep of the second says nothing of the first",
    )


def cosine(_: Records) -> Finding:
    """Say what attention computes."""
    return Finding(
        "–",
        FAILS,
        "attention weights are a softmax of scaled dot products, q·k/√d (Vaswani et al. 2017), in "
        "the official model too; lengths of vectors count, which they do not in a cosine",
    )


def overfitting(records: Records) -> Finding:
    """Compare dropout with none where rows can be learned by heart."""
    details, verdicts, numbers = [], {}, {}
    for name, of_task in contested(records[PASSES]).items():
        if (gain := of_task["pairs"].get("dropout")) is None:
            continue
        verdicts[name] = _judged(gain)
        numbers[name] = f"AUROC {gain['value']:+.3f}"
        details.append(f"{TASKS[name]} {signed_cell(gain)}")
    return Finding(
        next(iter(numbers.values()), "–"),
        f"dropout helps: {joined_verdict(verdicts)}" if verdicts else "–",
        "that another dropout is better says nothing of overfitting by itself. All weights of "
        "`mini` with 10% of what each layer adds dropped, minus without, AUROC: "
        + "; ".join(details),
    )


def misclassified(records: Records) -> Finding:
    """Say what the promoters that are missed lack."""
    details, verdicts, numbers = [], {}, {}
    for name, of_task in contested(records[PASSES]).items():
        if (found := of_task["misclassified"].get("mini, all weights")) is None:
            continue
        boxes, gc = (found[feature]["difference"] for feature in (BOXES, GC))
        if boxes["value"] is None:  # all are found, or none
            continue
        verdicts[name] = ", ".join(
            filter(
                None,
                (_told(boxes, "stronger boxes", "weaker boxes"), _told(gc, "more GC", "less GC")),
            )
        )
        verdicts[name] = verdicts[name] or OPEN
        numbers[name] = f"boxes {boxes['value']:+.1f}, GC {gc['value']:+.3f}"
        details.append(
            f"{TASKS[name]} {found['rows']['missed']:,} of {sum(found['rows'].values()):,} are "
            f"missed; score of their −35 and −10 boxes {signed_cell(boxes)}, share of G and C "
            f"{signed_cell(gc)}"
        )
    return Finding(
        next(iter(numbers.values()), "–"),
        joined_verdict(verdicts),
        "promoters that `mini` (all weights) misses minus those that it finds, means (the score is "
        f"a natural log-likelihood ratio): {'; '.join(details)}",
    )


def _told(difference: dict[str, Any], above: str, below: str) -> str:
    verdict = by_difference(difference)
    return {HOLDS: above, FAILS: below}.get(verdict, "")
