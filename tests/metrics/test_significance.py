"""Paired tests against SciPy, published numbers, and the share of false alarms under the null."""

import numpy as np
import pytest
from scipy.stats import binom, permutation_test, ttest_rel
from scipy.stats import t as student_t

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import bootstrap_p_value
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import corrected_blocked_t, corrected_resampled_t, holm, mcnemar


def right(only_first, only_second, both, neither):
    first = np.repeat([True, False, True, False], [only_first, only_second, both, neither])
    second = np.repeat([False, True, True, False], [only_first, only_second, both, neither])
    return first, second


class TestMcNemar:
    @pytest.mark.parametrize(("b", "c"), [(10, 2), (3, 3), (0, 6), (40, 61), (1, 0)])
    def test_is_the_binomial_test_of_the_discordant_rows(self, b, c):
        found = mcnemar(*right(b, c, 20, 5))
        assert found[:2] == (b, c)
        assert found.p_value == pytest.approx(min(1, 2 * binom.cdf(min(b, c), b + c, 0.5)))
        assert mcnemar(*right(c, b, 0, 0)).p_value == pytest.approx(found.p_value)

    def test_by_hand(self):
        # 0 or 6 heads of 6 coins.
        assert mcnemar(*right(6, 0, 9, 9)).p_value == pytest.approx(2 / 64)

    def test_models_that_agree(self):
        assert mcnemar(*right(0, 0, 4, 4)) == (0, 0, 1.0)

    def test_as_sign_flips_of_the_rows(self):
        first, second = right(14, 5, 30, 10)
        exact = permutation_test(
            (first.astype(float), second.astype(float)),
            lambda a, b, axis: (a - b).sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=20_000,
            rng=np.random.default_rng(0),
        )
        assert mcnemar(first, second).p_value == pytest.approx(exact.pvalue, abs=0.01)

    def test_false_alarms(self):
        random = np.random.default_rng(0)
        hits = random.random((2000, 2, 150)) < 0.7
        alarms = np.mean([mcnemar(*pair).p_value <= 0.05 for pair in hits])
        assert 0.02 < alarms <= 0.05  # exact, and so a little below its level

    def test_refused(self):
        with pytest.raises(ValueError, match="both must be"):
            mcnemar([True], [True, False])
        with pytest.raises(ValueError, match="True or False"):
            mcnemar([1, 0], [0, 1])


def split_scores(random, splits=15, rows=80, test_rows=20):
    """Accuracies [splits] of two equally good classifiers, each on a feature of its own."""
    labels = np.arange(rows) % 2 == 1
    features = random.normal(size=(2, rows)) + 0.7 * labels
    train = np.argsort(random.random((splits, rows)), axis=1) >= test_rows
    centres = [
        (features @ (train & is_class).T) / (train & is_class).sum(axis=1)
        for is_class in (labels, ~labels)
    ]
    middle = sum(centres) / 2  # [2, splits]
    is_right = (features[:, None] > middle[..., None]) == labels
    return (is_right & ~train).sum(axis=2) / test_rows


class TestCorrectedResampledT:
    def test_without_correction_it_is_the_paired_t_test(self):
        first, second = np.random.default_rng(0).normal(size=(2, 10))
        first = first + 0.5
        found = corrected_resampled_t(first, second, 10**18, 1)
        expected = ttest_rel(first, second)
        interval = expected.confidence_interval(0.95)
        assert found.t == pytest.approx(expected.statistic)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.difference == pytest.approx((first - second).mean())

    def test_by_hand(self):
        # d = 1, 2, 3: mean 2, variance 1, t = 2 / sqrt(1/3 + 1/9) = 3; P(|t_2| > 3) = 0.0955.
        found = corrected_resampled_t([2, 4, 6], [1, 2, 3], 90, 10)
        assert found.t == pytest.approx(3)
        assert found.p_value == pytest.approx(1 - 3 / np.sqrt(11))
        half = 4.302652729696142 * 2 / 3
        assert (found.low, found.high) == pytest.approx((2 - half, 2 + half))

    def test_the_correction_widens_by_the_ratio(self):
        first, second = np.random.default_rng(1).normal(size=(2, 15))
        plain = corrected_resampled_t(first, second, 10**18, 1)
        corrected = corrected_resampled_t(first, second, 900, 100)
        assert plain.t / corrected.t == pytest.approx(np.sqrt(1 + 15 / 9))

    def test_false_alarms(self):
        random = np.random.default_rng(0)
        scores = [split_scores(random) for _ in range(800)]
        plain = np.mean(
            [ttest_rel(*pair).pvalue < 0.05 for pair in scores if np.ptp(pair[0] - pair[1])]
        )
        corrected = np.mean(
            [corrected_resampled_t(*pair, 60, 20).p_value < 0.05 for pair in scores]
        )
        assert plain > 0.25
        assert 0.01 < corrected < 0.08

    def test_equal_differences(self):
        assert corrected_resampled_t([1, 2], [1, 2], 9, 1) == (0, 0, 0, 0, 1)
        found = corrected_resampled_t([1, 2], [2, 3], 9, 1)
        assert (found.t, found.p_value, found.low, found.high) == (-np.inf, 0, -1, -1)

    def test_refused(self):
        with pytest.raises(UserError, match=r"1 split.* show no variation"):
            corrected_resampled_t([1], [2], 9, 1)
        with pytest.raises(UserError, match="scores of split 2 are not finite"):
            corrected_resampled_t([1, np.nan], [2, 3], 9, 1)
        with pytest.raises(ValueError, match="must be positive"):
            corrected_resampled_t([1, 2], [2, 3], 0, 1)
        with pytest.raises(ValueError, match="both must be"):
            corrected_resampled_t([1, 2], [2, 3, 4], 9, 1)


class TestCorrectedBlockedT:
    def test_of_two_methods_it_is_that_of_one_pair(self):
        scores = np.random.default_rng(0).normal(size=(2, 6))
        [found] = corrected_blocked_t(scores, 0, 90, 10)
        assert found == pytest.approx(corrected_resampled_t(*scores, 90, 10))

    def test_the_error_is_that_of_least_squares(self):
        methods, splits = 4, 5
        scores = np.random.default_rng(1).normal(size=(methods, splits)) + np.arange(splits)
        # A column for each method, and for each split but the first.
        method, split = np.indices(scores.shape).reshape(2, -1)
        design = np.concatenate([np.eye(methods)[method], np.eye(splits)[split][:, 1:]], axis=1)
        fitted, [rss], _, _ = np.linalg.lstsq(design, scores.ravel())
        freedom = scores.size - design.shape[1]
        found = corrected_blocked_t(scores, 2, 10**18, 1)
        for other, one in zip((0, 1, 3), found, strict=True):
            error = np.sqrt(2 / splits * rss / freedom)
            assert one.difference == pytest.approx(fitted[2] - fitted[other])
            assert one.t == pytest.approx(one.difference / error)
            assert one.p_value == pytest.approx(2 * student_t.sf(abs(one.t), freedom))
            assert one.high - one.low == pytest.approx(2 * student_t.ppf(0.975, freedom) * error)

    @pytest.mark.slow
    def test_false_alarms_of_two_splits(self):
        """Levels of the splits, and a chance agreement of one pair, do not matter."""
        random = np.random.default_rng(2)
        scores = random.normal(size=(2000, 9, 2)) + 5 * random.normal(size=(2000, 1, 2))
        alarms = [corrected_blocked_t(s, 0, 10**18, 1)[0].p_value < 0.05 for s in scores]
        assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)

    def test_refused(self):
        with pytest.raises(UserError, match=r"1 split.* show no variation"):
            corrected_blocked_t([[1], [2], [3]], 0, 9, 1)
        with pytest.raises(UserError, match="scores of split 2 are not finite"):
            corrected_blocked_t([[1, np.inf], [2, 3]], 0, 9, 1)
        with pytest.raises(ValueError, match="must be positive"):
            corrected_blocked_t([[1, 2], [2, 3]], 0, 9, 0)
        with pytest.raises(ValueError, match="scores must be"):
            corrected_blocked_t([1, 2], 0, 9, 1)


class TestHolm:
    # From R's multtest, mt.rawp2adjp, with which statsmodels' multipletests is tested.
    PUBLISHED = (
        (0.838541367553, 1.0),
        (0.642193923795, 1.0),
        (0.680845947633, 1.0),
        (0.967833824309, 1.0),
        (0.71626938238, 1.0),
        (0.177096952723, 1.0),
        (5.23656777208e-05, 5.23656777208e-04),
        (0.0202732688798, 0.1419128821586),
        (0.00028140506198, 0.00253264555782),
        (0.0149877310796, 0.1199018486368),
    )

    def test_published(self):
        raw, adjusted = np.array(self.PUBLISHED).T
        assert holm(raw) == pytest.approx(adjusted, rel=1e-10)

    def test_published_with_steps_that_do_not_rise(self):
        raw = [0.002, 0.004, 0.006, 0.008, 0.01, 0.012]
        assert holm(raw) == pytest.approx([0.012, 0.02, 0.024, 0.024, 0.024, 0.024])

    def test_by_the_definition(self):
        raw = np.round(np.random.default_rng(0).random(12), 1) ** 2  # some are equal
        for level in np.linspace(0.001, 0.999, 100):
            rejected = np.zeros(12, bool)
            for step, row in enumerate(np.argsort(raw)):
                if raw[row] > level / (12 - step):
                    break
                rejected[row] = True
            assert (holm(raw) <= level).tolist() == rejected.tolist()

    def test_one_and_none(self):
        assert holm([0.03]).tolist() == [0.03]
        assert holm([]).tolist() == []

    def test_false_alarms_of_a_family(self):
        random = np.random.default_rng(0)
        alarms = np.mean([holm(random.random(8)).min() < 0.05 for _ in range(2000)])
        assert alarms == pytest.approx(1 - (1 - 0.05 / 8) ** 8, abs=0.015)

    def test_refused(self):
        for bad in ([0.1, np.nan], [1.1], [-0.1], [[0.1]]):
            with pytest.raises(ValueError, match="p-values must be"):
                holm(bad)


class TestBootstrapPValue:
    def test_by_hand(self):
        assert bootstrap_p_value(np.array([1.0, 2, 3, -1])) == pytest.approx(2 * 2 / 5)
        assert bootstrap_p_value(np.arange(1.0, 1000)) == pytest.approx(2 / 1000)
        assert bootstrap_p_value(-np.arange(1.0, 1000)) == pytest.approx(2 / 1000)
        assert bootstrap_p_value(np.zeros(9)) == 1
        assert bootstrap_p_value(np.array([1.0, 2, 3, np.nan])) == pytest.approx(2 / 4)
        assert bootstrap_p_value(np.array([1.0, np.nan, np.nan])) is None
        assert bootstrap_p_value(np.empty(0)) is None

    @pytest.mark.slow
    def test_false_alarms_of_equal_methods(self):
        """Rows come in groups of four that all methods find equally hard."""
        random = np.random.default_rng(0)
        groups = np.arange(480) // 4
        alarms = []
        for _ in range(200):
            labels = np.repeat(random.permutation(120) % 2, 4)
            hard = np.repeat(random.normal(size=(2, 120)), 4, axis=1)
            noise = random.normal(size=(2, 2, 480))  # method, seed, row
            logits = 1.5 * (labels - 0.5) + hard[:, None] + 0.5 * noise
            p = 1 / (1 + np.exp(-logits))
            result = seed_means(labels, {"a": p[0], "b": p[1]}, "b", groups=groups, bootstrap=200)
            alarms.append(result["a"]["auroc"]["difference"]["p"] < 0.05)
        assert 0.02 < np.mean(alarms) < 0.08

    def test_a_real_difference_is_seen(self):
        random = np.random.default_rng(1)
        labels = np.arange(400) % 2
        logits = np.array([[3.0], [1.0]])[..., None] * (labels - 0.5) + random.normal(
            size=(2, 3, 400)
        )
        p = 1 / (1 + np.exp(-logits))
        result = seed_means(labels, {"good": p[0], "poor": p[1]}, "poor", bootstrap=500)
        assert result["good"]["auroc"]["difference"]["p"] == pytest.approx(2 / 501)
