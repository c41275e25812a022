import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.interpret.aggregation import mean_map, mean_maps_by_outcome, outcome_rows

SEQUENCES = ["ACGT", "AAGN", "cc", "TTTT"]
MAPS = np.arange(16, dtype=np.float32).reshape(4, 4) / 3 + 1


def test_mean_map_against_a_plain_loop():
    expected = np.zeros((4, 4))
    for position in range(4):
        rows = [r for r, s in enumerate(SEQUENCES) if position < len(s) and s[position] != "N"]
        for row in rows:
            code = "ACGT".index(SEQUENCES[row][position].upper())
            expected[position, code] += MAPS[row, position] / len(rows)
        total = np.mean([MAPS[row, position] for row in rows])
        assert expected[position].sum() == pytest.approx(total)
    found = mean_map(MAPS, SEQUENCES)
    assert found.rows == 4
    assert found.heights.dtype == np.float32
    np.testing.assert_allclose(found.heights, expected, rtol=1e-6)


def test_a_subset_by_truth_or_number():
    by_truth = mean_map(MAPS, SEQUENCES, np.array([True, False, False, True]))
    by_number = mean_map(MAPS, SEQUENCES, [0, 3])
    alone = mean_map(MAPS[[0, 3]], [SEQUENCES[0], SEQUENCES[3]])
    for found in (by_truth, by_number):
        assert found.rows == 2
        np.testing.assert_array_equal(found.heights, alone.heights)
    empty = mean_map(MAPS, SEQUENCES, np.zeros(4, bool))
    assert (empty.rows, empty.heights.any()) == (0, False)


def test_the_four_outcomes():
    labels, probabilities = np.array([1, 1, 0, 0]), np.array([0.5, 0.4, 0.6, 0.1])
    rows = outcome_rows(labels, probabilities)
    assert {name: np.flatnonzero(chosen).tolist() for name, chosen in rows.items()} == {
        "correct_promoters": [0],
        "miscalled_promoters": [1],
        "correct_nonpromoters": [3],
        "miscalled_nonpromoters": [2],
    }
    assert outcome_rows(labels, probabilities, 0.3)["miscalled_promoters"].sum() == 0
    maps = mean_maps_by_outcome(MAPS, SEQUENCES, labels, probabilities)
    assert [one.rows for one in maps.values()] == [1, 1, 1, 1]
    np.testing.assert_array_equal(maps["correct_nonpromoters"].heights[:, 3], MAPS[3])


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"maps are \(3, 4\), but there are 4 sequences of up to 4"):
        mean_map(MAPS[:3], SEQUENCES)
    with pytest.raises(UserError, match="up to 4 letters"):
        mean_map(MAPS[:, :3], SEQUENCES)
    with pytest.raises(UserError, match="not all 0 or 1"):
        outcome_rows(np.array([1, 2]), np.array([0.5, 0.5]))
    with pytest.raises(UserError, match="one number of each"):
        outcome_rows(np.array([1, 0]), np.array([[0.5, 0.5], [0.5, 0.5]]))
