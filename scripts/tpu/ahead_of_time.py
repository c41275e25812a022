"""The training step compiled for TPUs that are not at hand.

libtpu, the compiler and runtime of TPUs, can describe a topology and compile for it on any Linux
machine. What comes out is the program a TPU would run, with the memory it needs; it cannot be run
here. The step is `compile_train_step` itself: `jax.pmap` is told the topology's devices in place of
this machine's, and lowers to `jit` of `shard_map` over a mesh of them, with the state donated. No
weights are made: shapes and types are enough.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from ntjax import adapters
from ntjax.adapters import AdapterConfig
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.training.members import DeviceBatch, Hyperparameters, Member
from ntjax.training.optimizers import make_optimizer
from ntjax.training.step import StepConfig, compile_train_step

# Without chips libtpu would ask the network for them, and let one process at a time load it.
_NO_CHIPS = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4}
_ARRAY = r"(\w+)\[([\d,]*)\]"


class Collective(NamedTuple):
    """Messages of one kind between devices: how many a step, and the bytes of their results."""

    kind: str
    count: int
    bytes: int


class Product(NamedTuple):
    """A matrix product of the compiled program.

    Attributes:
        operands: type and shape of both factors, such as ("bf16", (8, 1000, 1280)).
        source: the place in the model, as JAX names it.
    """

    operands: tuple[tuple[str, tuple[int, ...]], ...]
    source: str


def tpu_devices(topology: str) -> tuple[jax.Device, ...]:
    """Devices of a topology such as 'v5e:2x2' (one host's four chips) or 'v5e:8x8'.

    For a process that uses no TPU: libtpu reads its environment once, and is told of none.

    Raises:
        UserError: libtpu is not installed, or knows no such topology.
    """
    for name, value in _NO_CHIPS.items():
        os.environ.setdefault(name, value)
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"no TPU topology '{topology}' ({reason}); compiling for TPUs needs libtpu, on Linux: "
            "pip install libtpu"
        ) from None
    return tuple(described.devices)


def compile_for(
    config: StepConfig,
    adapter: AdapterConfig,
    devices: Sequence[jax.Device],
    rows: int,
    tokens: int,
) -> jax.stages.Compiled:
    """The training step of one member, compiled for `devices`.

    Arguments:
        rows: sequences a device and step.
        tokens: length of every sequence.
    """
    step = compile_train_step(config, devices=tuple(devices))
    return step.lower(*abstract_arguments(config, adapter, len(devices), rows, tokens)).compile()


def abstract_arguments(
    config: StepConfig, adapter: AdapterConfig, devices: int, rows: int, tokens: int
) -> tuple[Any, ...]:
    """Shapes and types of the step's arguments: weights, member, hyper-parameters, step, batch."""

    def member(key: jax.Array) -> Member:
        start = adapters.init(adapter, config.forward.model, weights, key)
        head = config.forward.head.init(config.forward.model.embed_dim, key)
        trainable = Trainable(start, head)
        return Member(trainable, make_optimizer(config.optimizer).init(trainable))

    weights = abstract_weights(config.forward.model, config.forward.dtype)
    key = jax.eval_shape(lambda: jax.random.key(0))
    scalar, spread = jax.ShapeDtypeStruct((), jnp.float32), (devices, 1, rows)
    batch = DeviceBatch(
        jax.ShapeDtypeStruct((*spread, tokens), jnp.int32),
        jax.ShapeDtypeStruct(spread, jnp.int32),
        jax.ShapeDtypeStruct(spread, jnp.float32),
        jax.ShapeDtypeStruct(spread, jnp.int32),
    )
    step = jax.ShapeDtypeStruct((), jnp.int32)
    return (
        weights,
        jax.eval_shape(member, key),
        Hyperparameters(scalar, scalar, scalar, scalar, key),
        step,
        batch,
    )


def abstract_weights(model: TransformerConfig, dtype: str) -> dict[str, Any]:
    """The tree that `load_pretrained` would return: matrices in `dtype`, the rest float32."""
    return {
        module: {
            name: jax.ShapeDtypeStruct(shape, dtype if name in ("w", "embeddings") else jnp.float32)
            for name, shape in shapes.items()
        }
        for module, shapes in parameter_shapes(model).items()
    }


def unread_bytes(model: TransformerConfig, dtype: str) -> int:
    """Bytes of the language-model head: they lie on the device, but no training step reads them.

    A compiled program does not count among its arguments what it does not read.
    """
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize
        for module, leaves in abstract_weights(model, dtype).items()
        if "/lm_" in module
        for leaf in leaves.values()
    )


def bytes_needed(compiled: jax.stages.Compiled) -> int:
    """Bytes on a device while the program runs.

    Arguments, results that do not overwrite an argument, intermediate values, and the program.
    """
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )


def collectives(program: str) -> list[Collective]:
    """What the devices send each other in a step, from the text of a compiled program."""
    # An asynchronous pair counts once, by its end, whose result is what arrived.
    kinds = "|".join(_COLLECTIVES)
    pattern = rf"= ([^=]*?) ({kinds})(?:-done)?\("
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for result, kind in re.findall(pattern, re.sub(r"/\*.*?\*/", "", program)):
        counts[kind] += 1
        sizes[kind] += sum(
            _BYTES[dtype] * math.prod(_shape(shape)) for dtype, shape in re.findall(_ARRAY, result)
        )
    return [Collective(kind, counts[kind], sizes[kind]) for kind in sorted(counts)]


def products(program: str) -> list[Product]:
    """Matrix products (on TPUs: convolutions), from the text of a compiled program."""
    arrays = {
        name: (dtype, _shape(shape))
        for name, dtype, shape in re.findall(rf"%([\w.-]+) = {_ARRAY}", program)
    }
    lines = re.findall(r" (?:convolution|dot)\(%([\w.-]+), %([\w.-]+)\)(.*)", program)
    return [
        Product((arrays[left], arrays[right]), "".join(re.findall(r'op_name="([^"]*)"', rest)))
        for left, right, rest in lines
    ]


def instructions(program: str) -> int:
    """Instructions of a compiled program, those inside fusions and loop bodies included."""
    return len(re.findall(r"^ .* = ", program, flags=re.MULTILINE))


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()
