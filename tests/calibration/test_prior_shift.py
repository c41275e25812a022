"""Prior shift against the posterior of distributions that are known."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit, softmax
from scipy.stats import multivariate_normal, norm

from ntjax.calibration.prior_shift import (
    at_prior,
    estimate_prior,
    log_odds_at_prior,
    logits_at_prior,
)
from ntjax.errors import UserError
from ntjax.metrics.classification import expected_calibration_error

CENTRES = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def two_gaussians(prior, n, seed=0):
    """Class 0 around -1 and class 1 around 1: measurements and labels."""
    random = np.random.default_rng(seed)
    labels = (random.random(n) < prior).astype(int)
    return 2 * labels - 1 + random.normal(size=n), labels


def posterior(x, prior):
    positive, negative = prior * norm.pdf(x, 1), (1 - prior) * norm.pdf(x, -1)
    return positive / (positive + negative)


def three_gaussians(priors, n, seed=0):
    random = np.random.default_rng(seed)
    labels = random.choice(3, n, p=priors)
    return CENTRES[labels] + random.normal(size=(n, 2)), labels


def posteriors(x, priors):
    likelihoods = np.stack([multivariate_normal.pdf(x, centre) for centre in CENTRES], axis=1)
    joint = likelihoods * np.asarray(priors)
    return joint / joint.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("fitted", "new"), [(0.5, 0.01), (0.01, 0.5), (0.3, 1e-6), (0.2, 0.9)])
def test_the_posterior_of_two_gaussians(fitted, new):
    x, _ = two_gaussians(0.5, 500)
    old, expected = posterior(x, fitted), posterior(x, new)
    np.testing.assert_allclose(at_prior(old, fitted, new), expected, rtol=1e-10)
    both = np.stack([1 - old, old], axis=1)
    for priors in ((fitted, new), ([1 - fitted, fitted], [1 - new, new])):
        shifted = at_prior(both, *priors)
        np.testing.assert_allclose(shifted[:, 1], expected, rtol=1e-10)
        np.testing.assert_allclose(shifted.sum(axis=1), 1)


def test_the_posterior_of_three_gaussians():
    fitted, new = [1 / 3, 1 / 3, 1 / 3], [0.9, 0.09, 0.01]
    x, _ = three_gaussians(fitted, 400)
    old, expected = posteriors(x, fitted), posteriors(x, new)
    np.testing.assert_allclose(at_prior(old, fitted, new), expected, rtol=1e-10)
    shifted = softmax(logits_at_prior(np.log(old) + 3, fitted, new), axis=1)
    np.testing.assert_allclose(shifted, expected, rtol=1e-10)


def test_odds_by_hand():
    # Odds of 4 at even prior odds are odds of 4/99 where one row in a hundred is positive.
    assert at_prior([0.8], 0.5, 0.01) == pytest.approx([(4 / 99) / (1 + 4 / 99)])


def test_a_balanced_calibration_fails_in_a_genome_and_is_mended():
    x, labels = two_gaussians(0.01, 40_000, seed=1)

    def error(positive):
        return expected_calibration_error(labels, np.stack([1 - positive, positive], axis=1))

    balanced = posterior(x, 0.5)
    assert error(balanced) > 0.15
    assert error(at_prior(balanced, 0.5, 0.01)) < 0.002


def test_equal_priors_change_nothing():
    p = np.array([0.0, 1e-300, 1e-9, 0.3, 1 - 1e-12, 1.0])
    np.testing.assert_allclose(at_prior(p, 0.2, 0.2), p, rtol=1e-12)
    rows = posteriors(three_gaussians([0.2, 0.3, 0.5], 50)[0], [0.2, 0.3, 0.5])
    np.testing.assert_allclose(at_prior(rows, [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]), rows)


def test_there_and_back():
    p = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(at_prior(at_prior(p, 0.5, 1e-5), 1e-5, 0.5), p, rtol=1e-9)


def test_extremes_are_finite():
    logits = np.array([[0.0, 1000.0], [0.0, -1000.0]])
    shifted = logits_at_prior(logits, 0.5, 1e-6)
    assert shifted[:, 1] - shifted[:, 0] == pytest.approx([1000 + logit(1e-6), -1000 + logit(1e-6)])
    assert at_prior([0.0, 1.0], 0.5, 1e-9).tolist() == [0, 1]
    assert at_prior([[1.0, 0.0], [0.0, 1.0]], 0.5, 1e-9).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("true", [0.02, 0.3, 0.8])
def test_the_prior_of_unlabelled_rows(true):
    x, labels = two_gaussians(true, 20_000, seed=2)
    old = posterior(x, 0.4)
    found = estimate_prior(old, 0.4)
    assert found == pytest.approx(labels.mean(), abs=0.01)

    def loss(prior):
        return -np.log(old * prior / 0.4 + (1 - old) * (1 - prior) / 0.6).mean()

    best = minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded").x
    assert found == pytest.approx(best, abs=1e-4)
    assert at_prior(old, 0.4, found).mean() == pytest.approx(found, abs=1e-6)
    both = np.stack([1 - old, old], axis=1)
    assert estimate_prior(both, [0.6, 0.4])[1] == pytest.approx(found)


def test_the_priors_of_three_classes():
    fitted, true = np.array([0.2, 0.3, 0.5]), [0.7, 0.25, 0.05]
    x, _ = three_gaussians(true, 10_000, seed=3)
    old = posteriors(x, fitted)
    found = estimate_prior(old, fitted)
    assert found == pytest.approx(true, abs=0.02)
    best = minimize(lambda z: -np.log(old @ (softmax([0, *z]) / fitted)).mean(), [0.0, 0.0]).x
    assert found == pytest.approx(softmax([0, *best]), abs=1e-4)


def test_no_row_of_a_class():
    assert estimate_prior(posterior(two_gaussians(1e-9, 2000)[0] - 1, 0.5), 0.5) < 1e-6


@pytest.mark.parametrize("prior", [0, 1, -0.1, 1.5, np.nan, [0.0, 1.0]])
def test_a_prior_outside_is_refused(prior):
    p = np.full((4, 2), 0.5)
    for call in (
        lambda: at_prior(p, prior, 0.5),
        lambda: at_prior(p, 0.5, prior),
        lambda: logits_at_prior(p, 0.5, prior),
        lambda: estimate_prior(p, prior),
    ):
        with pytest.raises(UserError, match=r"prior is .*: a share of the rows lies between 0 and"):
            call()


def test_what_else_is_refused():
    with pytest.raises(UserError, match=r"new priors sum to 0\.9:"):
        at_prior(np.full((2, 3), 1 / 3), [0.2, 0.3, 0.5], [0.3, 0.3, 0.3])
    with pytest.raises(ValueError, match=r"fitted prior is \(\) but there are 3 classes"):
        at_prior(np.full((2, 3), 1 / 3), 0.5, [0.3, 0.3, 0.4])
    with pytest.raises(UserError, match="not finite"):
        at_prior([0.1, np.nan], 0.5, 0.1)
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        at_prior([0.1, 1.2], 0.5, 0.1)
    with pytest.raises(ValueError, match="must be \\[n\\]"):
        at_prior(0.5, 0.5, 0.1)
    with pytest.raises(ValueError, match="logits must be"):
        logits_at_prior(expit([1.0]), 0.5, 0.1)
    with pytest.raises(UserError, match="no rows"):
        estimate_prior([], 0.5)


def test_log_odds_are_shifted_by_the_ratio_of_the_odds():
    log_odds = np.array([-3.0, 0.0, 2.5])
    shifted = log_odds_at_prior(log_odds, 0.5, 0.01)
    np.testing.assert_allclose(shifted, log_odds + np.log(0.01 / 0.99), atol=1e-12)
    np.testing.assert_allclose(expit(shifted), at_prior(expit(log_odds), 0.5, 0.01), atol=1e-12)
