"""One training or two: many species, then *E. coli* (figure 1, and figures 4 and 5 of stages)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.rows import (
    CLEAN,
    DATASET,
    LOCUS_CLEAN,
    PROTOCOLS,
    PUBLISHED,
    promoters_of,
    protocol_rows,
    test_loci,
)
from experiments.promoters.data.species import (
    PARTS,
    PROMOTER,
    SPECIES,
    Archive,
    at_most,
    labelled,
    promoters,
    random_letters,
    read_archive,
)
from experiments.promoters.sections.comparison import METRICS
from experiments.promoters.sections.stage_page import ALONE, BOTH, SPECIES_ONLY, stage_blocks
from experiments.promoters.study import (
    Rows,
    Study,
    kept,
    parts_of,
    test_probabilities,
    trained,
    validation_curve,
)
from ntjax.datasets.registry import load_dataset
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import PROMOTER_WINDOW, read_windows
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.leakage.loci import REACH, find_loci, rows_near
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import holm
from ntjax.reports.page import Block
from ntjax.sequences.alphabet import base_texts

NAME, TITLE = "stages", "One stage or two?"


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
    runs = {total: _train(study, species, coli, total, count) for total, count in totals.items()}
    tested = _Tested(
        parts_of(study, coli).labels["test"],
        test_loci(study),
        {
            total: {
                name: test_probabilities([stages[-1] for stages in of_seeds])
                for name, of_seeds in arms.items()
            }
            for total, arms in runs.items()
        },
    )
    return {
        "removed": counts,
        "used": used,
        "totals": {str(total): _arms(arms, tested, total) for total, arms in runs.items()},
        "more steps": tested.more_steps() if len(runs) > 1 else None,
    }


class _Tested(NamedTuple):
    """Probabilities of the test rows [seeds, rows] by steps in all and arm, and what is known."""

    labels: np.ndarray
    loci: np.ndarray
    probabilities: dict[int, dict[str, np.ndarray]]

    def means(self, total: int, names: Sequence[str]) -> dict[str, Any]:
        """Metrics of some arms, against the first of them."""
        chosen = {name: self.probabilities[total][name] for name in names}
        return seed_means(self.labels, chosen, names[0], metrics=METRICS, groups=self.loci)

    def more_steps(self) -> dict[str, Any]:
        """Of each arm, how far the most steps are from the fewest, by metric."""
        fewest, most = min(self.probabilities), max(self.probabilities)
        found = {}
        for name, fewer in self.probabilities[fewest].items():
            both = {"fewer": fewer, "more": self.probabilities[most][name]}
            more = seed_means(self.labels, both, "fewer", metrics=METRICS, groups=self.loci)["more"]
            found[name] = {metric: more[metric]["difference"] for metric in METRICS}
        return found


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
    loci = find_loci(genome, test, PROMOTER_WINDOW)
    letters = PROMOTER_WINDOW.length(REACH)
    starts = loci.sites.starts(REACH).clip(0, len(genome.letters) - letters)
    neighbourhoods = base_texts(read_windows(genome, starts, letters))
    unrelated, counts = {}, {}
    for number, species in SPECIES.items():
        own = promoters(archive, number)
        related = np.zeros(len(own), bool)
        if protocol != PUBLISHED:
            related |= rows_sharing_kmers(own, test)
        if protocol == LOCUS_CLEAN:
            related |= rows_near(find_loci(genome, own, PROMOTER_WINDOW), loci)
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
    train = labelled(positives, negatives, "species")
    return Rows(name, train, protocol_rows(study, protocol).test), len(positives)


def _train(
    study: Study, species: Rows, coli: Rows, total: int, seeds: int
) -> dict[str, list[list[Path]]]:
    """Folders of every arm's runs, of each seed one or, of two stages, two; `total` steps each."""
    first = total // 2
    runs: dict[str, list[list[Path]]] = {ALONE: [], SPECIES_ONLY: [], BOTH: []}
    for seed in range(seeds):
        runs[ALONE].append([_stage(study, coli, total, seed)])
        runs[SPECIES_ONLY].append([_stage(study, species, total, seed)])
        begun = _stage(study, species, first, seed)
        runs[BOTH].append([begun, _stage(study, coli, total - first, seed, begun)])
    return runs


def _arms(runs: dict[str, list[list[Path]]], of_all: _Tested, total: int) -> dict[str, Any]:
    """Curves and test metrics of the arms of `total` steps."""
    tested = of_all.means(total, [ALONE, SPECIES_ONLY, BOTH])
    added = of_all.means(total, [SPECIES_ONLY, BOTH])[BOTH]
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
    return stage_blocks(record, folder)
