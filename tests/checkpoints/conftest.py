import pytest
from checkpoint_shapes import FOLDERS, Golden, expected_shapes


@pytest.fixture(params=FOLDERS)
def golden(request):
    return Golden(request.param)


@pytest.fixture
def small():
    """The smallest reference checkpoint: 48 kB, no FFN biases, legacy names."""
    return Golden("v2_3mer")


@pytest.fixture
def shapes_for():
    return expected_shapes


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder for converted weights."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(folder))
    return folder
