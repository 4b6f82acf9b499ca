"""Damaged files are refused or read, and raise nothing else."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from asnn.coding.samples import SampleSpec
from asnn.measure.prediction.inputs.reader import read_all, reader_of
from asnn.measure.prediction.inputs.sample import Sample, Source

VALUES = np.random.default_rng(0).random((3, 1, 8, 8))
SHAPES = {"image": (1, 8, 8), "series": (5, 3)}


def saved(save) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


WHOLE = {
    ("image", "a.png"): saved(
        lambda s: Image.fromarray((VALUES[0, 0] * 255).astype(np.uint8)).save(s, "PNG")
    ),
    ("image", "a.npy"): saved(lambda s: np.save(s, VALUES)),
    ("image", "a.npz"): saved(lambda s: np.savez(s, x=VALUES, y=np.arange(3))),
    ("series", "a.npy"): saved(lambda s: np.save(s, VALUES.ravel()[:30].reshape(2, 5, 3))),
    ("events", "a.npz"): saved(
        lambda s: np.savez(s, t=np.arange(9), x=np.arange(9), y=np.arange(9), p=np.arange(9) % 2)
    ),
}
SPECS = {
    "image": SampleSpec("image", SHAPES["image"]),
    "series": SampleSpec("series", (3,), steps=5),
    "events": SampleSpec("events", (2, 20, 20), duration=9),
}


@pytest.mark.filterwarnings("ignore:the first values")
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("case", WHOLE, ids="-".join)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_damage_is_a_refusal_or_samples(case, on_disk, data, tmp_path_factory):
    kind, name = case
    content = bytearray(WHOLE[case])
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(len(content), begin + 8)))
        content[begin:end] = data.draw(st.binary(max_size=8))
    path = None
    if on_disk:
        path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
        path.write_bytes(content)
    source = Source(str(path or name), lambda: bytes(content), path)
    for found in read_all(reader_of(SPECS[kind], ["a", "b"]), [source]):
        if isinstance(found, Sample) and kind in SHAPES:
            assert tuple(found.value.shape) == SHAPES[kind]
