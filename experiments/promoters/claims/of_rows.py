"""What the study's sections on rows and stages say of the report's claims."""

from experiments.promoters import published
from experiments.promoters.claims.findings import NOT_HERE, Finding, Records
from experiments.promoters.claims.verdicts import FAILS, HOLDS, OPEN, by_difference, by_two_errors
from experiments.promoters.data.baseline_runs import MARKOV
from experiments.promoters.data.rows import CLEAN, PUBLISHED
from ntjax.reports.cells import interval_cell, signed_cell

_ROWS = 1865


def distinct(records: Records) -> Finding:
    """Count test promoters in the training file."""
    audited = records["leakage"]["audit"]
    of = audited["overlap"]["by_label"]["1"]
    left = audited["genome"]["test"]["by_label"]["1"]["near_after_removing_shared_kmers"]
    return Finding(
        f"{of['exact_copy']:,} of {of['rows']:,} in training",
        FAILS if of["exact_copy"] else HOLDS,
        f"{of['exact_copy']:,} of {of['rows']:,} test promoters are in its *E. coli* training "
        f"file, base for base; without all that share a 16-mer, {left:,} still lie within 200 bp "
        "of a training row",
    )


def alike_negatives(records: Records) -> Finding:
    """Compare the composition of promoters and negatives."""
    composition = records["leakage"]["audit"]["composition"]
    markov = records["methods"]["protocols"][CLEAN]["results"][MARKOV]["auroc"]
    test, train = (
        [composition[label][f"{part}_gc"] for label in ("1", "0")] for part in ("test", "train")
    )
    alike = abs(test[0] - test[1]) < 0.01
    return Finding(
        f"AUROC {markov['value']:.3f} without labels",
        f"single bases: {HOLDS if alike else FAILS}; beyond: "
        f"{FAILS if markov['low'] > 0.5 else OPEN}",
        f"share of G and C {test[0]:.3f} and {test[1]:.3f} in the test (training: {train[0]:.3f} "
        f"and {train[1]:.3f}); but a Markov chain of the genome that knows no promoter tells them "
        f"apart with an AUROC of {interval_cell(markov)}",
    )


def share_of_coli(records: Records) -> Finding:
    """Count *E. coli*'s promoters among those of all species."""
    species = records["stages"]["species"]
    counts = {name: sum(parts.values()) for name, parts in species.items()}
    [coli] = [n for name, n in counts.items() if name.startswith("Escherichia")]
    total = sum(counts.values())
    return Finding(
        f"{coli / total:.1%} in iPro-MP",
        NOT_HERE,
        f"{coli / total:.1%} of {total:,} promoters in iPro-MP's files; PPD's file, which the "
        "report used, is not to be had",
    )


def best_accuracy(records: Records) -> Finding:
    """Say what overlap is worth beside the report's best accuracy."""
    gains = ", ".join(
        f"{signed_cell(of[PUBLISHED]['auroc']['difference'])} ({method})"
        for method, of in records["leakage"]["results"].items()
    )
    best, tool = published.BEST.accuracy, max(t.accuracy for t in published.TOOLS)
    return Finding(
        f"{best:.3f} against {tool:.2f}",
        f"{by_two_errors(best, tool, _ROWS)}, on rows that are not distinct",
        f"its own: accuracy {best:.3f} against {tool:.2f}, trained on rows that were not kept "
        "apart from the test. What test promoters in training add to the AUROC here, one seed: "
        + gains,
    )


def more_steps(records: Records) -> Finding:
    """Compare many steps with few."""
    clean = records["stages"]["protocols"][CLEAN]
    few, many = published.THOUSAND.accuracy, published.TEN_THOUSAND.accuracy
    theirs = f"its own: {few:.3f} to {many:.3f} test accuracy, one run each"
    if not (more := clean.get("more steps")):
        return Finding(
            f"accuracy {few:.3f} to {many:.3f}",
            f"by its own numbers: {by_two_errors(many, few, _ROWS)}",
            f"{theirs}; measured in the full study",
        )
    totals, arm = clean["totals"], "E. coli only"
    fewest, most = (pick(totals, key=int) for pick in (min, max))
    gain = more[arm]["accuracy"]
    of_seeds = ", of one seed" * (totals[most]["test"][arm]["accuracy"]["sd"] is None)
    return Finding(
        f"accuracy {gain['value']:+.3f}",
        f"{by_difference(gain)}{of_seeds}",
        f"{theirs}; here test accuracy after {int(most):,} steps{of_seeds}, minus after "
        f"{int(fewest):,}: {signed_cell(gain)}",
    )


def second_stage(records: Records) -> Finding:
    """Compare two stages with one."""
    totals = records["stages"]["protocols"][CLEAN]["totals"]
    total = max(totals, key=int)
    arms = totals[total]
    against = arms["test"]["species, then E. coli"]["accuracy"]["difference"]
    added = arms["second stage"]["accuracy"]
    before, after = published.TEN_THOUSAND.accuracy, published.TWO_STAGES.accuracy
    return Finding(
        f"accuracy {added['value']:+.3f}",
        by_difference(added, arms["p"]["second stage"]),
        f"its own: {before:.3f} to {after:.3f}, though the second stage's file holds every test "
        f"promoter; here ({int(total):,} steps in all, the same for all arms) two stages minus "
        f"*E. coli* alone {signed_cell(against)}, minus all species alone {signed_cell(added)}",
    )


def curated(records: Records) -> Finding:
    """Compare curated promoters to train on with others."""
    record = records["curated"]
    difference = record["test"]["curated"]["accuracy"]["difference"]
    return Finding(
        f"accuracy {difference['value']:+.3f}",
        f"better: {by_difference(difference, record['p']['curated'])}",
        "trained on curated promoters minus as many of PPD's others: accuracy "
        + signed_cell(difference),
    )


def other_species(records: Records) -> Finding:
    """Count species that were left out and are still above chance."""
    found = records["other_species"]["species"]
    aurocs = {name: of["auroc"]["others"]["both"] for name, of in found.items()}
    ends = [pick(aurocs, key=lambda name: aurocs[name]["value"]) for pick in (min, max)]
    cells = [f"{interval_cell(aurocs[name])} ({name})" for name in ends]
    above = sum(auroc["low"] > 0.5 for auroc in aurocs.values())
    lowest, highest = (aurocs[name]["value"] for name in ends)
    return Finding(
        f"AUROC {lowest:.2f} to {highest:.2f}",
        f"above chance for {above} of {len(found)}",
        f"AUROC on species that were left out: {' to '.join(cells)}",
    )
