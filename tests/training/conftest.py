"""Compiling is what takes long here; what these tests run is tiny."""

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def quick_compilation():
    """XLA compiles without optimisation, in about half the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
