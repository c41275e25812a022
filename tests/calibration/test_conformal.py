"""Prediction intervals against quantiles and simulated rows."""

import numpy as np
import pytest

from ntjax.calibration import PredictionInterval
from ntjax.errors import UserError


@pytest.mark.parametrize("n", [9, 10, 99, 500])
def test_the_interval_is_the_quantile_of_split_conformal_prediction(n):
    generator = np.random.default_rng(n)
    predictions = generator.normal(size=n)
    targets = predictions + generator.standard_t(3, size=n)
    fitted = PredictionInterval.fit(predictions, targets)
    level = np.ceil((n + 1) * 0.9) / n
    expected = np.quantile(np.abs(targets - predictions), level, method="inverted_cdf")
    assert fitted == PredictionInterval(0.9, expected)


def test_the_interval_holds_what_it_promises_of_new_rows():
    generator = np.random.default_rng(0)
    errors = generator.standard_exponential((2000, 40))
    held = []
    for calibration_errors in errors:
        fitted = PredictionInterval.fit(np.zeros(39), calibration_errors[:39])
        held.append(calibration_errors[39] <= fitted.half_width)
    # 36 of 40 places; one standard error is 0.0067.
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


def test_an_interval_needs_nine_rows():
    with pytest.raises(UserError, match="holds 90% of the values needs 9 calibration rows, not 8"):
        PredictionInterval.fit(np.zeros(8), np.arange(8.0))
    with pytest.raises(UserError, match="not finite"):
        PredictionInterval.fit(np.full(20, np.nan), np.arange(20.0))
