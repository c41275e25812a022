"""The one place where work is mapped over devices.

`jax.pmap` is the mapping (since JAX 0.8 it is jit and shard_map underneath); another one would be
a change of this file alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ntjax.datasets.batching import TokenisedSet, evaluation_batches

DEVICES = "devices"
EVALUATION_TOKENS = 8192  # a device's share of a batch that is only looked at


def replicated_sharding() -> jax.sharding.NamedSharding:
    """One copy on each local device.

    A pmapped function that is handed arrays on one device copies them to the others at every
    call; with this placement it finds them there.
    """
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (DEVICES,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def over_devices(
    function: Callable,
    dtype: str,
    *,
    in_axes: tuple = (None, None, 0),
    out_axes: Any = 0,
    donate_argnums: tuple[int, ...] = (),
    devices: tuple[jax.Device, ...] | None = None,
) -> Callable:
    """Compile a function for all local devices; to be kept, since a new one is compiled again.

    Arguments:
        function: `function(params, trained, tokens [rows, ...])`, or others as `in_axes` says.
        dtype: type of the computation.
        in_axes: 0 for arguments whose leading axis is the devices', None for replicated ones.
        out_axes: the same of the results.
        donate_argnums: arguments that are overwritten in place.
        devices: other devices than the local ones, to compile for ahead of time.
    """
    mapped = jax.pmap(
        function,
        axis_name=DEVICES,
        in_axes=in_axes,
        out_axes=out_axes,
        donate_argnums=donate_argnums,
        devices=devices,
    )
    # Devices that are named are not this machine's: an accelerator's program.
    return mapped if devices else _without_widened_weights(mapped, dtype, donate_argnums)


def _without_widened_weights(
    mapped: Callable, dtype: str, donate_argnums: tuple[int, ...]
) -> Callable:
    """Compile so that a CPU keeps no float32 copy of bfloat16 weights.

    XLA computes in float32 there: it converts the stacked weights, takes a layer's slice of them
    in the scan, and then moves the conversion, which no layer changes, out of the scan. All layers
    are then held in float32 (10 GB more for a model of 2.5 billion parameters). Left in its place,
    the conversion is fused with the slice and touches one layer at a time. Float32 programs, and
    those of other devices, have no such conversion and are compiled as ever.
    """
    if dtype == "float32" or jax.default_backend() != "cpu":
        return mapped
    # Not `mapped` itself: jit would take over its attributes, and with them its own `lower`.
    return jax.jit(
        lambda *arguments: mapped(*arguments),
        donate_argnums=donate_argnums,
        compiler_options={"xla_disable_hlo_passes": "while-loop-invariant-code-motion"},
    )


class RowBatch(NamedTuple):
    """Rows that are computed together.

    Attributes:
        rows: int [real], their numbers in the whole set.
        arrays: [slots, ...] each; slots is a multiple of the devices, the first ones are `rows`.
    """

    rows: np.ndarray
    arrays: tuple[np.ndarray, ...]


def token_batches(
    data: TokenisedSet,
    tokens_per_batch: int,
    buckets: np.ndarray | None = None,
    others: Sequence[np.ndarray] = (),
) -> list[RowBatch]:
    """Cut a set into batches of rows of about one length.

    Arguments:
        data: token ids of all rows.
        tokens_per_batch: a device's share.
        buckets: as of `evaluation_batches`.
        others: arrays [rows, ...] that go with the token ids.
    """
    devices = len(jax.local_devices())
    return [
        RowBatch(
            batch.rows[: int((batch.weights > 0).sum())],
            (batch.tokens, *(array[batch.rows] for array in others)),
        )
        for batch in evaluation_batches(data, tokens_per_batch * devices, devices, buckets)
    ]


def in_batches(
    compiled: Callable,
    params: Any,
    trained: Any,
    batches: Iterable[RowBatch],
    progress: str = "",
    total: int | None = None,
) -> Iterator[tuple[np.ndarray, Any]]:
    """Compute all rows, one batch at a time; each shape of a batch is compiled once.

    Arguments:
        compiled: from `over_devices`.
        params: weights of the backbone.
        trained: second argument of the function: adapter, head and what goes with them.
        batches: such as from `token_batches`.
        progress: what the progress bar is called; "" for none.
        total: how many batches there are, where their iterator cannot tell.

    Yields:
        Row numbers [batch] and what the function gives for them, NumPy arrays [batch, ...]; an axis
        of tokens may be shorter than that of the whole set, where only padding is left out.
    """
    devices = len(jax.local_devices())
    params, trained = jax.device_put((params, trained), replicated_sharding())
    waiting: tuple[np.ndarray, Any] | None = None
    bar = tqdm(batches, desc=progress, total=total, unit="batch", leave=False, disable=not progress)
    for batch in bar:
        shared = [array.reshape(devices, -1, *array.shape[1:]) for array in batch.arrays]
        values = compiled(params, trained, *shared)
        if waiting:  # the devices work on this batch while the one before is copied
            yield _copied(*waiting)
        waiting = batch.rows, values
    if waiting:
        yield _copied(*waiting)


def _copied(rows: np.ndarray, values: Any) -> tuple[np.ndarray, Any]:
    """A batch's row numbers and values as NumPy arrays, without the slots that hold no row."""
    return rows, jax.tree.map(partial(_real_rows, len(rows)), values)


def _real_rows(real: int, values: jax.Array) -> np.ndarray:
    """[devices, rows, ...] -> the first ones of [devices * rows, ...]."""
    array = np.asarray(values)
    return array.reshape(-1, *array.shape[2:])[:real]
