"""Damaged and forged spike files raise DataError and nothing else."""

import io
import json

import numpy as np
import pytest
import torch

from asnn.coding import SpikeFile, create_coding, load_spikes, save_spikes
from asnn.core import DataError


def spike_file() -> bytes:
    coding = create_coding("hybrid", steps=3)
    code = coding.encode(torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)))
    stream = io.BytesIO()
    save_spikes(stream, SpikeFile(code.numpy(), {"analog_steps": 1}, np.array([3, 1])))
    return stream.getvalue()


@pytest.mark.slow
def test_a_flipped_bit_raises_no_other_error():
    valid = spike_file()
    other_errors = set()
    for index in range(len(valid)):
        for bit in range(8):
            damaged = bytearray(valid)
            damaged[index] ^= 1 << bit
            try:
                load_spikes(bytes(damaged))
            except DataError:
                pass
            except Exception as error:
                other_errors.add(type(error).__name__)
    assert other_errors == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": np.zeros(0, int)},
        {"shape": np.array([1.0, np.inf])},
        {"meta": np.asarray('{"analog_steps": Infinity}')},
        {"meta": np.asarray('{"analog_steps": 0, "format": 99}')},
        {"labels": np.zeros(7, int)},
    ],
    ids=str,
)
def test_inconsistent_arrays(changes):
    arrays = {
        "spikes": np.packbits(np.array([1, 0, 1, 1], np.uint8)),
        "shape": np.array([2, 2]),
        "meta": np.asarray(json.dumps({"analog_steps": 0, "format": 1})),
        **changes,
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    with pytest.raises(DataError):
        load_spikes(stream.getvalue())
