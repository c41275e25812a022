"""A model of two layers and a problem it can learn, for the tests of training.

Weights and starts are drawn with NumPy: JAX would compile every draw, in every process.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax import adapters
from ntjax.adapters import (
    IA3,
    Adapter,
    AdapterConfig,
    Full,
    HeadOnly,
    LoRA,
)
from ntjax.datasets.batching import Batch, TokenisedSet, TrainingBatches, make_batch
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import ForwardConfig, Trainable
from ntjax.inference.predict import predict
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.models.heads import Cls
from ntjax.tasks import Classification
from ntjax.training.finetune import on_disk
from ntjax.training.loop import Fitted, LoopConfig, MemberRun, Trainer, batch_slots
from ntjax.training.members import Hyperparameters, Member, spread
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.step import StepConfig

PAD, CLS, FIRST_KMER = 1, 3, 6
MODEL = TransformerConfig(
    vocabulary_size=75,
    k_for_kmers=3,
    max_positions=64,
    attention_heads=2,
    embed_dim=16,
    ffn_embed_dim=32,
    num_layers=2,
    key_dim=8,
    positional_embedding=None,
    use_rotary_embedding=True,
)
ADAPTERS: dict[str, AdapterConfig] = {
    "ia3": IA3(),
    "lora": LoRA(rank=4, alpha=8.0),
    "full": Full(),
    "head": HeadOnly(),
}


OPTIMIZER = OptimizerConfig(200)


def step_config(
    model: TransformerConfig = MODEL,
    optimizer: OptimizerConfig = OPTIMIZER,
    loss: Any = Classification.loss,
    use_dropout: bool = False,
    use_backbone_dropout: bool = False,
    **forward: Any,
) -> StepConfig:
    options = {"head": Cls()} | forward
    dropout = (use_dropout, use_backbone_dropout)
    return StepConfig(ForwardConfig(model, **options), optimizer, loss, *dropout)


def fit(
    config: StepConfig,
    loop: LoopConfig,
    params: Any,
    runs: list[MemberRun],
    folder: Path,
    logs: list[Path] | None = None,
) -> list[Fitted]:
    """Train with everything on disk: checkpoints below `folder`, each member's log in its own."""
    return Trainer(config, loop, params, runs).fit(on_disk(folder, logs or [folder]))


def parameters(model: TransformerConfig = MODEL, seed: int = 7) -> dict[str, Any]:
    """The frozen weights, in place on all devices."""
    random = np.random.default_rng(seed)

    def draw(path: tuple, shape: tuple[int, ...]) -> np.ndarray:
        name, noise = path[-1].key, random.standard_normal(shape)
        if name == "scale":
            noise = 1 + 0.1 * noise
        elif name == "w":
            noise *= shape[-2] ** -0.5
        elif name in ("b", "offset"):
            noise *= 0.1
        return noise.astype(np.float32)

    shapes = parameter_shapes(model)
    params = jax.tree_util.tree_map_with_path(draw, shapes, is_leaf=lambda x: isinstance(x, tuple))
    return jax.device_put(params, replicated_sharding())


def trainable(kind: str, params: Any, seed: int = 0, model: TransformerConfig = MODEL) -> Trainable:
    """Adapter and head some way off their start, so that no gradient is 0 by construction."""
    config, random = ADAPTERS[kind], np.random.default_rng(seed)
    if kind == "full":
        parameters = adapters.init(config, model, params, None).parameters
    else:
        tree = jax.eval_shape(
            partial(adapters.init, config, model, params), jax.random.key(0)
        ).parameters
        centre = 1.0 if kind == "ia3" else 0.0
        parameters = jax.tree.map(lambda leaf: _near(centre, 0.2, leaf, random), tree)
    tree = jax.eval_shape(partial(Cls().init, model.embed_dim), jax.random.key(0))
    head = jax.tree.map(lambda leaf: _near(0.0, 0.25, leaf, random), tree)
    return Trainable(Adapter(config, parameters), head)


def _near(centre: float, spread: float, leaf: Any, random: np.random.Generator) -> np.ndarray:
    return (centre + spread * random.standard_normal(leaf.shape)).astype(np.float32)


def hyperparameters(
    learning_rate: float = 0.01, dropout: float = 0.1, seed: int = 0, backbone_dropout: float = 0.0
) -> Hyperparameters:
    rate = np.float32(learning_rate)
    dropped = np.float32(dropout), np.float32(backbone_dropout)
    return Hyperparameters(rate, rate, *dropped, jax.random.key(seed))


def problem(rows: int = 48, seed: int = 0, lengths: tuple[int, ...] = (10,)) -> TokenisedSet:
    """Rows of k-mers, class 1 where the first k-mer is of the vocabulary's second half."""
    random = np.random.default_rng(seed)
    sizes = random.choice(lengths, rows)
    ids = random.integers(FIRST_KMER, MODEL.vocabulary_size, (rows, max(lengths)))
    ids[:, 0] = CLS
    ids[np.arange(max(lengths)) >= sizes[:, None]] = PAD
    middle = (FIRST_KMER + MODEL.vocabulary_size) // 2
    return TokenisedSet.create(ids, (ids[:, 1] >= middle).astype(int))


def padded_batch(
    data: TokenisedSet, batch_size: int, step: int, slots: int, seed: int = 0
) -> Batch:
    """The rows of a step, in a batch of `slots`."""
    batch = TrainingBatches(data, batch_size, seed).batch(step)
    return make_batch(data, batch.real_rows, slots, batch.tokens.shape[1])


def named(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by path, on the host."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}


def labelled_run(
    config: StepConfig,
    loop: LoopConfig,
    params: Any,
    member: Member,
    numbers: Hyperparameters,
    training: TokenisedSet,
    validation: TokenisedSet,
    seed: int = 0,
) -> MemberRun:
    """A member that learns from one set of sequences and is chosen by another."""
    batches = TrainingBatches(training, loop.batch_size, seed, batch_slots(loop))

    def evaluate(state: Trainable) -> dict[str, float | None] | None:
        outputs = predict(config.forward, params, state, validation)
        if not np.isfinite(outputs).all():
            return None
        return Classification.validation_scores(outputs, validation.labels)

    return MemberRun(member, numbers, batches, evaluate)


def batch_of(data, step, rows=8):
    slots = -(-rows // jax.local_device_count()) * jax.local_device_count()
    return spread(padded_batch(data, rows, step, slots), accumulation=1)
