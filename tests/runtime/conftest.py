"""Both small models, made once a test process."""

import pytest
from runtime_models import FAMILIES, runtime


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder for each family."""
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, make in FAMILIES.items()}


@pytest.fixture(params=FAMILIES)
def folder(request, folders):
    """The folder of a model with rotary positions, then of one with learned positions."""
    return folders[request.param]


@pytest.fixture
def rt(folder):
    """A float32 runtime on the CPU."""
    return runtime(folder)
