"""Masked-language-model training from genomes to weights, through the loop of fine-tuning."""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.adapters import Adapter, full
from ntjax.adapters.full import FullConfig
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import read_hyperparameters, sha256
from ntjax.checkpoints.official import write_pytree
from ntjax.data.genome_windows import WindowSampler
from ntjax.data.masking import MaskedBatches, Masking
from ntjax.data.tokenizer import Tokenizer
from ntjax.errors import UserError
from ntjax.masked_evaluation import EvaluationSet
from ntjax.models.config import config_from_hyperparams
from ntjax.models.forward import random_parameters
from ntjax.models.heads import HeadConfig
from ntjax.models.kmer_initialisation import with_composed_kmers
from ntjax.models.pretrained import PretrainedModel, check_length, load_pretrained
from ntjax.training import held_out_report
from ntjax.training.finetuning import environment
from ntjax.training.loop import Fitted, LoopConfig, MemberRun, Scores, Trainer, batch_slots
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.placement import new_member, replicated_sharding
from ntjax.training.prediction import masked_losses
from ntjax.training.pretrain_data import PretrainData, read_data
from ntjax.training.pretrain_settings import PretrainSettings
from ntjax.training.step import (
    Hyperparameters,
    StepConfig,
    Trainable,
)

WEIGHTS_FILE = "weights.safetensors"
REPORT_FILE = "held_out.json"
VALIDATION_WINDOWS = 256


@dataclass(frozen=True)
class PretrainJob:
    """A run that is about to begin: everything read and checked, nothing written.

    `validation` chooses the checkpoint, and the baselines' order.
    """

    settings: PretrainSettings
    model: PretrainedModel
    data: PretrainData
    step: StepConfig
    loop: LoopConfig
    validation: EvaluationSet

    def batches(self) -> MaskedBatches:
        """What is learnt from."""
        settings, tokenizer = self.settings, self.model.tokenizer
        sampler = WindowSampler(
            self.data.sources,
            self.data.shares,
            tokenizer,
            settings.window_tokens,
            settings.seed,
        )
        masking = Masking(tokenizer, settings.masked_share, settings.masking)
        rows = self.loop.batch_size
        return MaskedBatches(sampler, masking, rows, batch_slots(self.loop), settings.seed)


def prepare(settings: PretrainSettings) -> PretrainJob:
    """Read the model and index the genomes.

    Raises:
        UserError: any of them is unusable.
    """
    model = _load_model(settings)
    check_length(model.config, settings.window_tokens)
    data = read_data(settings)
    validation = held_out_report.held_out_windows(
        data.parts["validation"],
        data.parts["train"],
        model.tokenizer,
        settings.window_tokens,
        settings.seed,
        VALIDATION_WINDOWS,
    )
    if validation is None:
        raise UserError(
            "no window of the validation blocks is long enough and new to the model: give more "
            "genomes, a higher --validation-fraction or fewer --window-tokens"
        )
    step = StepConfig(
        model.config,
        HeadConfig("cls", 2),  # no head is used
        OptimizerConfig(
            settings.steps,
            settings.schedule,
            settings.warmup_steps,
            settings.weight_decay,
            settings.gradient_clip,
            settings.warmup_from,
        ),
        dtype=settings.dtype,
        rematerialise=settings.rematerialise,
        task="masked",
    )
    return PretrainJob(settings, model, data, step, _loop(settings), validation.windows)


def _loop(settings: PretrainSettings) -> LoopConfig:
    rows = max(1, round(settings.tokens_per_update / settings.window_tokens))
    a_pass = max(1, settings.tokens_per_pass // settings.window_tokens) * len(jax.local_devices())
    return LoopConfig(
        steps=settings.steps,
        batch_size=rows,
        accumulation=-(-rows // a_pass),
        evaluate_every=settings.evaluate_every,
        select="loss",
    )


def _load_model(settings: PretrainSettings) -> PretrainedModel:
    """A checkpoint's model, or random weights for the hyperparameters in a file."""
    path = Path(settings.model)
    if not path.is_file():
        return load_pretrained(settings.model, sharding=replicated_sharding())
    hyperparams = read_hyperparameters(path)
    k = hyperparams.get("k_for_kmers", 6)
    vocabulary_size = hyperparams.pop("vocabulary_size", None) or 4**k + 11
    config = config_from_hyperparams(hyperparams, vocabulary_size, str(path))
    tokenizer = Tokenizer.for_vocabulary_size(config.vocabulary_size, config.k_for_kmers)
    params = random_parameters(config, jax.random.key(settings.seed))
    if settings.initial_kmers == "letters":
        params = with_composed_kmers(params, tokenizer, settings.seed)
    params = jax.device_put(params, replicated_sharding())
    source = {"hyperparameters": json.dumps(config.to_hyperparams(), sort_keys=True)}
    return PretrainedModel(path.stem, config, params, tokenizer, source=source)


def initial_trainable(job: PretrainJob) -> Trainable:
    """All weights, before the first step."""
    return Trainable(Adapter(FullConfig(), full.init(job.model.params, left_out=())), {})


def train(job: PretrainJob, folder: Path, progress: bool = True) -> Fitted:
    """Train, or go on training what `folder` holds.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; the state is saved.
        DivergedError: a loss or gradient was not finite.
    """
    run = MemberRun(
        new_member(job.step, initial_trainable(job)),
        Hyperparameters(
            np.float32(job.settings.learning_rate),
            np.float32(0.0),
            jax.random.key(job.settings.seed),
        ),
        job.batches(),
        partial(validation_scores, job),
        folder,
        lambda rows: f"{len(rows)} windows",
    )
    # All weights are the trained ones: no frozen copy stands beside them.
    [fitted] = Trainer(job.step, job.loop, {}, [run], folder).fit(progress)
    return fitted


def validation_scores(job: PretrainJob, trainable: Trainable) -> Scores | None:
    """Loss and accuracy on the validation windows; None if a loss is not finite."""
    losses, correct = masked_losses(job.step, trainable, job.validation)
    if not np.isfinite(losses).all():
        return None
    return {"loss": float(losses.mean()), "accuracy": float(correct.mean())}


def record(job: PretrainJob) -> dict[str, Any]:
    """The content of `config.json`: all that is needed to repeat the run."""
    return {
        "settings": asdict(job.settings),
        "model": {"name": job.model.name, **job.model.source},
        "data": {
            "genomes": [
                {
                    "source": str(region.genome.path),
                    "sha256": sha256(region.genome.path),
                    "nucleotides": {
                        part: regions[number].letters for part, regions in job.data.parts.items()
                    },
                }
                for number, region in enumerate(job.data.parts["train"])
            ]
        },
        "notes": list(job.data.notes),
        **environment(),
    }


def save(job: PretrainJob, trainable: Trainable, folder: Path) -> None:
    """Write the weights in the official format (`jax_model/`) and as safetensors."""
    params = jax.tree.map(np.asarray, trainable.adapter.parameters)
    write_pytree(folder, params, job.model.config.to_hyperparams())
    safetensors.write(folder / WEIGHTS_FILE, safetensors.flatten(params))


def report(job: PretrainJob, trainable: Trainable) -> dict[str, Any]:
    """What the weights reach on the test blocks and on each held-out genome.

    By set: `windows`, how many were left out because their sequence occurs in training, `metrics`
    of the model, of 6-mer frequencies and of a Markov model, and the `difference` of the losses.
    """
    settings, training = job.settings, job.data.parts["train"]
    others = held_out_report.baselines(training, job.validation)
    sets = {"test blocks": job.data.parts["test"]} | {
        region.name: [region] for region in job.data.held_out
    }
    results = {}
    for name, regions in sets.items():
        windows = held_out_report.held_out_windows(
            regions, training, job.model.tokenizer, settings.window_tokens, settings.seed
        )
        results[name] = windows and held_out_report.report(
            job.step, trainable, others, windows, settings.seed
        )
    return results
