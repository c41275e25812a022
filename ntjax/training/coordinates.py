"""Coordinates in which a head on tokens is trained: every direction of about the same variance."""

import numpy as np

from ntjax.datasets.batching import TokenisedSet
from ntjax.inference.embeddings import second_moments
from ntjax.inference.pretrained import PretrainedModel

RATE_IN_COORDINATES = 2e-3
"""Peak learning rate of a head in these coordinates, whatever the model and the adapter."""

# More rows hardly change a matrix of second moments.
_MOST_ROWS = 1000
# Share of the mean variance that is added to each, so that no noise is blown up.
_ADDED = 0.01


def whitening(model: PretrainedModel, data: TokenisedSet) -> np.ndarray:
    """Return the matrix [dim, dim], float32, that makes embeddings of these rows white.

    The inverse square root of the second moments of the last layer's embeddings, of the model as
    it is before training (ZCA whitening; Kessy et al. 2018, "Optimal whitening and decorrelation",
    with the origin where it is instead of at the mean).
    """
    chosen = np.linspace(0, len(data) - 1, min(len(data), _MOST_ROWS)).astype(int)
    rows = TokenisedSet(data.tokens[chosen], data.lengths[chosen], data.labels[chosen])
    variances, directions = np.linalg.eigh(second_moments(model, rows))
    scales = (variances.clip(0) + _ADDED * variances.mean()) ** -0.5
    return ((directions * scales) @ directions.T).astype(np.float32)
