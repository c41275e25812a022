"""What makes a run repeatable: versions and devices."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

_PACKAGES = ("ntjax", "jax", "dm-haiku", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return versions and devices, for the record of a run."""
    return {
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in _PACKAGES},
        "devices": {"platform": jax.default_backend(), "count": jax.local_device_count()},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from its source folder
        return "not installed"
