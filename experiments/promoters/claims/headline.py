"""The head of the page: one figure, and five sentences whose words follow the numbers."""

from pathlib import Path
from typing import Any

from experiments.promoters.claims.findings import Records
from experiments.promoters.claims.of_contests import (
    PASSES,
    TASKS,
    best_transformer,
    contested,
    of_one_seed,
    seeds_of,
)
from experiments.promoters.claims.verdicts import FAILS, HOLDS, by_difference
from experiments.promoters.data.baseline_runs import MARKOV
from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN
from experiments.promoters.passes.arms import CNN
from experiments.promoters.passes.page import SEEN
from ntjax.reports.cells import interval_cell, signed_cell
from ntjax.reports.figures import COLOURS, interval_lengths, new_picture, save
from ntjax.reports.page import Block, Figure, Text

NAME, TITLE = "headline", "In short"
_TITLES = {
    GENOMIC: "promoters or other windows of the genome\n(equal GC, held-out blocks)",
    CLEAN: "promoters or random bases\n(published test rows, clean training)",
}


def blocks(records: Records, folder: Path) -> tuple[Block, ...]:
    """Draw the figure, and say in sentences what it shows."""
    said = tuple(Text(f"{number}. {text}") for number, text in enumerate(sentences(records), 1))
    if not (results := contested(records)):
        return said
    file = draw(results, folder)
    passes = records[PASSES]["passes"]
    caption = (
        f"AUROC on test rows after {passes} passes over the training rows, the best state kept; "
        "mean over seeds, 95% interval over loci. The line is at the CNN."
    )
    return (*said, Figure(file, caption))


def draw(results: dict[str, dict[str, Any]], folder: Path) -> str:
    """Draw a dot with its interval for each arm, a panel for each task."""
    most = max(len(of_task["arms"]) for of_task in results.values())
    picture, axes = new_picture(columns=len(results), width=5.6, height=0.9 + 0.32 * most)
    for axis, (name, of_task) in zip(axes.flat, results.items(), strict=True):
        arms = {arm: one["test"]["auroc"] for arm, one in of_task["arms"].items()}
        arms = dict(sorted(arms.items(), key=lambda item: item[1]["value"], reverse=True))
        for place, (arm, found) in enumerate(arms.items()):
            lengths = interval_lengths([found])
            colour = COLOURS[0 if arm.startswith("mini") else 1]
            axis.errorbar([found["value"]], [place], xerr=lengths, fmt="o", color=colour, capsize=2)
        axis.axvline(arms[CNN]["value"], color="0.6", linewidth=1)
        axis.set_yticks(range(len(arms)), list(arms))
        axis.invert_yaxis()
        axis.grid(axis="x", linewidth=0.5, alpha=0.5)
        axis.set_title(_TITLES[name], fontsize="medium")
        axis.set_xlabel("AUROC, test rows")
    return save(picture, folder / "headline.png")


def sentences(records: Records) -> list[str]:
    """Say what a biologist should know, as far as it was measured."""
    found: list[str] = []
    if results := contested(records):
        found += [_against_cnn(results), *_pre_training(results), *_adapters(results)]
    if {"leakage", "methods"} <= records.keys():
        found.append(_test_set(records))
    if "scan" in records:
        found.append(_genome(records["scan"]))
    return found


def _word(difference: dict[str, Any], above: str, below: str, neither: str) -> str:
    verdict = by_difference(difference, difference.get("holm"))
    return {HOLDS: above, FAILS: below}.get(verdict, neither)


def _against_cnn(results: dict[str, dict[str, Any]]) -> str:
    said = []
    for name, of_task in results.items():
        best = best_transformer(of_task)
        ours, theirs = (of_task["arms"][arm] for arm in (best, CNN))
        one, cnn = (arm["test"]["auroc"] for arm in (ours, theirs))
        word = _word(one["difference"], "is ahead of", "is behind", "cannot be told from")
        said.append(
            f"{TASKS[name]} `mini` ({_unprefixed(best)}) {word} a small CNN trained from scratch: "
            f"AUROC {interval_cell(one)} and {interval_cell(cnn)}"
            f"{of_one_seed(seeds_of(ours), seeds_of(theirs))}"
        )
    return _sentence("; ".join(said))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _unprefixed(arm: str) -> str:
    return arm.removeprefix("mini, ")


def _pre_training(results: dict[str, dict[str, Any]]) -> list[str]:
    said = []
    for name, of_task in results.items():
        if (gain := of_task["pairs"].get("pre-training")) is None:
            continue
        word = _word(gain, "pays", "does harm", "makes no difference that can be told")
        seeds = of_one_seed(*gain["seeds"].values())
        said.append(f"{word} {TASKS[name]} (AUROC {signed_cell(gain)}{seeds})")
    return [f"Pre-training {', and '.join(said)}; {SEEN}."] if said else []


def _adapters(results: dict[str, dict[str, Any]]) -> list[str]:
    name, of_task = next(iter(results.items()))
    kinds = {
        "LoRA": "LoRA on all six layers, against all weights",
        "IA³": "IA³, against all weights",
    }
    said = []
    for kind, pair in kinds.items():
        if (gap := of_task["pairs"].get(pair)) is not None:
            word = _word(gap, "above", "below", "not told from")
            seeds = of_one_seed(*gap["seeds"].values())
            said.append(f"{kind} is {word} training all weights (AUROC {signed_cell(gap)}{seeds})")
    return [_sentence(f"{TASKS[name]} {'; '.join(said)}")] if said else []


def _test_set(records: Records) -> str:
    of = records["leakage"]["audit"]["overlap"]["by_label"]["1"]
    markov = records["methods"]["protocols"][CLEAN]["results"][MARKOV]["auroc"]
    return (
        f"Of the {of['rows']:,} published test promoters {of['exact_copy']:,} are in the published "
        "training file; and the test negatives are random bases, which a Markov chain of the "
        f"genome that knows no promoter tells from them with an AUROC of {interval_cell(markov)}."
    )


def _genome(record: dict[str, Any]) -> str:
    of = record["results"][record["model"]]["test"]
    precision, recall = (
        f"{of[name]['value']:.1%} [{of[name]['low']:.1%}, {of[name]['high']:.1%}]"
        for name in ("precision", "recall")
    )
    return (
        f"Along held-out genome {precision} of the calls are known start sites (a lower bound; "
        f"calls at random places: {record['chance']:.1%}), and {recall} of the known sites are "
        "found."
    )
