"""What the report claims, and what the study's sections say of each claim."""

from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.promoters import published
from experiments.promoters.claims.verdicts import (
    FAILS,
    HOLDS,
    OPEN,
    below,
    by_difference,
    by_intervals,
    by_two_errors,
)
from experiments.promoters.data.baseline_runs import CNN, MARKOV
from experiments.promoters.data.rows import CLEAN, PUBLISHED
from ntjax.reports.cells import LEVEL, interval_cell, signed_cell

NOT_HERE = "not testable here"
PRETRAINING = "pretraining"
ONE_PASS = "CNN, 1 pass over the rows"
_TASKS = {"ecoli_promoters": "random letters", "genomic": "windows of the genome"}
_ROWS, _NEGATIVES = 1865, 1000
_WELL = 0.05

Records = dict[str, dict[str, Any]]
"""Results of the study's sections by name."""


class Finding(NamedTuple):
    """What was measured, and the verdict on the claim."""

    measured: str
    verdict: str


class Claim(NamedTuple):
    """A claim of the report.

    Attributes:
        text: what it says.
        sections: whose results the finding is made of.
        finding: of those sections' results; takes all of the records.
    """

    text: str
    sections: tuple[str, ...]
    finding: Callable[[Records], Finding]


def _beats_cnn(records: Records) -> Finding:
    record = records["methods"]
    clean = record["protocols"][CLEAN]
    adapted = [name for name, cost in clean["costs"].items() if "trained" in cost]
    results = clean["results"]
    best = max(adapted, key=lambda name: results[name]["auroc"]["value"])
    difference = results[best]["auroc"]["difference"]
    one_pass = "; ".join(
        f"{records[PRETRAINING][task]['methods']['mini, full']['auroc']['value']:.3f} and "
        f"{records[PRETRAINING][task]['methods'][ONE_PASS]['auroc']['value']:.3f} against {called}"
        for task, called in _TASKS.items()
    )
    return Finding(
        f"AUROC on clean rows: {best} {interval_cell(results[best]['auroc'])} after "
        f"{record['passes']:.1f} passes over the rows, a small CNN from scratch "
        f"{interval_cell(results[CNN]['auroc'])} after {record['epochs']}; difference "
        f"{signed_cell(difference)}. `mini` (all weights) after little more than one pass "
        f"and the CNN after one: {one_pass}",
        f"{by_difference(difference, clean['p'][best])}, at these budgets",
    )


def _distinct(records: Records) -> Finding:
    audited = records["leakage"]["audit"]
    of = audited["overlap"]["by_label"]["1"]
    left = audited["genome"]["test"]["by_label"]["1"]["near_after_removing_shared_kmers"]
    return Finding(
        f"{of['exact_copy']:,} of {of['rows']:,} test promoters stand in its *E. coli* training "
        f"file letter for letter; without all that share a 16-mer, {left:,} still lie within 200 "
        "letters of a training row",
        FAILS if of["exact_copy"] else HOLDS,
    )


def _alike_negatives(records: Records) -> Finding:
    composition = records["leakage"]["audit"]["composition"]
    markov = records["methods"]["protocols"][CLEAN]["results"][MARKOV]["auroc"]
    test, train = (
        [composition[label][f"{part}_gc"] for label in ("1", "0")] for part in ("test", "train")
    )
    alike = abs(test[0] - test[1]) < 0.01
    return Finding(
        f"share of G and C {test[0]:.3f} and {test[1]:.3f} in the test (training: {train[0]:.3f} "
        f"and {train[1]:.3f}); but a Markov chain of the genome that knows no promoter tells them "
        f"apart with an AUROC of {interval_cell(markov)}",
        f"of single letters in the test: {HOLDS if alike else FAILS}; beyond: "
        f"{FAILS if markov['low'] > 0.5 else OPEN}",
    )


def _two_of_three(_: Records) -> Finding:
    ours, tools = published.THOUSAND, published.TOOLS[:3]
    beaten = [tool.name for tool in tools if ours.accuracy > tool.accuracy]
    return Finding(
        f"its own numbers: {ours.accuracy:.3f} after 1,000 steps against "
        + ", ".join(f"{tool.accuracy:.2f} ({tool.name})" for tool in tools),
        f"{HOLDS if len(beaten) >= 2 else FAILS}, by its own point estimates",
    )


def _best_model(_: Records) -> Finding:
    first, *others = (published.THOUSAND, published.LARGE_MULTI_SPECIES, published.LARGE)
    next_best = max(other.accuracy for other in others)
    named = ", ".join(f"{r.accuracy:.3f} ({r.name})" for r in (first, *others))
    return Finding(
        f"its own numbers: test accuracy {named}, one run each on {_ROWS:,} rows",
        by_two_errors(first.accuracy, next_best, _ROWS),
    )


def _specific(records: Records) -> Finding:
    tools, theirs = published.TOOLS[:3], published.THOUSAND.specificity
    best = max(tool.specificity for tool in tools)
    most = max(published.TOOLS, key=lambda tool: tool.specificity)
    ours = ", ".join(
        f"{interval_cell(run['test']['specificity'])} ({name})"
        for name, run in records["comparison"]["runs"].items()
        if name.endswith(f", {CLEAN}")
    )
    return Finding(
        f"by the textbook its 500M-1000G has {theirs:.3f} after 1,000 steps, the three best tools "
        f"at most {best:.2f}, {most.name} {most.specificity:.2f}; of its 2.5B runs none is "
        f"published. Here {ours}",
        f"by its own numbers, against the three best: {by_two_errors(theirs, best, _NEGATIVES)}; "
        f"against {most.name}: {by_two_errors(theirs, most.specificity, _NEGATIVES)}",
    )


def _dropout(records: Records) -> Finding:
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
    return Finding(
        f"validation chooses {choice['chosen']}, {sweep['seeds']} seeds each; {len(told)} of the "
        f"{len(choice['against'])} others can be told from it{beside}",
        verdict,
    )


def _more_steps(records: Records) -> Finding:
    clean = records["stages"]["protocols"][CLEAN]
    few, many = published.THOUSAND.accuracy, published.TEN_THOUSAND.accuracy
    theirs = f"its own: {few:.3f} to {many:.3f} test accuracy, one run each"
    if not (more := clean.get("more steps")):
        return Finding(
            f"{theirs}; measured in the full study",
            f"by its own numbers: {by_two_errors(many, few, _ROWS)}",
        )
    totals, arm = clean["totals"], "E. coli only"
    fewest, most = (pick(totals, key=int) for pick in (min, max))
    gain = more[arm]["accuracy"]
    of_seeds = ", of one seed" * (totals[most]["test"][arm]["accuracy"]["sd"] is None)
    return Finding(
        f"{theirs}; here test accuracy after {int(most):,} steps{of_seeds}, minus after "
        f"{int(fewest):,}: "
        f"{signed_cell(gain)}",
        f"{by_difference(gain)}{of_seeds}",
    )


def _second_stage(records: Records) -> Finding:
    totals = records["stages"]["protocols"][CLEAN]["totals"]
    total = max(totals, key=int)
    arms = totals[total]
    name = "species, then E. coli"
    against = arms["test"][name]["accuracy"]["difference"]
    added = arms["second stage"]["accuracy"]
    before, after = published.TEN_THOUSAND.accuracy, published.TWO_STAGES.accuracy
    return Finding(
        f"its own: {before:.3f} to {after:.3f}, though the second stage's file holds every test "
        f"promoter; here ({int(total):,} steps in all, the same for all arms) two stages minus "
        f"*E. coli* alone {signed_cell(against)}, minus all species alone "
        f"{signed_cell(added)}",
        by_difference(added, arms["p"]["second stage"]),
    )


def _share_of_coli(records: Records) -> Finding:
    species = records["stages"]["species"]
    counts = {name: sum(parts.values()) for name, parts in species.items()}
    [coli] = [n for name, n in counts.items() if name.startswith("Escherichia")]
    total = sum(counts.values())
    return Finding(
        f"{coli / total:.1%} of {total:,} promoters in iPro-MP's files, which stand in for PPD",
        f"{NOT_HERE}: PPD's file is not to be had",
    )


def _best_accuracy(records: Records) -> Finding:
    gains = ", ".join(
        f"{signed_cell(of[PUBLISHED]['auroc']['difference'])} ({method})"
        for method, of in records["leakage"]["results"].items()
    )
    best, tool = published.BEST.accuracy, max(t.accuracy for t in published.TOOLS)
    return Finding(
        f"its own: {best:.3f} against {tool:.2f}, trained on rows that were not kept apart from "
        f"the test. What test promoters in training add to the AUROC here, one seed: {gains}",
        f"by its own numbers: {by_two_errors(best, tool, _ROWS)}, on rows that are not distinct",
    )


def _transfer(records: Records) -> Finding:
    comparison = records["comparison"]
    first = comparison["model"]
    named = (first, f"{first}, untrained")
    tested = [comparison["runs"][f"{name}, {CLEAN}"]["test"]["accuracy"] for name in named]
    found, verdicts = [], []
    for task, called in _TASKS.items():
        methods = records[PRETRAINING][task]["methods"]
        full, plain = (methods[f"{name}, full"]["auroc"] for name in ("mini", "untrained"))
        found.append(f"{interval_cell(full)} and {interval_cell(plain)} against {called}")
        verdicts.append(f"all weights, {called}: {by_intervals(full, plain)}")
    return Finding(
        f"test accuracy of LoRA on {first} and on the same network untrained, one seed: "
        f"{interval_cell(tested[0])} and {interval_cell(tested[1])}. All weights of mini and of "
        f"the same untrained, five seeds, AUROC {'; '.join(found)}",
        "; ".join((f"LoRA: {by_intervals(*tested)}", *verdicts)),
    )


def _lora_as_full(records: Records) -> Finding:
    clean = records["methods"]["protocols"][CLEAN]
    difference = clean["lora_minus_full"]
    trained = {
        name.rpartition(", ")[2]: cost["trained"]
        for name, cost in clean["costs"].items()
        if "trained" in cost
    }
    if difference["high"] < 0:
        verdict = FAILS
    else:
        verdict = f"{HOLDS}: better" if difference["low"] > 0 else OPEN
    return Finding(
        f"AUROC of LoRA minus that of all weights {signed_cell(difference)}; "
        f"{trained['lora']:,} trained numbers against {trained['full']:,}",
        verdict,
    )


def _calibrated(records: Records) -> Finding:
    record = records["calibration"]
    before, after = (record["protocols"][CLEAN][n]["ECE"] for n in ("uncalibrated", "Platt"))
    prior, found = next(iter(record["priors"].items()))
    rare = found["measures"]["Platt, as it was fitted"]["ECE"]
    return Finding(
        f"ECE before Platt scaling {interval_cell(before)}, after {interval_cell(after)}; where "
        f"{float(prior):.0%} are promoters {interval_cell(rare)}. That one class lies above and "
        "the other below the diagonal is one fact: of two classes the curves mirror each other",
        f"ECE below {_WELL}: {below(after, _WELL)} after Platt scaling, {below(rare, _WELL)} where "
        "promoters are rare",
    )


def _separable(records: Records) -> Finding:
    numbers = {name: of["linear_probe"] for name, of in records["embeddings"]["numbers"].items()}
    inputs = [probe for name, probe in numbers.items() if name.startswith("input")]
    best = max(inputs, key=lambda probe: probe["value"])
    before, after = (numbers[f"output, {when} fine-tuning"] for when in ("before", "after"))
    return Finding(
        f"accuracy of a linear probe on the better input {interval_cell(best)}, on the output "
        f"before fine-tuning {interval_cell(before)}, after {interval_cell(after)}",
        f"before fine-tuning: {by_intervals(before, best)}; after: {by_intervals(after, best)}",
    )


def _not_kmers(records: Records) -> Finding:
    of = records["embeddings"]["numbers"]["input: bag of k-mers"]
    probe = of["linear_probe"]
    return Finding(
        f"a linear probe on the mere counts of k-mers calls {interval_cell(probe)} rightly; "
        f"always saying the larger class {of['majority']:.3f}",
        FAILS if probe["low"] > of["majority"] else OPEN,
    )


def _salience(records: Records) -> Finding:
    precision = records["salience"]["planted"]["precision"]
    cells = [
        f"{name} {of['precision']['value']:.3f}, {signed_cell(of['above_position_only'])}"
        for name, of in precision.items()
        if name.startswith(("attention", "mutagenesis", "one who"))
    ]
    theirs = precision["attention (the report's)"]["above_position_only"]
    return Finding(
        "precision at boxes planted in simulated promoters, and above what their place gives: "
        + "; ".join(cells),
        f"the report's salience above the place alone: {by_difference(theirs)}",
    )


def _curated(records: Records) -> Finding:
    record = records["curated"]
    difference = record["test"]["curated"]["accuracy"]["difference"]
    return Finding(
        "trained on curated promoters minus as many of PPD's others: accuracy "
        f"{signed_cell(difference)}",
        f"better: {by_difference(difference, record['p']['curated'])}",
    )


def _other_species(records: Records) -> Finding:
    found = records["other_species"]["species"]
    aurocs = {name: of["auroc"]["others"]["both"] for name, of in found.items()}
    ends = [pick(aurocs, key=lambda name: aurocs[name]["value"]) for pick in (min, max)]
    cells = [f"{interval_cell(aurocs[name])} ({name})" for name in ends]
    above = sum(auroc["low"] > 0.5 for auroc in aurocs.values())
    return Finding(
        f"AUROC on species that were left out: {' to '.join(cells)}",
        f"above chance for {above} of {len(found)}",
    )


def _maps_a_genome(records: Records) -> Finding:
    record = records["scan"]
    of = record["results"][record["model"]]["test"]
    return Finding(
        f"in held-out blocks of the genome the precision of calls is "
        f"{interval_cell(of['precision'])} at a recall of {interval_cell(of['recall'])} "
        f"(precision is a lower bound; calls at random places: {record['chance']:.3f})",
        "above calls at random places: "
        + by_difference({key: of["precision"][key] - record["chance"] for key in ("low", "high")}),
    )


CLAIMS = (
    Claim(
        "a transformer outperforms convolutional networks",
        ("methods", PRETRAINING),
        _beats_cnn,
    ),
    Claim("the test set is distinct from the training data", ("leakage",), _distinct),
    Claim(
        "the negatives have nucleotide distributions similar to the promoters'",
        ("leakage", "methods"),
        _alike_negatives,
    ),
    Claim("*E. coli* is 6.7% of the training set", ("stages",), _share_of_coli),
    Claim("500M-1000G outperforms two of the three best tools", (), _two_of_three),
    Claim("500M-1000G is best on the test, before models five times its size", (), _best_model),
    Claim("transformers are more specific than the benchmarked tools", ("comparison",), _specific),
    Claim("transfer learning improves the prediction", ("comparison", PRETRAINING), _transfer),
    Claim("LoRA performs as well as training all weights", ("methods",), _lora_as_full),
    Claim("the best LoRA dropout is 0.4", ("sweeps",), _dropout),
    Claim("10,000 steps are better than 1,000", ("stages",), _more_steps),
    Claim("a second stage on *E. coli* serves the classification", ("stages",), _second_stage),
    Claim("accuracy 0.81, better than earlier benchmarks", ("leakage",), _best_accuracy),
    Claim("the model is well calibrated", ("calibration",), _calibrated),
    Claim("output embeddings are more separable than input ones", ("embeddings",), _separable),
    Claim("it is not the presence of k-mers that tells the classes", ("embeddings",), _not_kmers),
    Claim("the salience shows biologically relevant regions", ("salience",), _salience),
    Claim("outlook: curated promoters to train on", ("curated",), _curated),
    Claim("outlook: other species", ("other_species",), _other_species),
    Claim("outlook: promoters mapped along a genome", ("scan",), _maps_a_genome),
)
