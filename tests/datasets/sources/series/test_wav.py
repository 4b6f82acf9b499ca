"""WAV files: each kind against scipy's writer and reader, and files that are damaged."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import wavfile

from asnn.datasets.sources.series.wav import read_wav
from asnn.formats.errors import InvalidFile

FULL_SCALE = {"u1": 128, "i2": 2**15, "i4": 2**31, "i8": 2**63, "f4": 1, "f8": 1}


def saved(samples: np.ndarray, rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a file of chunks, written from the format's description."""
    body = b"WAVE"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def layout(kind=1, channels=1, rate=8_000, width=2, *, bits=None, frame=None) -> bytes:
    frame = channels * width if frame is None else frame
    bits = 8 * width if bits is None else bits
    return struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)


@given(
    st.sampled_from(list(FULL_SCALE)),
    st.integers(1, 3),
    st.integers(1, 40),
    st.sampled_from([100, 8_000, 44_100, 384_000]),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_every_kind_that_scipy_writes(kind, channels, length, rate, data):
    dtype = np.dtype(kind)
    elements = st.floats(-2, 2, width=32) if dtype.kind == "f" else None
    samples = data.draw(hnp.arrays(dtype, (length, channels), elements=elements))
    found, found_rate = read_wav(saved(samples[:, 0] if channels == 1 else samples, rate))
    middle = 128 if kind == "u1" else 0
    expected = ((samples.astype(np.float64) - middle) / FULL_SCALE[kind]).mean(1)
    assert found_rate == rate and found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)
    # scipy's own reader: the same numbers before they are scaled and averaged.
    again = wavfile.read(io.BytesIO(saved(samples, rate)))[1].reshape(length, channels)
    np.testing.assert_array_equal(again, samples)


def test_24_bits():
    values = [0, 1, -1, 2**23 - 1, -(2**23)]
    data = b"".join(struct.pack("<i", value)[:3] for value in values)
    content = riff((b"fmt ", layout(width=3)), (b"data", data))
    found, _ = read_wav(content)
    assert found.tolist() == [value / 2**23 for value in values]
    scipys = wavfile.read(io.BytesIO(content))[1] / 2.0**31
    assert found.tolist() == scipys.tolist()


def test_other_chunks_are_skipped_and_odd_ones_are_padded():
    parts = [(b"LIST", b"abc"), (b"fmt ", layout()), (b"note", b""), (b"data", b"\0\x40")]
    assert read_wav(riff(*parts))[0].tolist() == [0.5]
    assert read_wav(riff(*parts, (b"id3 ", b"data")) + b"more")[0].tolist() == [0.5]


def test_the_extensible_header_names_the_kind_further_back():
    extra = struct.pack("<HHI", 22, 16, 4)
    for kind in (1, 6):
        content = layout(0xFFFE) + extra + struct.pack("<H", kind) + bytes(14)
        file = riff((b"fmt ", content), (b"data", b"\0\x40"))
        if kind == 1:
            assert read_wav(file)[0].tolist() == [0.5]
        else:
            with pytest.raises(InvalidFile, match="its samples are A-law"):
                read_wav(file)


VALID = riff((b"fmt ", layout()), (b"data", bytes(20)))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it begins with"),
        (b"ID3\x03mp3 content", "not with RIFF and WAVE"),
        (VALID[:8] + b"AVI " + VALID[12:], "not with RIFF and WAVE"),
        (riff((b"fmt ", layout())), "it has no chunk `data`"),
        (riff((b"data", bytes(4))), "it has no chunk `fmt`"),
        (riff((b"fmt ", bytes(14)), (b"data", bytes(4))), "`fmt` has 14 bytes"),
        (riff((b"fmt ", layout()), (b"data", b"")), "it holds no samples"),
        (riff((b"fmt ", layout()), (b"data", bytes(5))), "last sample has 1 of 2 bytes"),
        (riff((b"fmt ", layout(channels=2)), (b"data", bytes(6))), "has 2 of 4 bytes"),
        (riff((b"fmt ", layout(7, width=1)), (b"data", bytes(4))), "µ-law; PCM and floats"),
        (riff((b"fmt ", layout(0x55)), (b"data", bytes(4))), "MP3; PCM and floats"),
        (riff((b"fmt ", layout(0x99)), (b"data", bytes(4))), "of kind 0x0099"),
        (riff((b"fmt ", layout(channels=0)), (b"data", bytes(4))), "0 channels in 0 bytes"),
        (riff((b"fmt ", layout(width=5)), (b"data", bytes(5))), "have 40 bits"),
        (riff((b"fmt ", layout(3, width=2)), (b"data", bytes(4))), "have 16 bits"),
        (riff((b"fmt ", layout(bits=24)), (b"data", bytes(4))), "have 24 bits"),
        (riff((b"fmt ", layout(channels=2, frame=3)), (b"data", bytes(6))), "2 channels in 3"),
        (riff((b"fmt ", layout(rate=0)), (b"data", bytes(4))), "0 samples per second"),
        (riff((b"fmt ", layout(rate=2**32 // 2 - 1)), (b"data", bytes(4))), "2147483647 samples"),
        (saved(np.array([0.0, np.nan])), "not finite"),
        (saved(np.array([0, np.inf], np.float32)), "not finite"),
        (saved(np.array([0, -1e300])), "beyond float32"),
    ],
)
def test_refused_files(content, why):
    with pytest.raises(InvalidFile, match=why):
        read_wav(content)


@pytest.mark.parametrize("kept", range(len(VALID)))
def test_every_cut_is_refused(kept):
    """scipy reads a cut file as a shorter recording, with a warning."""
    with pytest.raises(InvalidFile):
        read_wav(VALID[:kept])


@pytest.mark.slow
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_files_are_read_or_refused(data):
    content = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        samples, rate = read_wav(bytes(content))
    except InvalidFile:
        return
    assert 1 <= len(samples) <= 20 and np.isfinite(samples).all() and 100 <= rate <= 384_000
