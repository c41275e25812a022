"""All arms of `train_mini.py` on the same held-out windows, beside 6-mers and Markov."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from train_mini import ARMS, GENOMES, settings

from ntjax.adapters import Adapter, Full
from ntjax.baselines.markov import MarkovModel, UnigramModel
from ntjax.checkpoints import safetensors
from ntjax.datasets.masked_windows import HeldOut, held_out_windows
from ntjax.evaluation import masked_likelihood
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.windows import Region
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import ForwardConfig, Trainable
from ntjax.metrics.masked import masked_metrics
from ntjax.training import pretraining
from ntjax.training.pretrain_settings import complete

COLI = tuple(name for name in GENOMES if "ecoli" in name)
SETS = {
    "E. coli K-12 and 536": COLI,
    "the other eight": tuple(name for name in GENOMES if name not in COLI),
}
# Whose losses are set against each other: the first minus the second.
PAIRS = (
    ("mini", "Markov"),
    ("twin", "Markov"),
    ("mini", "twin"),
    ("grid_mini_3", "grid_mini_1"),
    ("grid_mini_10", "grid_mini_1"),
    ("grid_small_3", "grid_small_1"),
    ("grid_small_10", "grid_small_1"),
    ("grid_mini_1", "grid_small_1"),
    ("grid_mini_10", "grid_small_10"),
    ("grid_mini_10", "grid_mini_10_independent"),
)

_SEED = 0  # of the bootstrap
Model = tuple[ForwardConfig, UnigramModel | MarkovModel | Trainable]


class Arms(NamedTuple):
    """Jobs and trained weights by the arm's name."""

    jobs: dict[str, pretraining.PretrainJob]
    weights: dict[str, Trainable]


def read_arms(runs: Path) -> Arms:
    """Those that are finished."""
    names = [name for name in ARMS if (runs / name / pretraining.REPORT_FILE).exists()]
    jobs = {name: pretraining.prepare(complete(settings(ARMS[name], runs))[0]) for name in names}
    return Arms(jobs, {name: _trained(runs / name) for name in names})


def _trained(folder: Path) -> Trainable:
    tensors, _ = safetensors.read(folder / pretraining.WEIGHTS_FILE)
    params = jax.device_put(safetensors.unflatten(tensors), replicated_sharding())
    return Trainable(Adapter(Full(), params), {})


def compared(arms: Arms, others: dict[str, Model]) -> dict[str, dict[str, Any]]:
    """All arms and some baselines, on test blocks no sequence of which any arm was trained on."""
    job = arms.jobs["mini"]
    models: dict[str, Model] = {
        name: (arms.jobs[name].step, weights) for name, weights in arms.weights.items()
    }
    models |= others
    results = {}
    for title, names in SETS.items():
        regions = [region for region in job.data.parts["test"] if region.name in names]
        windows = _windows(job, regions)
        results[title] = _result(models, windows, PAIRS)
    return results


def by_genome(arms: Arms, others: dict[str, Model]) -> dict[str, dict[str, Any]]:
    """`mini` and some baselines on the test blocks of each genome."""
    job = arms.jobs["mini"]
    models: dict[str, Model] = {"mini": (job.step.forward, arms.weights["mini"])} | others
    results = {}
    for region in job.data.parts["test"]:
        windows = _windows(job, [region])
        results[region.name] = windows and _result(models, windows, PAIRS)
    return results


def whole_genomes(arms: Arms) -> dict[str, dict[str, Any]]:
    """The twin on the genomes of which it has seen none."""
    job = arms.jobs["twin"]
    models: dict[str, Model] = {"twin": (job.step.forward, arms.weights["twin"])} | baselines(job)
    regions = [
        whole_genome(region.genome)
        for region in arms.jobs["mini"].data.parts["train"]
        if region.name in COLI
    ]
    return {region.name: _result(models, _windows(job, [region]), PAIRS) for region in regions}


def baselines(job: pretraining.PretrainJob) -> dict[str, Model]:
    """6-mer frequencies and a Markov model of the job's training blocks."""
    found = masked_likelihood.baselines(job.data.parts["train"], job.validation)
    return {name: (job.step.forward, model) for name, model in found.items()}


def _windows(job: pretraining.PretrainJob, regions: Sequence[Region]) -> HeldOut | None:
    return held_out_windows(
        regions,
        job.data.parts["train"],
        job.model.tokenizer,
        job.settings.window_tokens,
        job.settings.seed,
    )


def _result(
    models: Mapping[str, Model], held_out: HeldOut, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Metrics of all models on the same masked k-mers; differences of losses of the pairs."""
    rows = held_out.windows
    scores = {name: masked_likelihood.guesses(*model, rows) for name, model in models.items()}
    full_names = {name.partition(",")[0]: name for name in scores}  # "Markov": "Markov, order 8"
    differences = {}
    for one, other in pairs:
        if one in full_names and other in full_names:
            both = (scores[full_names[name]] for name in (one, other))
            differences[f"{one} − {other}"] = masked_likelihood.loss_difference(*both, rows, _SEED)
    return {
        "windows": len(rows.tokens),
        "left_out_as_seen": held_out.seen,
        "metrics": {
            name: masked_metrics(*score, rows.group, rows.k, seed=_SEED)
            for name, score in scores.items()
        },
        "difference": differences,
    }
