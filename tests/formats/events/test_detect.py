"""Events are told from images and networks by content, then by suffix."""

import io

import numpy as np
import pytest

from asnn.formats.events.detect import are_events, has_event_header
from tests.formats.events import encoders

EVENTS = [(5, 3, 2, 1), (9, 0, 7, 0)]


def archive(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "encode",
    [encoders.dat, encoders.evt2, encoders.evt3, encoders.aedat2, encoders.event_stream,
     encoders.aedat4],
)  # fmt: skip
def test_a_header_tells_under_any_name(encode):
    content = encode(EVENTS)
    assert has_event_header(content) and are_events("a.png", content)
    # The negative control: the same bytes without the beginning of the header.
    assert not has_event_header(content[3:])


@pytest.mark.parametrize("suffix", [".bin", ".BS2", ".aedat", ".h5"])
def test_a_suffix_tells(suffix):
    assert are_events(f"a{suffix}", b"anything")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", False),
        ("a.npy", b"\x93NUMPY\x01\x00", False),
        ("a", b"\x89HDF\r\n\x1a\n", True),
        ("a", encoders.npz(EVENTS), True),
        ("a.npz", archive(x=np.zeros(3), y=np.zeros(3)), False),
        ("a.npz", archive(x=np.zeros(3), y=np.zeros(3), t=np.zeros(3), p=np.zeros(3)), True),
        ("a.npz", encoders.npz(EVENTS)[:-30], False),
        ("a", b"", False),
        ("a", b"% a header that does not end", True),
        ("a.pdf", b"%PDF-1.7", False),
    ],
)
def test_contents_of_several_kinds(name, content, found):
    assert are_events(name, content) is found
