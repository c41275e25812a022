"""Fixtures that several folders share: the reference checkpoints of tests/golden."""

import json
import os
from functools import cache
from pathlib import Path

# Before JAX is imported. libtpu, which is installed to compile for TPUs that are not at hand, would
# look for chips and complain on stderr that there are none.
if not any(list(Path("/dev").glob(name)) for name in ("nvidia[0-9]*", "accel*", "vfio*")):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from reference_checkpoints import GOLDEN, Golden

import ntjax


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Converted weights go to a folder of this session, not to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTJAX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def quick_compilation():
    """Compile with few optimisations, which takes half the time.

    For tests of what is computed; parity with the official model is tested with all of them.
    """
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def compilations_kept(tmp_path_factory):
    """Keep what XLA compiles in a folder: the same step is compiled once for many runs."""
    wanted = {
        "jax_compilation_cache_dir": str(tmp_path_factory.getbasetemp() / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in wanted}
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: the inputs and reference outputs of a checkpoint."""

    @cache
    def read(name):
        folder = GOLDEN / name
        inputs = json.loads((folder / "inputs.json").read_text())
        with np.load(folder / "expected.npz") as arrays:
            expected = dict(arrays)
        return Golden(
            folder,
            inputs["sequences"],
            inputs["fixed_length"],
            inputs["masked_positions"],
            expected,
        )

    return read


@pytest.fixture(scope="session")
def golden_model(own_cache):
    """`golden_model(name, dtype="float32")`: a reference checkpoint, loaded once a session."""

    @cache
    def load(name, dtype="float32"):
        return ntjax.load_pretrained(GOLDEN / name, dtype=dtype)

    return load
