"""What the page says of one stage and two, with figures 1, 4 and 5."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.promoters.data.rows import CLEAN, LOCUS_CLEAN
from experiments.promoters.data.species import ECOLI, SHIGELLA, SPECIES
from experiments.promoters.published import REPORT, TEN_THOUSAND, TWO_STAGES, Result
from experiments.promoters.sections.comparison import METRICS
from experiments.promoters.sections.stage_figures import (
    draw_species,
    draw_stage_bars,
    draw_stage_curves,
)
from ntjax.leakage.kmer_groups import KMER_LENGTH
from ntjax.leakage.loci import REACH
from ntjax.reports.cells import compared, counted, signed_cell, spread_cell
from ntjax.reports.page import Block, Figure, Table, Text

ALONE, SPECIES_ONLY, BOTH = "E. coli only", "all species", "species, then E. coli"


def stage_blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The species, the arms, and what the second stage adds."""
    clean = record["protocols"][CLEAN]
    first = draw_species(record["species"], folder / "figure_1_species.png")
    fourth = draw_stage_curves(clean["totals"], folder / "figure_4_stages.png")
    fifth = draw_stage_bars(clean["totals"], folder / "figure_5_stages.png")
    seeds = _seeds(clean)
    return (
        Text(_described(clean)),
        Figure(
            first,
            "Figure 1. Promoters by species in iPro-MP's files, which stand in for the report's "
            "PPD; two species have no Train file at the source.",
        ),
        Text(_verdict(clean)),
        Figure(
            fourth,
            "Figure 4, stages, clean rows. Validation accuracy while training: the report's own "
            "(500M-1000G, one run each), and measured here (seeds thin, their mean thick: "
            f"{seeds}). The species have validation rows of their own, so that the curve of two "
            "stages, dashed in its first, jumps: heights of different rows cannot be compared.",
        ),
        Figure(
            fifth,
            "Figure 5, stages, clean rows. Metrics on the published test rows: means over seeds "
            f"({seeds}), error bars ± one standard deviation between them; and the report's own, "
            "one run each.",
        ),
        _table(record),
    )


def _described(record: dict[str, Any]) -> str:
    removed = record["removed"]
    total = sum(counts["all"] for counts in removed.values())
    gone = sum(counts["related"] for counts in removed.values())
    coli, shigella = (removed[SPECIES[number].name] for number in (ECOLI, SHIGELLA))
    others = gone - coli["related"] - shigella["related"]
    share = coli["all"] / total
    drawn = "" if record["used"] == total - gone else f", {record['used']:,} of them drawn here,"
    return (
        f"{total:,} promoters of {len(removed)} species; *E. coli* is {share:.1%} of them (the "
        f"report: 6.7% of PPD). {gone:,} share a {KMER_LENGTH}-mer with a test promoter, on either "
        f"strand, and are left out: {coli['related']:,} of {coli['all']:,} of *E. coli*, "
        f"{shigella['related']:,} of {shigella['all']:,} of *Shigella*, and {others:,} of the "
        f"others. The rest{drawn} with as many sequences of random letters, of each species' own "
        "composition, are the first stage; the second are the clean *E. coli* rows, begun with the "
        "first one's adapter and head. Every arm has the same number of steps in all (the two "
        "stages share them half and half), batches of 32, and a cosine decay in each stage. In the "
        "report the second stage came on top of the first one's steps. The arms differ in their "
        "negatives, too: those of the *E. coli* file are richer in G and C than its promoters, "
        "which the test's are not (see the audit), nor are those made for the species; what "
        "training on the species gains may be owed to either."
    )


def _verdict(record: dict[str, Any]) -> str:
    parts = []
    for total, arms in record["totals"].items():
        against = arms["test"][BOTH]["accuracy"]["difference"]
        added, p = arms["second stage"]["accuracy"], arms["p"]
        parts.append(
            f"After {int(total):,} steps, {BOTH} {compared(against, p[BOTH])} {ALONE} in "
            f"test accuracy ({signed_cell(against)}), and {compared(added, p['second stage'])} "
            f"{SPECIES_ONLY} ({signed_cell(added)})."
        )
    if more := record.get("more steps"):
        fewest, most = (f"{pick(map(int, record['totals'])):,}" for pick in (min, max))
        gains = ", ".join(f"{signed_cell(of['accuracy'])} ({name})" for name, of in more.items())
        parts.append(f"{most} steps minus {fewest}, test accuracy: {gains}.")
    before, after = TEN_THOUSAND, TWO_STAGES
    return (
        " ".join(parts) + f" In the report the second stage took test accuracy from "
        f"{before.accuracy:.3f} to {after.accuracy:.3f}, sensitivity from {before.sensitivity:.3f} "
        f"to {after.sensitivity:.3f} and specificity from {before.specificity:.3f} to "
        f"{after.specificity:.3f}; its *E. coli* file holds every test promoter."
    )


def _table(record: dict[str, Any]) -> Table:
    lines = []
    for protocol, total, arms in _by_protocol(record):
        for name, test in arms["test"].items():
            told = name != ALONE
            lines.append(
                (
                    protocol,
                    name,
                    f"{int(total):,}",
                    *(spread_cell(test[metric]) for metric in METRICS),
                    signed_cell(test["accuracy"]["difference"]) if told else "–",
                    f"{arms['p'][name]:.3f}" if told else "–",
                    "measured here",
                )
            )
    lines += [_reported(result) for result in REPORT[:4]]
    return Table(
        (
            "rows",
            "trained on",
            "steps",
            *METRICS,
            f"accuracy − {ALONE}",
            "p (Holm)",
            "whose number",
        ),
        tuple(lines),
        "Metrics on the published test rows: means over seeds ± their standard deviation "
        f"({_seeds(record['protocols'][CLEAN])}; of the other rows one) [95% interval over loci]. "
        "Differences and p: bootstrap of the same loci for both, of the means over these seeds, "
        f"corrected for three comparisons (with that of the two stages and {SPECIES_ONLY}). "
        f"{CLEAN} and {LOCUS_CLEAN} leave promoters of all species out by the same rule, "
        f"{LOCUS_CLEAN} also those of other genomes that share a {KMER_LENGTH}-mer with the "
        f"{REACH} letters around a test promoter: {_left_out(record)}.",
    )


def _by_protocol(record: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for protocol, found in record["protocols"].items():
        for total, arms in found["totals"].items():
            yield protocol, total, arms


def _seeds(clean: dict[str, Any]) -> str:
    """How many there are of the clean rows' runs of so many steps."""
    counts = {
        total: len(arms["curves"][ALONE][0]["values"]) for total, arms in clean["totals"].items()
    }
    return ", ".join(
        f"{counted(count, 'seed')} of {int(total):,} steps" for total, count in counts.items()
    )


def _left_out(record: dict[str, Any]) -> str:
    return ", ".join(
        f"{sum(counts['related'] for counts in record['protocols'][name]['removed'].values()):,} "
        f"({name})"
        for name in (CLEAN, LOCUS_CLEAN)
    )


def _reported(result: Result) -> tuple[str, ...]:
    values = [getattr(result, metric) for metric in METRICS]
    return (
        "PPD",
        result.name,
        "",
        *(f"{value:.3f}" for value in values),
        "–",
        "–",
        "the report's",
    )
