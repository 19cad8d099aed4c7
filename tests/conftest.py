"""Checks every annotation of facelab while the tests run; readers pay nothing for it."""

import sys
import types

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# The hook takes its checker by name. The numeric tower: an int is fine where a float is expected.
checker = types.ModuleType("facelab_annotation_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook("facelab", f"{checker.__name__}.check")

import torch  # noqa: E402

# One table of tolerances, by data type: for results that differ by rounding alone.
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 3e-2, "atol": 3e-2},
}


@pytest.fixture
def tolerance() -> dict:
    """The tolerances by data type, as keywords of torch.testing.assert_close."""
    return TOLERANCE


@pytest.fixture
def random() -> torch.Generator:
    """A random stream that starts the same for every test."""
    return torch.Generator().manual_seed(0)
