"""Files of a few events, encoded by hand, and each reason for a refusal."""

import struct

import numpy as np
import pytest

from asnn.formats.errors import InvalidFile
from asnn.formats.events import aedat2, dat, event_stream, evt2, evt3, nmnist
from tests.formats.events import encoders


def rows(recording):
    """Return the events as (t, x, y, p)."""
    columns = (recording.t, recording.x, recording.y, recording.p)
    return list(zip(*(each.tolist() for each in columns), strict=True))


def test_nmnist():
    # x 7, y 15, on at 0x028e13, off at 1 µs
    found = nmnist.decode(bytes([7, 15, 0x82, 0x8E, 0x13, 33, 0, 0, 0, 1]))
    assert rows(found) == [(0x028E13, 7, 15, 1), (1, 33, 0, 0)]
    assert found.size is None


def test_nmnist_adds_2_to_the_13_from_each_overflow_on():
    events = [(5, 1, 2, 0), (0, 0, 240, 0), (6, 3, 4, 1), (0, 0, 240, 0), (7, 5, 6, 1)]
    found = nmnist.decode(encoders.nmnist(events))
    assert rows(found) == [(5, 1, 2, 0), (6 + 8192, 3, 4, 1), (7 + 2 * 8192, 5, 6, 1)]


def test_a_cut_event_is_refused():
    with pytest.raises(InvalidFile, match="ends too early: the last of its events has 3 of 5"):
        nmnist.decode(bytes(13))


def test_dat_fields_have_14_14_and_4_bits():
    content = encoders.DAT_HEADER + b"\x00\x08" + struct.pack("<II", 2**32 - 1, 0x1000C019)
    assert rows(dat.decode(content)) == [(2**32 - 1, 0x19, 3, 1)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\x08" + bytes(8), "does not begin with a header"),
        (b"% Version 1\n\x00\x08", "version is 1; version 2 is read"),
        (b"% Version 2\n\x00", "ends too early: within its header"),
        (encoders.dat([], kind=0x0E), "events of type 0x0e with 8 bytes"),
        (encoders.dat([], item=16), "events of type 0x0c with 16 bytes"),
        (encoders.dat([(0, 1, 2, 1), (1, 1, 2, 3)]), "event 1 has the polarity 3"),
        (encoders.dat([(0, 1, 2, 1)])[:-1], "has 7 of 8 bytes"),
        (
            encoders.dat([(0, 303, 2, 1), (0, 304, 2, 1)], header=b"% Height 240\n% Width 304\n"),
            "event 1 is at x 304, y 2, beyond the 304x240",
        ),
        (encoders.dat([], header=b"% Height 0\n% Width 9\n"), "states the height '0'"),
        (b"% " + b"a" * 70_000, "header does not end within 65,536 bytes"),
    ],
)
def test_dat_refuses(content, why):
    with pytest.raises(InvalidFile, match=why):
        dat.decode(content)


def test_evt2_joins_28_and_6_bits_of_time():
    words = [0x80005070, 0x1 << 28 | 33 << 22 | 600 << 11 | 475, 0x0 << 28 | 63 << 22 | 1]
    header = b"% evt 2.0\n% geometry 640x480\n% end\n"
    found = evt2.decode(header + struct.pack("<3I", *words))
    assert rows(found) == [(0x5070 * 64 + 33, 600, 475, 1), (0x5070 * 64 + 63, 0, 1, 0)]
    assert found.size == (480, 640)


def test_evt2_goes_on_after_the_wrap_of_its_time():
    times = [2**34 - 70, 2**34 - 1, 2**34, 2**34 + 100, 2**34 - 3]  # and a clock that steps back
    found = evt2.decode(encoders.evt2([(t, 0, 0, 0) for t in times]))
    assert found.t.tolist() == times


def test_events_before_the_first_time_are_left_out():
    early = struct.pack("<I", 0x1 << 28 | 5 << 11)
    later = encoders.evt2([(100, 1, 2, 0)], header=b"")
    assert rows(evt2.decode(b"% evt 2.0\n" + early + later)) == [(100, 1, 2, 0)]
    with pytest.raises(InvalidFile, match="no TIME_HIGH word comes before its events"):
        evt2.decode(b"% evt 2.0\n" + early)
    words = [0x2005, *encoders.evt3_words([(100, 1, 2, 0)])]
    assert rows(evt3.decode(encoders.raw(b"% evt 3.0\n", words))) == [(100, 1, 2, 0)]
    with pytest.raises(InvalidFile, match="no time and row come before its events"):
        evt3.decode(encoders.raw(b"% evt 3.0\n", [0x2005]))


def test_triggers_are_left_out():
    events = [(100, 1, 2, 0)]
    trigger = struct.pack("<I", 0xA << 28)
    assert rows(evt2.decode(encoders.evt2(events) + trigger)) == events
    assert rows(evt3.decode(encoders.evt3(events) + struct.pack("<H", 0xA000))) == events


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (encoders.evt2([(0, 1, 2, 1)])[:-2], "the last of its words has 2 of 4 bytes"),
        (
            b"% evt 2.0\n" + struct.pack("<2I", 0x80000001, 0x2 << 28),
            "at byte 14 has the type 0x2",
        ),
        (encoders.evt2([], header=b"% evt 3.0\n"), "states EVT3, not EVT2"),
        (encoders.evt2([], header=b"% evt 2.0\n% endianness big\n"), "are big endian"),
        (
            encoders.evt2([(0, 640, 2, 1)], header=b"% format EVT2;height=480;width=640\n"),
            "event 0 is at x 640, y 2, beyond the 640x480",
        ),
    ],
)
def test_evt2_refuses(content, why):
    with pytest.raises(InvalidFile, match=why):
        evt2.decode(content)


def test_evt3_words():
    """Row 200; a column; a vector of 12 and one of 8 after it; a later row at a later time."""
    words = [0x8B2D, 0x6000, 0x00C8, 0x236A, 0x3800 | 24, 0x4801, 0x5F81, 0x6010, 0x005B, 0x2805]
    t = 0xB2D << 12
    found = evt3.decode(encoders.raw(b"% format EVT3;height=720;width=1280\n% end\n", words))
    assert rows(found) == [
        (t, 0x36A, 200, 0),
        (t, 24, 200, 1),
        (t, 24 + 11, 200, 1),
        (t, 24 + 12, 200, 1),  # the upper four bits of a vector of eight mean nothing
        (t, 24 + 12 + 7, 200, 1),
        (t + 0x10, 5, 0x5B, 1),
    ]
    assert found.size == (720, 1280)


def test_a_column_between_vectors_does_not_move_them():
    words = [0x8000, 0x6000, 0x0000, 0x3000 | 8, 0x5001, 0x2000 | 99, 0x5001]
    assert evt3.decode(encoders.raw(b"% evt 3.0\n", words)).x.tolist() == [8, 99, 16]


WRAPPED = [2**24 - 5000, 2**24 - 1, 2**24, 2**24 + 9, 2**24 - 2, 2**24 + 9_000_000, 2**25 + 1]


def test_evt3_goes_on_after_the_wraps_of_its_time():
    """Also where the clock steps back across a wrap."""
    found = evt3.decode(encoders.evt3([(t, 1, 2, 0) for t in WRAPPED]))
    assert found.t.tolist() == WRAPPED


def test_without_unwrapping_times_would_be_wrong(monkeypatch):
    monkeypatch.setattr(evt3, "unwrap", lambda values, period: values.astype(np.int64))
    found = evt3.decode(encoders.evt3([(t, 1, 2, 0) for t in WRAPPED]))
    assert found.t.tolist() == [t % 2**24 for t in WRAPPED] != WRAPPED


LINE = b"% geometry 1280x720\n% evt 3.0\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([0x8000, 0x1000], "the word at byte 32 has the type 0x1, which its encoding does not"),
        ([0x8000, 0x6000, 0, 0x37F8, 0x4080, 0x4000], None),  # column 2047; no events beyond it
        ([0x8000, 0x6000, 0, 0x37F8, 0x4180], "the vector at byte 38 goes beyond the 2048 columns"),
        ([0x8000, 0x6000, 0, 0x34F8, 0x4100], "event 0 is at x 1280, y 0, beyond the 1280x720"),
        ([0x8000, 0x6000, 720, 0x2001], "event 0 is at x 1, y 720, beyond the 1280x720"),
    ],
)
def test_evt3_refuses_what_is_beyond_the_line(words, why):
    if why is None:
        found = evt3.decode(encoders.raw(b"% evt 3.0\n", words))
        assert found.x.tolist() == [2047]
        return
    with pytest.raises(InvalidFile, match=why):
        evt3.decode(encoders.raw(LINE, words))


def test_a_mask_of_no_events_in_an_evt3_file_of_many_is_bounded(monkeypatch):
    monkeypatch.setattr(evt3, "MAX_EVENTS", 11)
    words = [0x8000, 0x6000, 0, 0x3000, 0x4FFF]
    with pytest.raises(InvalidFile, match="more than 11 events"):
        evt3.decode(encoders.raw(b"% evt 3.0\n", words))


def test_dvs128_addresses():
    """Bits 8-14 are y, 1-7 are x, a clear bit 0 is on; bit 15 is the sync input."""
    words = struct.pack(">IiIiIi", 77 << 8 | 99 << 1, -3, 1, 5, 1 << 15, 6)
    found = aedat2.decode(b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n" + words)
    assert rows(found) == [(-3, 99, 77, 1), (5, 0, 0, 0)]
    assert found.size == (128, 128)


def test_a_cochlea_has_one_row():
    found = aedat2.decode(encoders.cochlea([(10, 1023, 0, 1), (9, 1, 0, 1)]))
    assert rows(found) == [(10, 1023, 0, 1), (9, 1, 0, 1)]
    assert found.size is None


def test_a_file_that_names_no_sensor_is_told_by_its_addresses():
    low = encoders.aedat2([(0, 5, 3, 0)], chip=b"")
    assert rows(aedat2.decode(low)) == [(0, 3 << 8 | 5 << 1 | 1, 0, 1)]
    assert rows(aedat2.decode(low, chip="dvs128")) == [(0, 5, 3, 0)]
    assert rows(aedat2.decode(encoders.aedat2([(0, 5, 4, 0)], chip=b""))) == [(0, 5, 4, 0)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (encoders.aedat2([(0, 1, 2, 1)])[:-1], "the last of its events has 7 of 8 bytes"),
        (encoders.aedat2([], chip=b"# AEChip: DAVIS346\r\n"), "from the sensor DAVIS346; DVS128"),
        (encoders.aedat2([]) + struct.pack(">II", 1 << 16, 0), "event 0 has the address 0x10000"),
        (encoders.cochlea([(0, 1024, 0, 1)]), "address 0x400, which is not one of a cochlea"),
        (b"#!AER-DAT2.0\r\n# open", "header does not end"),
        (b"#!AER-DAT3.1\r\n", "does not begin with #!AER-DAT2.0"),
    ],
)
def test_aedat2_refuses(content, why):
    with pytest.raises(InvalidFile, match=why):
        aedat2.decode(content)


def test_event_stream_bytes():
    """Steps of 7 bits; 255 adds 127 µs, 254 nothing; both may also be bytes of x."""
    body = [0b101, 255, 0, 239, 0, 255, 255, 254, 0b10, 254, 0, 7, 0, 255]
    content = encoders.event_stream([]) + bytes(body)
    assert rows(event_stream.decode(content)) == [(2, 255, 239, 1), (2 + 254 + 1, 254, 7, 0)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (encoders.event_stream([(0, 1, 2, 1)])[:-1], "its last event has 4 of 5 bytes"),
        (encoders.event_stream([])[:17], "ends too early: within its header"),
        (encoders.event_stream([], version=(1, 3, 0)), "version is 1.3; version 2 is read"),
        (encoders.event_stream([], kind=0), "holds generic events; DVS events are read"),
        (encoders.event_stream([], kind=2), "holds ATIS events; DVS events are read"),
        (encoders.event_stream([], kind=9), "events of the unknown type 9"),
        (encoders.event_stream([(0, 1, 240, 1)]), "event 0 is at x 1, y 240, beyond the 320x240"),
        (b"Event Strean" + bytes(8), "does not begin with `Event Stream`"),
    ],
)
def test_event_stream_refuses(content, why):
    with pytest.raises(InvalidFile, match=why):
        event_stream.decode(content)


def test_a_file_without_events_is_a_recording_of_none():
    for decode, content in [
        (dat.decode, encoders.dat([])),
        (evt2.decode, encoders.evt2([])),
        (evt3.decode, encoders.evt3([])),
        (aedat2.decode, encoders.aedat2([])),
        (event_stream.decode, encoders.event_stream([])),
    ]:
        assert rows(decode(content)) == []
