"""A species whose promoters were never seen: trained on the others, without its relatives."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.promoters.data.baseline_runs import BOOSTING, baseline_runs
from experiments.promoters.data.species import (
    CDS,
    CONVERGENT,
    KINDS,
    PROMOTER,
    SPECIES,
    Archive,
    Windows,
    at_most,
    labelled,
    read_archive,
    relatives_of,
)
from experiments.promoters.sections.stage_figures import draw_left_out
from experiments.promoters.study import Rows, Study, kept, parts_of, test_probabilities, trained
from ntjax.leakage.kmer_groups import KMER_LENGTH, rows_sharing_kmers
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import holm
from ntjax.reports.cells import LEVEL, counted, interval_cell, signed_cell
from ntjax.reports.page import Block, Figure, Table, Text

NAME, TITLE = "other_species", "Promoters of a species that was left out"
OTHERS, OWN, BOOSTED = "others", "itself", f"others, {BOOSTING}"
AGAINST_BOTH = "both"
_SEEDS = 1
_STAPHYLOCOCCUS, _HELICOBACTER = 18, 12


def run(study: Study) -> dict[str, Any]:
    """AUROC of every species that is left out in turn."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    archive = read_archive()
    trainable = [number for number in SPECIES if (number, "Train") in archive]
    chosen = study.choose((_STAPHYLOCOCCUS, _HELICOBACTER), trainable)
    return {
        "steps": _steps(study),
        "seeds": _SEEDS,
        "most": _most(study),
        "species": {SPECIES[number].name: _left_out(study, archive, number) for number in chosen},
    }


def _steps(study: Study) -> int:
    return study.steps(100, 200)


def _most(study: Study) -> int:
    """Windows of each kind to train on from one species, so that none outweighs the others."""
    return study.choose(150, 1000)


def _left_out(study: Study, archive: Archive, number: int) -> dict[str, Any]:
    """Models of the others and of the species itself, on its Test file."""
    test = archive[number, "Test"]
    relatives = relatives_of(number)
    pool = [n for n, part in archive if part == "Train" and n not in (number, *relatives)]
    tables = {
        OTHERS: _training_rows(archive, pool, test, _most(study)),
        OWN: _training_rows(archive, [number], test, None),
    }
    probabilities = {}
    for name, training in tables.items():
        rows = _rows(f"{name} {number}", training, test)
        runs = [_run_of(study, rows, seed) for seed in range(_SEEDS)]
        probabilities[name] = test_probabilities(runs)
    rows = _rows(f"{OTHERS} {number}", tables[OTHERS], test)
    parts = partial(parts_of, study, rows)
    folder = study.runs_folder / rows.name / "baselines"
    probabilities[BOOSTED] = baseline_runs(folder, parts, BOOSTING, 1).probabilities
    groups = parts(0).test_groups
    return {
        "relatives": [SPECIES[relative].name for relative in relatives],
        "kept": {name: _counts(training.kept) for name, training in tables.items()},
        "related": {name: training.related for name, training in tables.items()},
        "test": _counts(test.sequences),
        "auroc": _auroc(test, probabilities, OWN, (AGAINST_BOTH, CDS, CONVERGENT), groups),
        "others − boosting": _auroc(test, probabilities, BOOSTED, (AGAINST_BOTH,), groups)[OTHERS][
            AGAINST_BOTH
        ]["difference"],
    }


class _Training(NamedTuple):
    """Sequences to train on by kind, and how many were left out as related to the test's."""

    kept: dict[str, list[str]]
    related: int


def _training_rows(
    archive: Archive, numbers: list[int], test: Windows, most: int | None
) -> _Training:
    """Windows of some species, at most `most` of each and kind, without the test's relatives."""
    of_test = [sequence for kind in KINDS for sequence in test.sequences[kind]]
    kept: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for number in numbers:
        for kind, sequences in archive[number, "Train"].sequences.items():
            kept[kind] += at_most(sequences, most, seed=number)
    related = {kind: rows_sharing_kmers(kept[kind], of_test) for kind in KINDS}
    unrelated = {
        kind: [s for s, is_related in zip(kept[kind], related[kind], strict=True) if not is_related]
        for kind in KINDS
    }
    return _Training(unrelated, int(sum(rows.sum() for rows in related.values())))


def _counts(sequences: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return {kind: len(sequences[kind]) for kind in KINDS}


def _rows(name: str, training: _Training, test: Windows) -> Rows:
    tables = [
        labelled(windows[PROMOTER], (*windows[CDS], *windows[CONVERGENT]), part)
        for part, windows in (("train", training.kept), ("test", test.sequences))
    ]
    return Rows(f"{NAME}-{name.replace(' ', '-')}", *tables)


def _run_of(study: Study, rows: Rows, seed: int) -> Path:
    steps = _steps(study)
    every = max(1, steps // study.choose(3, 4))
    settings = study.lora(steps) | {"schedule": "cosine", "evaluate_every": every}
    return trained(study, rows, f"seed-{seed}", seed=seed, select="auroc", **settings)


def _auroc(
    test: Windows,
    probabilities: Mapping[str, np.ndarray],
    minus: str,
    negatives: Sequence[str],
    groups: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """AUROC by method and kind of negatives, and its difference from that of `minus`."""
    kinds = np.repeat(KINDS, list(_counts(test.sequences).values()))
    found: dict[str, dict[str, Any]] = {name: {} for name in probabilities}
    for against in negatives:
        chosen = (kinds == PROMOTER) | (kinds == against) | (against == AGAINST_BOTH)
        means = seed_means(
            kinds[chosen] == PROMOTER,
            {name: values[:, chosen] for name, values in probabilities.items()},
            minus,
            metrics=("auroc",),
            groups=groups[chosen],
        )
        for name, metrics in means.items():
            found[name][against] = metrics["auroc"]
    return found


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The picture, the table, and how many species are told from what they would do alone."""
    picture = draw_left_out(record["species"], folder / "species_left_out.png")
    lines = [
        (species, method, *_cells(found, method))
        for species, found in record["species"].items()
        for method in found["auroc"]
    ]
    heads = (
        "species", "trained on", "promoters, others", "against both", "against CDS",
        "against convergent", f"against both − {OWN}",
    )  # fmt: skip
    caption = (
        f"AUROC on the species' Test file (promoters against windows of coding sequence and "
        f"between convergent genes): means over {counted(record['seeds'], 'seed')} [95% "
        f"interval over related rows]. LoRA, {record['steps']:,} steps of 32, which draw "
        f"{32 * record['steps']:,} rows; {BOOSTING}, once, sees all of the same rows."
    )
    shown = Figure(
        picture,
        "AUROC on species that were left out of training, error bars: 95% intervals over related "
        "test rows. The dashed line is chance.",
    )
    return (
        Text(_described(record)),
        Text(_verdict(record)),
        shown,
        Table(heads, tuple(lines), caption),
        _left_out_table(record["species"]),
    )


def _cells(found: dict[str, Any], method: str) -> tuple[str, ...]:
    counts = found["kept"][OTHERS if method == BOOSTED else method]
    values = found["auroc"][method]
    return (
        f"{counts[PROMOTER]:,}, {counts[CDS] + counts[CONVERGENT]:,}",
        *(interval_cell(values[against]) for against in (AGAINST_BOTH, CDS, CONVERGENT)),
        "–" if method == OWN else signed_cell(values[AGAINST_BOTH]["difference"]),
    )


def _described(record: dict[str, Any]) -> str:
    return (
        "Each species in turn is left out together with those of its family, and what is learnt "
        f"from the Train files of the others (at most {record['most']:,} windows of each kind and "
        "species) is tested on its Test file; beside it a model of its own Train file alone. The "
        "authors' split puts windows of one place into both files, so every training window that "
        f"shares a {KMER_LENGTH}-mer with a test window, on either strand, was left out; the "
        "second table counts them."
    )


def _left_out_table(species: dict[str, Any]) -> Table:
    return Table(
        ("species", "relatives, not trained on", "related windows of others", "of itself"),
        tuple(
            (
                name,
                ", ".join(found["relatives"]) or "none of its family",
                *(_share(found, training) for training in (OTHERS, OWN)),
            )
            for name, found in species.items()
        ),
        f"Training windows that share a {KMER_LENGTH}-mer with a test window, and all there were.",
    )


def _share(found: dict[str, Any], training: str) -> str:
    related = found["related"][training]
    return f"{related:,} of {related + sum(found['kept'][training].values()):,}"


def _verdict(record: dict[str, Any]) -> str:
    species = record["species"]
    chance = sum(found["auroc"][OTHERS][AGAINST_BOTH]["low"] > 0.5 for found in species.values())
    own = [found["auroc"][OTHERS][AGAINST_BOTH]["difference"] for found in species.values()]
    boosted = [found["others − boosting"] for found in species.values()]
    return (
        "Trained on other species, the AUROC is above chance (its interval above 0.5) for "
        f"{chance} of {len(species)} species. Against the model of the species itself it is "
        f"{_told(own)}; against {BOOSTING} on the same rows {_told(boosted)} (paired bootstrap of "
        "related test rows, Holm's correction over species, level 0.05)."
    )


def _told(differences: list[dict[str, Any]]) -> str:
    corrected = holm([difference["p"] for difference in differences])
    told = [d["value"] for d, p in zip(differences, corrected, strict=True) if p < LEVEL]
    higher = sum(value > 0 for value in told)
    return (
        f"higher for {higher}, lower for {len(told) - higher} and not told apart for "
        f"{len(differences) - len(told)}"
    )
