"""What the defaults for `mini` reach where the truth is known."""

import numpy as np
import pytest

import ntjax


@pytest.mark.slow
@pytest.mark.timeout(1500)  # two runs of a real training: minutes, where two cores share one unit
def test_simulated_promoters_in_300_steps():
    runs = ntjax.sweep("mini", "simulated_sigma70", vary={"seed": range(2)}, steps=300)
    reached = [run.metrics["auroc"]["value"] for run in runs]
    # With a head on the mean over tokens it was 0.62, on <cls> 0.75.
    assert np.mean(reached) >= 0.88
    assert min(reached) >= 0.86
    assert {run.head.kind for run in runs} == {"tokens"}
