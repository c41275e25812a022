"""Runs that were made with other options are not taken for those that are asked for."""

import pytest

from experiments.promoters.study import Study, require_same_runs
from ntjax.errors import UserError


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fna"
    path.write_text(">one\nACGT\n")
    return path


def test_the_same_options_may_go_on(tmp_path, genome):
    study = Study(runs=tmp_path / "runs")
    require_same_runs(study, genome)
    require_same_runs(study, genome)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"share": 0.1}, "share"), ({"full": True}, "size"), ({"models": ("other",)}, "model")],
)
def test_other_options_are_refused_by_name(tmp_path, genome, changed, named):
    require_same_runs(Study(runs=tmp_path / "runs"), genome)
    with pytest.raises(UserError, match=f"another {named}; give the same, or another --runs"):
        require_same_runs(Study(runs=tmp_path / "runs", **changed), genome)


def test_another_genome_is_refused(tmp_path, genome):
    study = Study(runs=tmp_path / "runs")
    require_same_runs(study, genome)
    genome.write_text(">one\nACGA\n")
    with pytest.raises(UserError, match="another genome"):
        require_same_runs(study, genome)


def test_more_models_to_compare_may_be_added(tmp_path, genome):
    require_same_runs(Study(runs=tmp_path / "runs"), genome)
    require_same_runs(Study(runs=tmp_path / "runs", models=("mini", "500M_1000G")), genome)
