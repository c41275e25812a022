"""What the contest of `passes`, the sweeps and published numbers say of the report's claims."""

from collections.abc import Callable
from statistics import fmean
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
from experiments.promoters.passes.arms import BEST, CNN
from experiments.promoters.passes.misclassified import BOXES, GC
from experiments.promoters.passes.page import NAME as PASSES
from experiments.promoters.passes.page import SEEN
from ntjax.reports.cells import LEVEL, interval_cell, signed_cell

TASKS = {
    GENOMIC: "against windows of the genome of equal GC (held-out blocks)",
    CLEAN: "against random bases (the published rows, clean)",
}
_SHORT = {GENOMIC: "genome", CLEAN: "random bases"}
_LORA = ("all six layers", "query and value")
_ROWS, _NEGATIVES = 1865, 1000


def best_transformer(of_task: dict[str, Any]) -> str:
    """Choose the arm of `mini` with the best AUROC on validation rows of equal GC."""
    ours = [name for name in of_task["arms"] if name.startswith("mini")]
    return max(ours, key=lambda name: fmean(of_task["arms"][name]["auroc"]["matched validation"]))


def contested(records: Records) -> dict[str, dict[str, Any]]:
    """Return the contest's results of both tasks, the genomic one first.

    Those without a CNN or without an arm of `mini` are left out.
    """
    results = records.get(PASSES, {"results": {}})["results"]
    there = {name: results[name] for name in TASKS if name in results}
    return {
        name: of_task
        for name, of_task in there.items()
        if CNN in of_task["arms"] and any(arm.startswith("mini") for arm in of_task["arms"])
    }


def of_one_seed(*seeds: int) -> str:
    """Say where a number is of one seed on any side; else nothing."""
    return ", of one seed" if min(seeds) == 1 else ""


def seeds_of(arm: dict[str, Any]) -> int:
    """Count the fits of an arm."""
    return len(arm["auroc"]["test"])


def _of_tasks(records: Records, measure: Callable[[dict[str, Any]], Finding | None]) -> Finding:
    """Measure both tasks: the first one's number, and the verdicts and details of both."""
    found = {name: one for name, task in contested(records).items() if (one := measure(task))}
    if not found:
        return Finding("–", "–", "not measured")
    verdicts = {one.verdict for one in found.values()}
    if len(verdicts) > 1:
        verdicts = {"; ".join(f"{_SHORT[name]}: {one.verdict}" for name, one in found.items())}
    return Finding(
        next(iter(found.values())).number,
        verdicts.pop(),
        "; ".join(f"{TASKS[name]} {one.detail}" for name, one in found.items()),
    )


def _of_pair(pair: dict[str, Any] | None) -> Finding | None:
    """Judge a pair of arms by its difference, corrected p-value and seeds."""
    if pair is None:
        return None
    verdict = by_difference(pair, pair.get("holm")) + of_one_seed(*pair["seeds"].values())
    return Finding(f"AUROC {pair['value']:+.3f}", verdict, signed_cell(pair))


def beats_cnn(records: Records) -> Finding:
    """Set the best transformer beside the CNN."""

    def measure(of_task: dict[str, Any]) -> Finding:
        arms, best = of_task["arms"], best_transformer(of_task)
        one, cnn = (arms[arm]["test"]["auroc"] for arm in (best, CNN))
        seeds = (seeds_of(arms[arm]) for arm in (best, CNN))
        return Finding(
            f"AUROC {one['value']:.3f}, CNN {cnn['value']:.3f}",
            by_difference(one["difference"]) + of_one_seed(*seeds),
            f"{interval_cell(one)} ({best}), the CNN {interval_cell(cnn)}, "
            f"difference {signed_cell(one['difference'])}",
        )

    found, passes = _of_tasks(records, measure), records[PASSES]["passes"]
    lead = (
        f"AUROC after {passes} passes over the rows for either side, the best state on validation "
        "rows of equal GC kept, "
    )
    return found._replace(detail=lead + found.detail)


def transfer(records: Records) -> Finding:
    """Set the pre-trained network beside the same untrained."""
    found = _of_tasks(records, lambda of_task: _of_pair(of_task["pairs"].get("pre-training")))
    lead = (
        "AUROC of `mini`, all weights trained, minus that of the same network from random weights: "
    )
    return found._replace(detail=f"{lead}{found.detail}. {SEEN}")


def lora_as_full(records: Records) -> Finding:
    """Set LoRA on all six layers beside all weights."""
    wide, narrow = (f"LoRA on {which}, against all weights" for which in _LORA)

    def measure(of_task: dict[str, Any]) -> Finding | None:
        pairs = of_task["pairs"]
        if (found := _of_pair(pairs.get(wide))) is None:
            return None
        detail = f"on all six {found.detail}"
        if narrow in pairs:
            detail += f", on query and value {signed_cell(pairs[narrow])}"
        # The claim is that it is as good: more than that is more than it says.
        verdict = found.verdict
        if verdict.startswith(HOLDS):
            verdict = verdict.replace(HOLDS, f"{HOLDS}: better", 1)
        return Finding(found.number, verdict, detail)

    found = _of_tasks(records, measure)
    return found._replace(detail=f"AUROC of LoRA minus that of all weights: {found.detail}")


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
    found = _of_tasks(records, lambda of_task: _of_pair(of_task["pairs"].get("dropout")))
    lead = (
        "that another dropout is better says nothing of overfitting by itself. All weights of "
        "`mini` with 10% of what each layer adds dropped, minus without, AUROC: "
    )
    verdict = found.verdict if found.verdict == "–" else f"dropout helps: {found.verdict}"
    return Finding(found.number, verdict, lead + found.detail)


def misclassified(records: Records) -> Finding:
    """Say what the promoters that are missed lack."""
    found = _of_tasks(records, _missed)
    lead = (
        "promoters that `mini` (all weights) misses minus those that it finds, means (the score is "
        "a natural log-likelihood ratio): "
    )
    return found._replace(detail=lead + found.detail)


def _missed(of_task: dict[str, Any]) -> Finding | None:
    found = of_task["misclassified"].get(BEST)
    if found is None or found[BOXES]["difference"]["value"] is None:  # all are found, or none
        return None
    boxes, gc = (found[feature]["difference"] for feature in (BOXES, GC))
    told = (_told(boxes, "stronger boxes", "weaker boxes"), _told(gc, "more GC", "less GC"))
    return Finding(
        f"boxes {boxes['value']:+.1f}, GC {gc['value']:+.3f}",
        ", ".join(filter(None, told)) or OPEN,
        f"{found['rows']['missed']:,} of {sum(found['rows'].values()):,} are missed; score of "
        f"their −35 and −10 boxes {signed_cell(boxes)}, share of G and C {signed_cell(gc)}",
    )


def _told(difference: dict[str, Any], above: str, below: str) -> str:
    verdict = by_difference(difference)
    return {HOLDS: above, FAILS: below}.get(verdict, "")
