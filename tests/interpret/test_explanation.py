"""What predictions owe to bases, as one table: the numbers of the method that is asked for."""

import numpy as np
import pytest
from planted_task import MODEL
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

from ntjax import load_pretrained
from ntjax.errors import UserError
from ntjax.interpret.explanation import explain

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def run():
    return small_run(load_pretrained(MODEL), "ia3", "three")


@pytest.mark.parametrize("method", first_by_default(["mutagenesis", "gradients"]))
def test_effects_of_substitutions(run, method):
    """Each effect of mutagenesis is the difference of two predictions."""
    found = explain(run, SEQUENCES, method, target="weak")
    sequence = SEQUENCES[2]
    table = found.table(2, sequence)
    assert "".join(table["base"]) == sequence
    assert table["position"].tolist() == list(range(len(sequence)))
    effects = table[[f"to_{base}" for base in "ACGT"]]
    np.testing.assert_allclose(table["importance"], -effects.sum(axis=1) / 3, rtol=1e-5)
    for base, row in zip(sequence, effects.to_numpy(), strict=True):
        assert not row.any() if base == "N" else row["ACGT".index(base)] == 0
    if method == "mutagenesis":
        mutant = sequence[:3] + "ACGT"[("ACGT".index(sequence[3]) + 1) % 4] + sequence[4:]
        before, after = run.logits([sequence, mutant]) @ [-0.5, 1, -0.5]
        assert effects[f"to_{mutant[3]}"][3] == pytest.approx(after - before, abs=1e-4)


def test_attention_has_no_effects(run):
    found = explain(run, SEQUENCES[:1], "attention")
    assert list(found.table(0, SEQUENCES[0])) == ["position", "base", "importance"]


def test_what_is_refused(run):
    with pytest.raises(UserError, match="there is no method 'shap'"):
        explain(run, SEQUENCES, "shap")
    with pytest.raises(UserError, match="the same for every class"):
        explain(run, SEQUENCES, "attention", target="weak")
    with pytest.raises(UserError, match="say which to explain"):
        explain(run, SEQUENCES, "gradients")
