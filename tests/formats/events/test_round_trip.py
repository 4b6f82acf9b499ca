"""What an encoder of each format writes is read again, for any events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.formats.events import decode_recording, evt3, read_recording, read_recordings
from tests.formats.events import encoders
from tests.formats.events.test_formulas import rows

SETTINGS = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def events(draw, size, first, steps):
    """Draw (t, x, y, p) within `size` (height, width), times from `first` on by `steps`."""
    height, width = size
    place = st.tuples(
        steps, st.integers(0, width - 1), st.integers(0, height - 1), st.integers(0, 1)
    )
    found, t = [], draw(first)
    for step, x, y, p in draw(st.lists(place, max_size=40)):
        t += step
        found.append((t, x, y, p))
    return found


UP = st.one_of(st.just(0), st.integers(0, 400))
JITTER = st.one_of(st.just(0), st.integers(-30, 5000), st.integers(0, 8_000_000))
WIDE = st.integers(0, 10**6)

FORMATS = {
    "file.bin": (encoders.nmnist, events((240, 256), st.integers(0, 8_000_000), UP)),
    "file.dat": (encoders.dat, events((1 << 14, 1 << 14), WIDE, UP)),
    "evt2.raw": (encoders.evt2, events((2048, 2048), st.integers(10**4, 2**34), JITTER)),
    # The first event is before the first wrap of the clock of 24 bits, which a file cannot state.
    "evt3.raw": (encoders.evt3, events((2048, 2048), st.integers(10**4, 2**23), JITTER)),
    "file.aedat": (encoders.aedat2, events((128, 128), st.integers(-(2**31), 10**9), UP)),
    "file.es": (encoders.event_stream, events((240, 320), st.integers(0, 3000), UP)),
    "file.npz": (encoders.npz, events((480, 640), st.integers(-(10**15), 10**15), JITTER)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@SETTINGS
@given(data=st.data())
def test_encoded_events_are_read_again(name, data):
    encode, strategy = FORMATS[name]
    recorded = data.draw(strategy)
    # Empty N-MNIST files do not exist: a file without a header is not empty.
    if recorded or name != "file.bin":
        assert rows(decode_recording(name, encode(recorded))) == recorded


@SETTINGS
@given(
    columns=st.lists(st.integers(0, 2047), unique=True, min_size=1, max_size=60).map(sorted),
    start=st.integers(0, 2047),
)
def test_vectors_are_the_same_as_single_events(columns, start):
    recorded = [(5, x, 7, 1) for x in columns] + [(6, start, 8, 0)]
    alone = evt3.decode(encoders.evt3(recorded, vectors=False))
    assert rows(evt3.decode(encoders.evt3(recorded))) == rows(alone) == recorded


@pytest.mark.slow
@settings(SETTINGS, max_examples=8)
@given(recorded=events((240, 320), st.integers(0, 2**60), JITTER), packet=st.integers(1, 50))
def test_aedat4_is_read_again(recorded, packet):
    pytest.importorskip("aedat")
    found = decode_recording("file.aedat4", encoders.aedat4(recorded, packet=packet))
    assert rows(found) == recorded
    assert found.size == (240, 320)


@pytest.mark.slow
@settings(SETTINGS, max_examples=8)
@given(recorded=events((480, 640), WIDE, UP), offset=st.integers(0, 2**50), zipped=st.booleans())
def test_dsec_is_read_again(recorded, offset, zipped, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "dsec.h5"
    options = {"compression": "gzip"} if zipped else {}
    encoders.dsec(path, recorded, t_offset=offset, **options)
    assert rows(read_recording(path)) == [(t + offset, x, y, p) for t, x, y, p in recorded]


@pytest.mark.slow
@settings(SETTINGS, max_examples=8)
@given(
    spikes=st.lists(
        st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 699)), max_size=20),
        min_size=1, max_size=8,
    ),
    dtype=st.sampled_from(["f8", "f4", "f2"]),
)  # fmt: skip
def test_shd_is_read_again(spikes, dtype, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "shd.h5"
    labels = [i % 2 for i in range(len(spikes))]
    seconds = [[(t / 1e6, unit) for t, unit in each] for each in spikes]
    encoders.shd(path, seconds, labels, [b"zero", b"eins"], dtype=dtype)
    found = read_recordings(path)
    assert len(found) == len(spikes)
    assert found.labels.tolist() == labels
    assert found.class_names == ("zero", "eins")
    for recording, expected in zip(found, spikes, strict=True):
        assert recording.x.tolist() == [unit for _, unit in expected]
        times = np.array([t for t, _ in expected], np.int64)
        relative, absolute = {"f8": (0, 0), "f4": (0, 1), "f2": (2**-11, 1)}[dtype]
        np.testing.assert_allclose(recording.t, times, rtol=relative, atol=absolute)
        assert (recording.y == 0).all() and (recording.p == 1).all()
