"""What the study's sections on a trained model say of the report's claims."""

from experiments.promoters.claims.findings import Finding, Records
from experiments.promoters.claims.verdicts import FAILS, OPEN, below, by_difference, by_intervals
from experiments.promoters.data.rows import CLEAN
from ntjax.reports.cells import interval_cell, signed_cell

_WELL = 0.05


def calibrated(records: Records) -> Finding:
    """Judge the calibration error here, and where promoters are rare."""
    record = records["calibration"]
    before, after = (record["protocols"][CLEAN][n]["ECE"] for n in ("uncalibrated", "Platt"))
    prior, found = next(iter(record["priors"].items()))
    rare = found["measures"]["Platt, as it was fitted"]["ECE"]
    return Finding(
        f"ECE {after['value']:.3f}; rare {rare['value']:.3f}",
        f"ECE below {_WELL}: {below(after, _WELL)} after Platt scaling, {below(rare, _WELL)} where "
        "promoters are rare",
        f"ECE before Platt scaling {interval_cell(before)}, after {interval_cell(after)}; where "
        f"{float(prior):.0%} are promoters {interval_cell(rare)}. That one class lies above and "
        "the other below the diagonal is one fact: of two classes the curves mirror each other",
    )


def separable(records: Records) -> Finding:
    """Compare linear probes of output and input embeddings."""
    numbers = {name: of["linear_probe"] for name, of in records["embeddings"]["numbers"].items()}
    inputs = [probe for name, probe in numbers.items() if name.startswith("input")]
    best = max(inputs, key=lambda probe: probe["value"])
    before, after = (numbers[f"output, {when} fine-tuning"] for when in ("before", "after"))
    return Finding(
        f"accuracy {before['value']:.3f}, input {best['value']:.3f}",
        f"before fine-tuning: {by_intervals(before, best)}; after: {by_intervals(after, best)}",
        f"accuracy of a linear probe on the better input {interval_cell(best)}, on the output "
        f"before fine-tuning {interval_cell(before)}, after {interval_cell(after)}",
    )


def not_kmers(records: Records) -> Finding:
    """Judge a probe on counts of k-mers."""
    of = records["embeddings"]["numbers"]["input: bag of k-mers"]
    probe = of["linear_probe"]
    return Finding(
        f"accuracy {probe['value']:.3f} from counts",
        FAILS if probe["low"] > of["majority"] else OPEN,
        f"a linear probe on the mere counts of k-mers calls {interval_cell(probe)} rightly; "
        f"always saying the larger class {of['majority']:.3f}",
    )


def salience(records: Records) -> Finding:
    """Judge attention at boxes that are known to be there."""
    precision = records["salience"]["planted"]["precision"]
    cells = [
        f"{name} {of['precision']['value']:.3f}, {signed_cell(of['above_position_only'])}"
        for name, of in precision.items()
        if name.startswith(("attention", "mutagenesis", "one who"))
    ]
    theirs = precision["attention (the report's)"]["above_position_only"]
    return Finding(
        f"precision {theirs['value']:+.3f} above place",
        f"above the place alone: {by_difference(theirs)}",
        "precision at boxes planted in simulated promoters, and above what their place gives: "
        + "; ".join(cells),
    )


def maps_a_genome(records: Records) -> Finding:
    """Judge calls in held-out blocks."""
    record = records["scan"]
    of = record["results"][record["model"]]["test"]
    above = {key: of["precision"][key] - record["chance"] for key in ("low", "high")}
    return Finding(
        f"precision {of['precision']['value']:.3f}, chance {record['chance']:.3f}",
        f"above calls at random places: {by_difference(above)}",
        f"in held-out blocks of the genome the precision of calls is "
        f"{interval_cell(of['precision'])} at a recall of {interval_cell(of['recall'])} "
        f"(precision is a lower bound; calls at random places: {record['chance']:.3f})",
    )
