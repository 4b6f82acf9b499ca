"""Codes of images refuse NaN."""

import pytest
import torch

from asnn.coding import coding_registry, create_coding
from asnn.core.errors import DataError

NAMES = [name for name in coding_registry.names() if "image" in coding_registry.get(name).takes]
STEPS = {"times": 1}


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_refused(name):
    code = create_coding(name, steps=STEPS.get(name, 4))
    x = torch.full((2, 1, 3, 3), 0.5)
    code.encode(x)  # the control
    x[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError) as caught:
        code.encode(x)
    assert caught.value.what == "the images hold NaN"
    assert caught.value.why == "1 of 18 values are not a number"


def test_a_seeded_rate_code_refuses_nan_too():
    with pytest.raises(DataError, match="hold NaN"):
        create_coding("rate", steps=4, seed=1).encode(torch.tensor([[torch.nan]]))


def test_the_meta_device_has_no_values():
    assert create_coding("temporal", steps=4).encode(torch.empty(2, 1, 3, 3, device="meta")).is_meta
