"""The two sides of benchmark.py, each a process of its own that obeys lines of JSON.

`NtjaxSide` drives ntjax's training step as `ntjax.training.loop` does; `PeftSide` drives
`EsmForSequenceClassification` of transformers (attention by PyTorch's fused kernel, the fastest
it offers) with PEFT's adapters and PyTorch's fused AdamW. Both read their weights from disk, both
are fed host batches by the same `TrainingBatches`, both clip the gradient's norm at 1 and read the
loss every ten steps, as their users' training loops do.
"""

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.datasets.batching import Batch, TokenisedSet, TrainingBatches

LEARNING_RATE, LORA_RANK, LORA_ALPHA, CLIP, LOG_EVERY = 1e-3, 8, 16, 1.0, 10
CLS_ID, FIRST_KMER_ID = 3, 6


@dataclass(frozen=True)
class Size:
    """An ESM classifier; `positions` is 'rotary' or 'learned'."""

    layers: int
    width: int
    heads: int
    ffn: int
    vocabulary: int
    positions: str
    max_tokens: int
    dtype: str = "float32"


@dataclass(frozen=True)
class Case:
    """What is timed: `mode` is 'train', 'inference' or 'embed', `adapter` 'ia3', 'lora' or ''."""

    mode: str
    adapter: str
    rows: int
    tokens: int
    dropout: float = 0.0


def rows_of(size: Size, case: Case) -> TrainingBatches:
    """Random rows of one length, two classes."""
    random = np.random.default_rng(0)
    ids = random.integers(FIRST_KMER_ID, size.vocabulary, (8 * case.rows, case.tokens))
    ids[:, 0] = CLS_ID
    data = TokenisedSet.create(ids, random.integers(0, 2, len(ids)))
    return TrainingBatches(data, case.rows, seed=0)


def model_config(size: Size) -> Any:
    """The same architecture as ntjax describes it."""
    from ntjax.models.config import TransformerConfig

    rotary = size.positions == "rotary"
    return TransformerConfig(
        vocabulary_size=size.vocabulary,
        k_for_kmers=3 if size.vocabulary < 4**6 else 6,
        max_positions=size.max_tokens,
        attention_heads=size.heads,
        embed_dim=size.width,
        ffn_embed_dim=size.ffn,
        num_layers=size.layers,
        key_dim=size.width // size.heads,
        positional_embedding=None if rotary else "learned",
        use_rotary_embedding=rotary,
        layer_norm_eps=1e-5,
    )


def random_weights(size: Size) -> tuple[Any, Any]:
    """ntjax's configuration and weights drawn on the device, in the type of `size`."""
    import jax

    from ntjax.adapters.apply import random_parameters
    from ntjax.inference.devices import replicated_sharding

    config = model_config(size)

    def in_dtype(path: tuple, leaf: Any) -> Any:
        return leaf.astype(size.dtype) if path[-1].key in ("w", "embeddings") else leaf

    @jax.jit
    def draw(key: Any) -> Any:
        return jax.tree_util.tree_map_with_path(in_dtype, random_parameters(config, key))

    return config, jax.device_put(draw(jax.random.key(0)), replicated_sharding())


class NtjaxSide:
    """ntjax's own training step and prediction.

    Arguments:
        size, case: the model and what is timed.
        folder: holds the weights; None draws them on the device.
        attention: "plain" or "cudnn"; None for what ntjax chooses.
        rematerialise: recompute activations in the backward pass.
    """

    def __init__(
        self,
        size: Size,
        case: Case,
        folder: Path | None,
        attention: str | None = None,
        rematerialise: bool = False,
    ):
        import jax

        from ntjax import adapters
        from ntjax.adapters import IA3, LoRA
        from ntjax.inference.devices import replicated_sharding
        from ntjax.inference.forward import (
            ForwardConfig,
            Trainable,
            compile_predict,
            local_attention,
        )
        from ntjax.inference.pretrained import load_pretrained
        from ntjax.models.heads import Cls
        from ntjax.tasks import Classification
        from ntjax.training.members import Hyperparameters, new_member, spread
        from ntjax.training.optimizers import OptimizerConfig
        from ntjax.training.step import StepConfig, compile_train_step

        self.jax, self.spread, self.case = jax, spread, case
        if folder is None:
            model, self.params = random_weights(size)
        else:
            self.loaded = load_pretrained(folder, size.dtype, sharding=replicated_sharding())
            model, self.params = self.loaded.config, self.loaded.params
        adapter = IA3() if case.adapter == "ia3" else LoRA(LORA_RANK, LORA_ALPHA)
        attention = attention or local_attention(model, size.dtype)
        self.config = StepConfig(
            ForwardConfig(model, Cls(), size.dtype, rematerialise, attention),
            OptimizerConfig(100_000, gradient_clip=CLIP),
            Classification.loss,
            use_dropout=case.dropout > 0,
        )
        head_key, adapter_key = jax.random.split(jax.random.key(0))
        trainable = Trainable(
            adapters.init(adapter, model, self.params, adapter_key),
            Cls().init(model.embed_dim, head_key),
        )
        hyperparameters = Hyperparameters(
            np.float32(LEARNING_RATE),
            np.float32(LEARNING_RATE),
            np.float32(case.dropout),
            np.float32(0),
            jax.random.key(1),
        )
        self.member = new_member(self.config.optimizer, trainable)
        self.hyperparameters = jax.device_put(hyperparameters, replicated_sharding())
        self.train_step = compile_train_step(self.config)
        self.predict = compile_predict(self.config.forward)

    def train(self, number: int, batch: Batch) -> Any:
        """One optimiser step; returns the loss without waiting for it."""
        self.member, values = self.train_step(
            self.params, self.member, self.hyperparameters, np.int32(number), self.spread(batch, 1)
        )
        return values["loss"]

    def infer(self, batch: Batch) -> Any:
        """Logits of a batch."""
        devices = self.jax.local_device_count()
        tokens = batch.tokens.reshape(devices, -1, batch.tokens.shape[1])
        return self.predict(self.params, self.member.trainable, tokens)

    def embed(self, batch: Batch) -> Any:
        """Mean of the last layer over the tokens of bases, from text, as a user asks for it."""
        return self.loaded.embed(self.loaded.tokenizer.decode(batch.tokens[:, 1:]))

    def wait(self, result: Any) -> float:
        """Wait for a result; return its first number."""
        return float(np.asarray(result).reshape(-1)[0])


class PeftSide:
    """transformers and PEFT, as their users run them."""

    def __init__(self, size: Size, case: Case, folder: Path | None):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch, self.case = torch, case
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = getattr(torch, size.dtype)
        if folder is None:
            config = _esm_config(size)
            config._attn_implementation = "sdpa"
            with torch.device(self.device):
                model = transformers.EsmForSequenceClassification(config).to(dtype)
        else:
            model = transformers.EsmForSequenceClassification.from_pretrained(
                folder, attn_implementation="sdpa", dtype=dtype
            )
        self.model = _with_adapter(model, case).to(self.device)
        self.model.train(case.mode == "train")
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True
        )

    def _inputs(self, batch: Batch) -> dict[str, Any]:
        tokens = self.torch.from_numpy(batch.tokens).long().to(self.device)
        return {"input_ids": tokens, "attention_mask": (tokens != 1).long()}

    def train(self, number: int, batch: Batch) -> Any:
        """One optimiser step; returns the loss."""
        del number
        labels = self.torch.from_numpy(batch.labels).long().to(self.device)
        loss = self.model(**self._inputs(batch), labels=labels).loss
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def infer(self, batch: Batch) -> Any:
        """Logits of a batch."""
        with self.torch.inference_mode():
            return self.model(**self._inputs(batch)).logits

    def embed(self, batch: Batch) -> Any:
        """Mean of the last layer over the tokens of bases, from token ids."""
        inputs = self._inputs(batch)
        with self.torch.inference_mode():
            states = self.model.esm(**inputs).last_hidden_state[:, 1:]
            mask = inputs["attention_mask"][:, 1:, None].to(states.dtype)
            return (states * mask).sum(dim=1) / mask.sum(dim=1)

    def wait(self, result: Any) -> float:
        """Wait for a result; return its first number."""
        return float(result.reshape(-1)[0])


def _with_adapter(model: Any, case: Case) -> Any:
    """PEFT's IA³ or LoRA where ntjax puts them; the classifier is trained too."""
    import peft

    if not case.adapter:
        return model
    if case.adapter == "ia3":
        output = r"esm\.encoder\.layer\.\d+\.output\.dense"
        config = peft.IA3Config(
            task_type=None,
            target_modules=rf"esm\.encoder\.layer\.\d+\.attention\.self\.(key|value)|{output}",
            feedforward_modules=output,
            modules_to_save=["classifier"],
        )
    else:
        config = peft.LoraConfig(
            r=LORA_RANK,
            lora_alpha=LORA_ALPHA,
            lora_dropout=case.dropout,
            target_modules=["query", "value"],
            modules_to_save=["classifier"],
        )
    return peft.get_peft_model(model, config)


SIDES = {"ntjax": NtjaxSide, "PEFT": PeftSide}


def write_checkpoint(name: str, size: Size, folder: Path) -> None:
    """Random weights in the format that a side reads."""
    folder.mkdir()
    if name == "PEFT":
        _write_esm(size, folder)
        return
    from ntjax.checkpoints.official import write_pytree
    from ntjax.inference.pretrained import load_pretrained
    from ntjax.models.config import parameter_shapes

    config, random = model_config(size), np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name in ("b", "offset"):
            return np.zeros(shape, np.float32)
        if name == "scale":
            return np.ones(shape, np.float32)
        return np.float32(0.02) * random.standard_normal(shape, np.float32)

    params = {
        module: {name: draw(name, shape) for name, shape in shapes.items()}
        for module, shapes in parameter_shapes(config).items()
    }
    write_pytree(folder, params, config.to_hyperparams())
    load_pretrained(folder)  # converts: a user pays for that once


def _write_esm(size: Size, folder: Path) -> None:
    import transformers

    transformers.EsmForSequenceClassification(_esm_config(size)).save_pretrained(folder)


def _esm_config(size: Size) -> Any:
    import transformers

    return transformers.EsmConfig(
        vocab_size=size.vocabulary,
        mask_token_id=2,
        pad_token_id=1,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.ffn,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=size.max_tokens + 2,
        layer_norm_eps=1e-5,
        position_embedding_type="rotary" if size.positions == "rotary" else "absolute",
        token_dropout=False,
        num_labels=2,
    )


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB (Linux: VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    return math.nan


def serve(name: str, size: Size, case: Case, folder: Path) -> None:
    """Take the first step, then obey: a number of steps to time, 'peak' or the end of input."""
    batches, side = rows_of(size, case), SIDES[name](size, case, folder)
    number = 0
    steps_of = {
        "train": lambda batch: side.train(number, batch),
        "inference": side.infer,
        "embed": side.embed,
    }
    step = steps_of[case.mode]

    def run(steps: int) -> float:
        nonlocal number
        began = time.perf_counter()
        for _ in range(steps):
            result = step(batches.batch(number))
            number += 1
            if number % LOG_EVERY == 0:
                side.wait(result)
        value = side.wait(result)
        if not math.isfinite(value):
            raise FloatingPointError(f"{name}: {value} after {number} steps")
        return (time.perf_counter() - began) / steps

    _say({"seconds": run(1)})
    for line in sys.stdin:
        if line.strip() == "peak":
            _say({"memory": peak_memory()})
        else:
            _say({"seconds": run(int(line))})


def _say(answer: dict[str, float]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """`python benchmark_sides.py NAME SIZE CASE FOLDER`, the middle two as JSON."""
    name, size, case, folder = sys.argv[1:]
    if case == "null":
        write_checkpoint(name, Size(**json.loads(size)), Path(folder))
    else:
        serve(name, Size(**json.loads(size)), Case(**json.loads(case)), Path(folder))


if __name__ == "__main__":
    main()
