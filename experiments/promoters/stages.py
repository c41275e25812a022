"""One training or two: many species, then *E. coli* (figure 1, and figures 4 and 5 of stages)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.cells import compared, counted, signed_cell, spread_cell
from experiments.promoters.comparison import METRICS
from experiments.promoters.genome_files import find_genome
from experiments.promoters.page import Block, Figure, Table, Text
from experiments.promoters.published import REPORT, TEN_THOUSAND, TWO_STAGES, Result
from experiments.promoters.rows import (
    CLEAN,
    DATASET,
    LOCUS_CLEAN,
    PROTOCOLS,
    PUBLISHED,
    promoters_of,
    protocol_rows,
    test_loci,
    write_table,
)
from experiments.promoters.species import (
    ECOLI,
    PARTS,
    PROMOTER,
    SHIGELLA,
    SPECIES,
    Archive,
    at_most,
    labelled,
    promoters,
    random_letters,
    read_archive,
)
from experiments.promoters.stage_figures import draw_species, draw_stage_bars, draw_stage_curves
from experiments.promoters.study import (
    Rows,
    Study,
    kept,
    parts_of,
    test_probabilities,
    trained,
    validation_curve,
)
from ntjax.data.datasets import load_dataset
from ntjax.data.genome_windows import read_windows
from ntjax.data.genomes import open_genome
from ntjax.data.leakage import KMER_LENGTH, rows_sharing_kmers
from ntjax.data.loci import REACH, find_loci, rows_near
from ntjax.data.promoter_windows import as_text, window_letters
from ntjax.paired_tests import holm
from ntjax.seed_means import seed_means

NAME, TITLE = "stages", "One stage or two?"
ALONE, SPECIES_ONLY, BOTH = "E. coli only", "all species", "species, then E. coli"


def run(study: Study) -> dict[str, Any]:
    """Species, rows that were left out, curves and test metrics of all arms."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    archive = read_archive()
    return {
        "species": _composition(archive),
        "protocols": {protocol: _in_protocol(study, archive, protocol) for protocol in PROTOCOLS},
    }


def _in_protocol(study: Study, archive: Archive, protocol: str) -> dict[str, Any]:
    """What was left out of the species' promoters, and all arms."""
    unrelated, counts = _without_test_promoters(study, archive, protocol)
    # Fewer rows than there are, where so few steps do not see them all.
    species, used = _species_rows(study, protocol, unrelated, study.choose(8_000, None))
    seeds = study.choose({120: 2}, {1000: 2, 10_000: 1})  # by steps in all
    if protocol != CLEAN:  # beside the others: the shorter, once
        seeds = {min(seeds): 1}
    totals = {study.steps(steps, steps): count for steps, count in seeds.items()}
    coli = protocol_rows(study, protocol)
    return {
        "removed": counts,
        "used": used,
        "totals": {
            str(total): _arms(study, species, coli, total, count) for total, count in totals.items()
        },
    }


def _composition(archive: Archive) -> dict[str, dict[str, int]]:
    """Promoters of each species by part."""
    return {
        species.name: {
            part: len(archive[number, part].sequences[PROMOTER])
            for part in PARTS
            if (number, part) in archive
        }
        for number, species in SPECIES.items()
    }


def _without_test_promoters(
    study: Study, archive: Archive, protocol: str
) -> tuple[dict[int, list[str]], dict[str, dict[str, int]]]:
    """Promoters that a protocol lets be trained on, by species; and how many are left out."""
    test = promoters_of(load_dataset(DATASET, PUBLISHED).test)
    genome = open_genome(find_genome(study.genome))
    loci = find_loci(genome, test)
    letters = window_letters(REACH)
    starts = loci.sites.starts(REACH).clip(0, len(genome.letters) - letters)
    neighbourhoods = as_text(read_windows(genome, starts, letters))
    unrelated, counts = {}, {}
    for number, species in SPECIES.items():
        own = promoters(archive, number)
        related = np.zeros(len(own), bool)
        if protocol != PUBLISHED:
            related |= rows_sharing_kmers(own, test)
        if protocol == LOCUS_CLEAN:
            related |= rows_near(find_loci(genome, own), loci)
            # What another genome has in the place of these neighbourhoods.
            related |= rows_sharing_kmers(own, neighbourhoods)
        unrelated[number] = [s for s, gone in zip(own, related, strict=True) if not gone]
        counts[species.name] = {"all": len(own), "related": int(related.sum())}
    return unrelated, counts


def _species_rows(
    study: Study, protocol: str, unrelated: Mapping[int, list[str]], most: int | None
) -> tuple[Rows, int]:
    """Promoters of all species against random letters, each species' of its own composition."""
    share = 1.0 if most is None else min(1.0, most / sum(map(len, unrelated.values())))
    positives, negatives = [], []
    for number, own in unrelated.items():
        chosen = at_most(own, round(share * len(own)), seed=number)
        positives += chosen
        negatives += random_letters(chosen, seed=100 + number)
    name = f"species-{protocol}"
    path = study.runs_folder / "rows" / name / "train.csv"
    train = write_table(path, labelled(positives, negatives, "species"))
    return Rows(name, train, protocol_rows(study, protocol).test), len(positives)


def _arms(study: Study, species: Rows, coli: Rows, total: int, seeds: int) -> dict[str, Any]:
    """Curves and test metrics of the arms, each of `total` steps."""
    first = total // 2
    runs: dict[str, list[list[Path]]] = {ALONE: [], SPECIES_ONLY: [], BOTH: []}
    for seed in range(seeds):
        runs[ALONE].append([_stage(study, coli, total, seed)])
        runs[SPECIES_ONLY].append([_stage(study, species, total, seed)])
        begun = _stage(study, species, first, seed)
        runs[BOTH].append([begun, _stage(study, coli, total - first, seed, begun)])
    parts = parts_of(study, coli)
    probabilities = {
        name: test_probabilities([stages[-1] for stages in of_seeds])
        for name, of_seeds in runs.items()
    }
    options = {"metrics": METRICS, "groups": test_loci(study)}
    tested = seed_means(parts.labels["test"], probabilities, ALONE, **options)
    two = {name: probabilities[name] for name in (SPECIES_ONLY, BOTH)}
    added = seed_means(parts.labels["test"], two, SPECIES_ONLY, **options)[BOTH]
    second_stage = {metric: added[metric]["difference"] for metric in METRICS}
    corrected = _corrected(tested, second_stage["accuracy"]["p"])
    return {
        "curves": {name: _curves(of_seeds) for name, of_seeds in runs.items()},
        "test": tested,
        "second stage": second_stage,
        "p": corrected,
    }


def _stage(study: Study, rows: Rows, steps: int, seed: int, begun: Path | None = None) -> Path:
    settings = study.lora(steps) | {"seed": seed, "schedule": "cosine", "select": "accuracy"}
    settings["evaluate_every"] = max(1, steps // study.choose(3, 10))
    name = f"stages-{steps}-{seed}"
    if begun is not None:
        name, settings["start_from"] = f"{name}-second", str(begun)
    return trained(study, rows, name, **settings)


def _curves(of_seeds: list[list[Path]]) -> list[dict[str, Any]]:
    """Of each stage: steps since the first began, and values of every seed."""
    stages, before = [], 0
    for runs in zip(*of_seeds, strict=True):
        curves = [validation_curve(run) for run in runs]
        stages.append(
            {
                "steps": [before + step for step in curves[0][0]],
                "values": [values for _, values in curves],
            }
        )
        before = stages[-1]["steps"][-1]
    return stages


def _corrected(tested: dict[str, Any], second_stage: float) -> dict[str, float]:
    """p-values of the accuracies' differences from the first arm and of the second stage."""
    names = [name for name in tested if name != ALONE]
    found = [tested[name]["accuracy"]["difference"]["p"] for name in names]
    corrected = holm([*found, second_stage])
    return dict(zip((*names, "second stage"), np.asarray(corrected).tolist(), strict=True))


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
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
        "report the second stage came on top of the first one's steps."
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
