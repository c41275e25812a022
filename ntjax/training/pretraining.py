"""Masked-language-model training from genomes to weights, through the loop of fine-tuning."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.adapters import Adapter, Full, master_copies
from ntjax.adapters.apply import random_parameters
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.cache import read_hyperparameters, sha256
from ntjax.checkpoints.official import write_pytree
from ntjax.datasets.masked_windows import EvaluationSet, held_out_windows, least_tokens
from ntjax.datasets.masking import MaskedBatches, Masking
from ntjax.datasets.pretraining import PretrainData, read_data
from ntjax.errors import UserError
from ntjax.genomes.windows import WindowSampler
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import ForwardConfig, Trainable, local_attention
from ntjax.inference.predict import masked_losses
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import check_length, config_from_hyperparams
from ntjax.models.kmer_initialisation import with_composed_kmers
from ntjax.runs.record import environment
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks import Classification
from ntjax.training.callbacks import Callback
from ntjax.training.job import load_model
from ntjax.training.loop import Fitted, LoopConfig, MemberRun, Scores, Trainer, batch_slots
from ntjax.training.members import Hyperparameters, new_member
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.pretrain_settings import PretrainSettings, begins_anew
from ntjax.training.step import StepConfig

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

    @property
    def notes(self) -> list[str]:
        """What a reader of the result has to know."""
        return [*self.data.notes, *([self.model.notice] if self.model.notice else [])]

    @cached_property
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


def prepare(settings: PretrainSettings, revision: str | None = None) -> PretrainJob:
    """Read the model and index the genomes.

    `revision`: of a published model, when a run is resumed; the newest may have changed.

    Raises:
        UserError: any of them is unusable.
    """
    model = _load_model(settings, revision)
    check_length(model.config, settings.window_tokens)
    least = least_tokens(model.tokenizer)
    if settings.window_tokens < least:
        raise UserError(
            f"--window-tokens is {settings.window_tokens}: should be at least {least}, so that "
            "held-out windows have letters on both sides of what is to be guessed"
        )
    data = read_data(settings, model.tokenizer.k * (settings.window_tokens - 1))
    validation = held_out_windows(
        data.parts["validation"],
        data.parts["train"],
        model.tokenizer,
        settings.window_tokens,
        settings.seed,
        VALIDATION_WINDOWS,
    )
    if validation is None:
        raise UserError(
            "no window of the validation part is long enough, and shares no 31 letters with the "
            "training genomes: give fewer --window-tokens, larger --block-letters, other "
            "--validation-genomes, or leave out one of two genomes that are nearly the same"
        )
    step = StepConfig(
        ForwardConfig(
            model.config,
            dtype=settings.dtype,
            rematerialise=settings.rematerialise,
            attention=local_attention(model.config, settings.dtype),
        ),
        OptimizerConfig(
            settings.steps,
            settings.schedule,
            settings.warmup_steps,
            settings.weight_decay,
            settings.gradient_clip,
            settings.warmup_from,
        ),
        loss=Classification.loss,  # of the masked tokens, the vocabulary being the classes
    )
    job = PretrainJob(settings, model, data, step, _loop(settings), validation.windows)
    _ = job.batches  # refuses a genome without any window
    return job


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


def _load_model(settings: PretrainSettings, revision: str | None) -> PretrainedModel:
    """A checkpoint's model, or random weights for the hyperparameters in a file."""
    if not begins_anew(settings.model):
        return load_model(settings.model, "float32", revision)
    path = Path(settings.model)
    hyperparams = read_hyperparameters(path)
    k = hyperparams.get("k_for_kmers")
    # The second version's vocabulary, unless the file says otherwise.
    vocabulary_size = hyperparams.pop("vocabulary_size", None)
    if vocabulary_size is None:
        vocabulary_size = 4**k + 11 if isinstance(k, int) and 0 < k < 9 else 0
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
    return Trainable(Adapter(Full(), master_copies(job.model.params, left_out=())), {})


def train(job: PretrainJob, callbacks: Sequence[Callback]) -> Fitted:
    """Train, or go on training what a callback restores.

    Raises:
        DivergedError: a loss or gradient was not finite.
    """
    run = MemberRun(
        new_member(job.step.optimizer, initial_trainable(job)),
        Hyperparameters(
            np.float32(job.settings.learning_rate),
            np.float32(job.settings.learning_rate),
            np.float32(0.0),
            np.float32(0.0),
            jax.random.key(job.settings.seed),
        ),
        job.batches,
        partial(validation_scores, job),
        lambda rows: f"{len(rows)} windows, drawn from the seed and the step's number",
    )
    # All weights are trained, so that the step is given no frozen ones.
    [fitted] = Trainer(job.step, job.loop, {}, [run]).fit(callbacks)
    return fitted


def validation_scores(job: PretrainJob, trainable: Trainable) -> Scores | None:
    """Loss and accuracy on the validation windows; None if a loss is not finite."""
    losses, correct = masked_losses(job.step.forward, trainable, job.validation)
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
                        part: sum(r.letters for r in regions if r.genome is region.genome)
                        for part, regions in job.data.parts.items()
                    },
                }
                for region in job.data.parts["train"]
            ],
            "shares": None if job.data.shares is None else job.data.shares.tolist(),
            "others": _other_files(job.settings),
        },
        "notes": job.notes,
        **environment(),
    }


def _other_files(settings: PretrainSettings) -> list[dict[str, str]]:
    """Describe the files that are no training genomes, by the setting that names them."""
    files = {
        "validation_genomes": settings.validation_genomes,
        "held_out_genomes": settings.held_out_genomes,
        "variants": (settings.variants,) if settings.variants else (),
    }
    return [
        {"setting": setting, "source": name, "sha256": sha256(Path(name))}
        for setting, names in files.items()
        for name in names
    ]


def save(job: PretrainJob, trainable: Trainable, folder: Path) -> None:
    """Write the weights in the official format (`jax_model/`) and as safetensors."""
    params = jax.tree.map(np.asarray, trainable.adapter.parameters)
    write_pytree(folder, params, job.model.config.to_hyperparams())
    safetensors.write(folder / WEIGHTS_FILE, safetensors.flatten(params))
