"""A score that has never seen a label: how natural a sequence looks to a Markov chain of K-12."""

from pathlib import Path

import numpy as np
from scipy.special import expit

from ntjax.baselines.markov import MarkovModel
from ntjax.datasets.prepare import LabelledParts
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.regions import whole_genome, without
from ntjax.sequences.alphabet import code_matrix

ORDER = 5
# No letter of a promoter's window is farther from its start site than this.
_REACH = 100


def markov_probabilities(parts: LabelledParts, genome: Path) -> np.ndarray:
    """Scores of the test rows as probabilities, [1, rows].

    The chain learns the genome without the loci of the test rows. Its log-likelihoods have no
    threshold of their own: the one that is best on the training rows becomes a probability of 0.5.
    """
    store = open_genome(genome)
    located = locate(store, parts.tables["test"].sequences)
    region = without(whole_genome(store), located.sites.places, _REACH)
    model = MarkovModel.fit([region], ORDER)
    scores = {
        part: model.log_likelihood(code_matrix(parts.tables[part].sequences))
        for part in ("train", "test")
    }
    threshold = best_threshold(scores["train"], parts.labels["train"])
    return expit((scores["test"] - threshold) / scores["train"].std())[None]


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The score above which rows are called positive with the fewest errors."""
    order = np.argsort(scores)
    scores, positive = scores[order], labels[order] == 1
    # Errors if the first 0, 1, ... rows are called negative.
    errors = np.concatenate([[0], np.cumsum(np.where(positive, 1, -1))])
    best = int(np.argmin(errors))
    edges = np.concatenate([[scores[0] - 1], scores, [scores[-1] + 1]])
    return float(edges[best : best + 2].mean())
