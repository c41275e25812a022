import numpy as np
import pytest
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax.interpret.mutagenesis import mutagenesis, position_importance

pytestmark = pytest.mark.usefixtures("quick_compilation")


def score(run, sequence, target):
    """From what `Run.predict` gives for one sequence alone."""
    [value] = run.predict([sequence])
    if run.task.kind == "regression":
        return value
    if run.task.kind == "multilabel":
        chance = value[run.classes.index(target)]
        return np.log(chance) - np.log1p(-chance)
    chosen = run.classes.index(target or run.classes[-1])
    return np.log(value[chosen]) - np.log(np.delete(value, chosen)).mean()


@pytest.mark.parametrize(
    ("name", "kind", "task", "pooling", "target"),
    first_by_default(
        [
            ("v2_3mer", "lora", "two", "mean", None),
            ("rotary_gelu", "ia3", "three", "cls", "weak"),
            ("v2_3mer", "full", "labels", "mean", "TATA"),
            ("v1", "head", "value", "mean", None),
        ]
    ),
)
def test_mutants_one_by_one(golden_model, name, kind, task, pooling, target):
    run = small_run(golden_model(name), kind, task, pooling)
    sequences = [SEQUENCES[2], SEQUENCES[0][:20], "ACGTA"]
    found = mutagenesis(run, sequences, target=target)
    assert found.dtype == np.float32
    assert found.shape == (3, len(SEQUENCES[2]), 4)
    expected = np.zeros(found.shape)
    for row, sequence in enumerate(sequences):
        before = score(run, sequence, target)
        for position, own in enumerate(sequence):
            for code, letter in enumerate("ACGT"):
                if own not in (letter, "N"):
                    mutant = sequence[:position] + letter + sequence[position + 1 :]
                    expected[row, position, code] = score(run, mutant, target) - before
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4 * np.abs(expected).max())


def test_importance_of_a_position(golden_model):
    run = small_run(golden_model("v2_3mer"))
    changes = mutagenesis(run, SEQUENCES)
    assert np.isfinite(changes).all()
    importance = position_importance(changes)
    assert importance.shape == (3, 81)
    assert importance.dtype == np.float32
    three = [changes[0, 5, code] for code, letter in enumerate("ACGT") if letter != SEQUENCES[0][5]]
    np.testing.assert_allclose(importance[0, 5], -np.mean(three), rtol=1e-5)
    assert not importance[2, [16, 17, 22]].any()  # N
    assert not importance[2, len(SEQUENCES[2]) :].any()


def test_lower_case_is_read(golden_model):
    run = small_run(golden_model("v2_3mer"))
    upper, lower = (mutagenesis(run, [SEQUENCES[0]]), mutagenesis(run, [SEQUENCES[0].lower()]))
    np.testing.assert_array_equal(upper, lower)
