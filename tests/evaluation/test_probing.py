import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedGroupKFold

from ntjax.errors import UserError
from ntjax.evaluation.probing import separability
from ntjax.leakage.kmer_groups import shared_kmer_groups


def points(rows=120, distance=1.5, seed=0):
    """Two clouds of 6 dimensions of different scales, and groups of up to three rows."""
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    cloud = random.standard_normal((rows, 6)) + distance * labels[:, None] * [1, 0, 0, 0, 0, 0]
    return cloud * [1, 5, 0.1, 1, 1, 1], labels, np.arange(rows) // 2 % (rows // 4)


@pytest.mark.parametrize("sparse", [False, True])
def test_numbers_against_a_plain_script(sparse):
    cloud, labels, groups = points()
    cloud[:, 3:] *= np.random.default_rng(1).random((120, 3)) < 0.3
    found = separability(csr_array(cloud) if sparse else cloud, labels, groups, folds=4, seed=3)
    probed, voted = np.zeros(120), np.zeros(120)
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=3)
    for fitted, tested in folds.split(cloud, labels, groups):
        assert not set(groups[fitted]) & set(groups[tested])
        mean, spread = cloud[fitted].mean(axis=0), cloud[fitted].std(axis=0)
        scaled = cloud if sparse else (cloud - mean) / spread
        probe = LogisticRegression(max_iter=5000).fit(scaled[fitted], labels[fitted])
        probed[tested] = probe.predict(scaled[tested]) == labels[tested]
        for row in tested:
            distance = ((cloud[fitted] - cloud[row]) ** 2).sum(axis=1)
            nearest = labels[fitted[np.argsort(distance)[:5]]]
            voted[row] = (nearest.mean() > 0.5) == labels[row]
    assert found.linear_probe["value"] == probed.mean()
    assert found.nearest_neighbours["value"] == voted.mean()
    assert found.silhouette == pytest.approx(silhouette_score(cloud, labels))
    assert (found.majority, found.rows, found.folds) == (0.5, 120, 4)
    assert found.linear_probe["low"] < found.linear_probe["value"] < found.linear_probe["high"]


def test_relatives_stay_together():
    # Every sequence has a twin with one letter exchanged at the end, of the same random class:
    # whoever had seen the twin would know the class.
    random = np.random.default_rng(0)
    parents = ["".join(random.choice(list("ACGT"), 40)) for _ in range(100)]
    sequences = parents + [parent[:-1] + "A" for parent in parents]
    labels = np.tile(random.integers(0, 2, 100), 2)
    codes = np.array([["ACGT".index(letter) for letter in text] for text in sequences])
    one_hot = np.eye(4)[codes].reshape(200, -1)
    grouped = separability(one_hot, labels, shared_kmer_groups(sequences), seed=1)
    alone = separability(one_hot, labels, np.arange(200), seed=1)
    assert grouped.linear_probe["value"] < 0.62
    assert alone.linear_probe["value"] > 0.85


def test_what_does_not_fit_is_refused():
    cloud, labels, groups = points()
    with pytest.raises(UserError, match=r"120 rows, but labels are \(119,\)"):
        separability(cloud, labels[1:], groups)
    with pytest.raises(UserError, match="all rows are of class 0"):
        separability(cloud, np.zeros(120, int), groups)
    with pytest.raises(UserError, match="class 0 has 2 groups of related rows, fewer than 5 folds"):
        separability(cloud, labels, np.arange(120) % 4)
