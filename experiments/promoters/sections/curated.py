"""Curated promoters to train on, as the report's outlook asks, without testing on them.

The 865 test promoters are those of RegulonDB with strong or confirmed evidence; no other curated
file is at hand that does not hold them. So the genome is cut into blocks: what lies in some is
trained on, what lies in the others is tested on, in turns, until each has been tested on once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.rows import DATASET, labels_of, promoters_of
from experiments.promoters.data.species import at_most, labelled, random_letters
from experiments.promoters.sections.comparison import METRICS
from experiments.promoters.study import Rows, Study, kept, test_probabilities, trained
from ntjax.datasets.registry import load_dataset
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.leakage.loci import locus_groups
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import holm
from ntjax.reports.cells import compared, counted, signed_cell, spread_cell
from ntjax.reports.page import Block, Table, Text

NAME, TITLE = "curated", "Is a curated training set better?"
CURATED, OTHERS, ALL = "curated", "PPD's others, as many", "all of PPD"
BLOCK_LETTERS, REACH = 50_000, 200


class Placed(NamedTuple):
    """Promoters that occur once in the genome.

    Attributes:
        sequences: [n].
        places: of their start sites, int64 [n].
        curated: bool [n].
    """

    sequences: np.ndarray
    places: np.ndarray
    curated: np.ndarray

    def take(self, rows: np.ndarray) -> "Placed":
        """Those of the given rows."""
        return Placed(*(column[rows] for column in self))


def run(study: Study) -> dict[str, Any]:
    """Test metrics of all training sets."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    splits = load_dataset(DATASET, "published")
    placed = _placed(study, promoters_of(splits.test), promoters_of(splits.train))
    rows = zip(splits.test.sequences, splits.test.labels, strict=True)
    negatives = np.array([sequence for sequence, label in rows if label == "0"], object)
    folds, seeds = study.choose(2, 5), study.choose(1, 2)
    of_promoter = folds_of(placed.places, folds)
    of_negative = np.random.default_rng(0).permutation(len(negatives)) % folds
    predicted: dict[str, list[np.ndarray]] = {}
    sizes: dict[str, list[int]] = {}
    tests = []
    for fold in range(folds):
        test = placed.take((of_promoter == fold) & placed.curated)
        others = placed.take((of_promoter != fold) & ~near(placed.places, test.places))
        others = others.take(~rows_sharing_kmers(others.sequences.tolist(), test.sequences))
        table = labelled(test.sequences, negatives[of_negative == fold], f"fold {fold}")
        tests.append(table)
        for name, positives in _training_sets(others, fold).items():
            sizes.setdefault(name, []).append(len(positives))
            runs = _train(study, f"{name}-{fold}", positives, table, seeds, fold)
            predicted.setdefault(name, []).append(runs)
    labels = np.concatenate([labels_of(table) for table in tests])
    sequences = [sequence for table in tests for sequence in table.sequences]
    probabilities = {name: np.concatenate(runs, axis=1) for name, runs in predicted.items()}
    groups = locus_groups(
        sequences, open_genome(find_genome(study.genome)), geometry=PROMOTER_WINDOW
    )
    tested = seed_means(labels, probabilities, OTHERS, metrics=METRICS, groups=groups)
    names = (CURATED, ALL)
    corrected = holm([tested[name]["accuracy"]["difference"]["p"] for name in names])
    return {
        "folds": folds,
        "seeds": seeds,
        "steps": _steps(study),
        "promoters": int(labels.sum()),
        "negatives": int((labels == 0).sum()),
        "sizes": {name: [min(counts), max(counts)] for name, counts in sizes.items()},
        "test": tested,
        "p": dict(zip(names, corrected.tolist(), strict=True)),
    }


def _placed(study: Study, curated: Sequence[str], known: Sequence[str]) -> Placed:
    """All promoters that the genome has once; a start site counts once, and curated if it can."""
    sequences = np.array(list(dict.fromkeys((*curated, *known))), object)
    located = locate(open_genome(find_genome(study.genome)), sequences.tolist())
    once = np.flatnonzero(located.counts[located.rows] == 1)
    rows = located.rows[once]
    is_curated = np.isin(sequences, np.array(curated, object))
    return Placed(sequences[rows], located.sites.places[once], is_curated[rows])


def folds_of(places: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """A fold for each place: blocks of the genome in turns, in an order drawn at random."""
    blocks = places // BLOCK_LETTERS
    order = np.random.default_rng(seed).permutation(blocks.max() + 1)
    return order[blocks] % folds


def near(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which places lie within `REACH` letters of any of the others."""
    others = np.sort(others)
    right = np.searchsorted(others, places).clip(1, len(others) - 1)
    distance = np.minimum(abs(places - others[right - 1]), abs(places - others[right]))
    return distance <= REACH


def _training_sets(others: Placed, fold: int) -> dict[str, list[str]]:
    """Promoters to train on, by the name of the arm."""
    curated = others.sequences[others.curated].tolist()
    rest = others.sequences[~others.curated].tolist()
    return {
        CURATED: curated,
        OTHERS: at_most(rest, len(curated), seed=fold),
        ALL: others.sequences.tolist(),
    }


def _steps(study: Study) -> int:
    return study.steps(80, 300)


def _train(
    study: Study, name: str, positives: list[str], test: Any, seeds: int, fold: int
) -> np.ndarray:
    """Probabilities [seeds, test rows] of models trained on these and as many random letters."""
    train = labelled(positives, random_letters(positives, seed=fold), name)
    stem = name.replace(" ", "_").replace("'", "").replace(",", "")
    rows = Rows(NAME, train, test)
    steps = _steps(study)
    every = max(1, steps // study.choose(3, 4))
    settings = study.lora(steps) | {"schedule": "cosine", "evaluate_every": every}
    # Few rows: a twentieth of them would choose and calibrate by chance.
    settings |= {"validation_fraction": 0.15, "select": "accuracy"}
    runs = [trained(study, rows, f"{stem}-{seed}", seed=seed, **settings) for seed in range(seeds)]
    return test_probabilities(runs)


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The table, and what it says."""
    del folder
    lines = []
    for name, test in record["test"].items():
        told = name in record["p"]
        low, high = record["sizes"][name]
        lines.append(
            (
                name,
                f"{low:,}" if low == high else f"{low:,} to {high:,}",
                *(spread_cell(test[metric]) for metric in METRICS),
                signed_cell(test["accuracy"]["difference"]) if told else "–",
                f"{record['p'][name]:.3f}" if told else "–",
            )
        )
    caption = (
        f"LoRA, {record['steps']:,} steps of 32 sequences, {counted(record['seeds'], 'seed')}; "
        f"metrics on the {record['promoters']:,} curated promoters and {record['negatives']:,} "
        f"random sequences, each scored by the one of {record['folds']} models that was not "
        "trained on its part of the genome [95% interval over loci]; p of the accuracy's "
        "difference by bootstrap of the same loci for both, corrected for two comparisons."
    )
    heads = ("promoters", "how many", *METRICS, f"accuracy − {OTHERS}", "p (Holm)")
    return (Text(_described(record)), Text(_verdict(record)), Table(heads, tuple(lines), caption))


def _described(record: dict[str, Any]) -> str:
    return (
        "The test promoters are RegulonDB's with strong or confirmed evidence, so that no curated "
        "training set is at hand that does not overlap them. Therefore *E. coli* K-12 is cut into "
        f"blocks of {BLOCK_LETTERS:,} letters, dealt at random to {record['folds']} parts; each "
        "part's curated promoters are scored by a model trained on the other parts, without any "
        f"promoter that lies within {REACH} letters of a tested one or shares a 16-mer with it. "
        "Compared are the curated promoters of those parts, as many of PPD's that are not "
        "curated, and all of PPD there, each against as many random sequences of its own "
        "composition. Sequences that do not occur exactly once in the genome are left out."
    )


def _verdict(record: dict[str, Any]) -> str:
    said = []
    for name, p in record["p"].items():
        difference = record["test"][name]["accuracy"]["difference"]
        word = compared(difference, p)
        said.append(f"training on {name} {word} {OTHERS} ({signed_cell(difference)}, p = {p:.3f})")
    return f"In test accuracy, {'; '.join(said)}."
