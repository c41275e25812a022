"""What makes a run repeatable: versions and devices."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

_PACKAGES = ("ntjax", "jax", "dm-haiku", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return versions and devices, for the record of a run."""
    return {
        "versions": {"python": platform.python_version()} | versions(_PACKAGES),
        "devices": {"platform": jax.default_backend(), "count": jax.local_device_count()},
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages; of one that runs from its source folder there is none."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
