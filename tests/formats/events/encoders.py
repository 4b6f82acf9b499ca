"""Encoders of event files, one word after another, written from the formats' descriptions."""

import io
import struct
from pathlib import Path

import h5py
import numpy as np

DAT_HEADER = b"% Data file containing events.\n% Version 2\n"


def nmnist(events):
    """Encode (t, x, y, p) with t < 2²³."""
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in events)


def dat(events, *, header=DAT_HEADER, kind=0x0C, item=8):
    words = (struct.pack("<II", t, p << 28 | y << 14 | x) for t, x, y, p in events)
    return header + bytes([kind, item]) + b"".join(words)


def evt2(events, *, header=b"% evt 2.0\n"):
    """Encode times modulo 2³⁴, with a TIME_HIGH where the upper bits change."""
    words, high = [], None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            words.append(0x8 << 28 | high & 0xFFFFFFF)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return header + struct.pack(f"<{len(words)}I", *words)


def evt3_words(events, *, vectors=True):
    """Return the words of times modulo 2²⁴; events of one row, time and polarity as vectors."""
    words, high, low, row, index = [], None, None, None, 0
    while index < len(events):
        t, x, y, p = events[index]
        if t >> 12 != high:
            high = t >> 12
            words.append(0x8000 | high & 0xFFF)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(0x6000 | low)
        if y != row:
            row = y
            words.append(0x0000 | y)
        run = 1  # how many events go into one vector
        while (
            vectors
            and index + run < len(events)
            and events[index + run][0::2] == (t, y)
            and events[index + run][3] == p
            and events[index + run - 1][1] < events[index + run][1] < x + 12
        ):
            run += 1
        if run == 1:
            words.append(0x2000 | p << 11 | x)
        else:
            columns = [each[1] - x for each in events[index : index + run]]
            kind, mask = (0x5000, 0xFF) if max(columns) < 8 else (0x4000, 0xFFF)
            words += [0x3000 | p << 11 | x, kind | sum(1 << c for c in columns) & mask]
        index += run
    return words


def evt3(events, *, header=b"% evt 3.0\n", vectors=True):
    return raw(header, evt3_words(events, vectors=vectors))


def raw(header, words):
    return header + struct.pack(f"<{len(words)}H", *words)


def aedat2(events, *, chip=b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"):
    """Encode a DVS128: polarity 1 is a clear bit 0."""
    words = (struct.pack(">Ii", y << 8 | x << 1 | 1 - p, t) for t, x, y, p in events)
    return b"#!AER-DAT2.0\r\n" + chip + b"# End of ASCII Header\r\n" + b"".join(words)


def cochlea(events):
    words = (struct.pack(">Ii", address, t) for t, address, _, _ in events)
    return b"#!AER-DAT2.0\r\n# AEChip: CochleaAMS1c\r\n" + b"".join(words)


def event_stream(events, *, size=(240, 320), version=(2, 0, 0), kind=1):
    parts = [b"Event Stream", bytes([*version, kind]), struct.pack("<HH", size[1], size[0])]
    last = 0
    for t, x, y, p in events:
        parts.append(b"\xff" * ((t - last) // 127))
        parts.append(struct.pack("<BHH", (t - last) % 127 << 1 | p, x, y))
        last = t
    return b"".join(parts)


def npz(events, **more):
    t, x, y, p = (np.array([event[i] for event in events], np.int64) for i in range(4))
    file = io.BytesIO()
    np.savez_compressed(
        file, **{"t": t, "x": x.astype(np.uint16), "y": y.astype(np.uint16), "p": p == 1, **more}
    )
    return file.getvalue()


def dsec(path: Path, events, *, t_offset=0, **options):
    with h5py.File(path, "w") as file:
        for i, (name, dtype) in enumerate([("t", "u4"), ("x", "u2"), ("y", "u2"), ("p", "u1")]):
            values = np.array([event[i] for event in events], dtype)
            file.create_dataset(f"events/{name}", data=values, **options)
        file["t_offset"] = t_offset
        file["ms_to_idx"] = np.zeros(1, "u8")
    return path


def shd(path: Path, spikes, labels, keys, *, dtype="f8"):
    """Write recordings, each a list of (seconds, unit)."""
    with h5py.File(path, "w") as file:
        for i, (name, inner) in enumerate([("times", dtype), ("units", "u2")]):
            rows = np.empty(len(spikes), object)
            for row, recording in enumerate(spikes):
                rows[row] = np.array([spike[i] for spike in recording], inner)
            kind = h5py.vlen_dtype(np.dtype(inner))
            file.create_dataset(f"spikes/{name}", data=rows, dtype=kind)
        file["labels"] = np.array(labels, "u2")
        file["extra/keys"] = np.array(keys, "S10")
    return path


def aedat4(events, *, size=(240, 320), packet=1000, streams=("EVTS",)):
    """Encode without compression, the tables of FlatBuffers laid out by hand."""
    nodes = "".join(
        f'<node name="{number}" path="/mainloop/Recorder/outInfo/{number}/">'
        '<attr key="compression" type="string">NONE</attr>'
        f'<attr key="typeIdentifier" type="string">{kind}</attr>'
        f'<node name="info" path="/mainloop/Recorder/outInfo/{number}/info/">'
        f'<attr key="sizeX" type="int">{size[1]}</attr>'
        f'<attr key="sizeY" type="int">{size[0]}</attr></node></node>'
        for number, kind in enumerate(streams)
    )
    xml = (
        '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">'
        f"{nodes}</node></dv>"
    ).encode()
    # A root offset, a table of three fields of which the third is a string, and the string.
    header = struct.pack("<I4s5H2xiII", 20, b"IOHE", 10, 8, 0, 0, 4, 12, 4, len(xml)) + xml + b"\0"
    parts = [b"#!AER-DAT4.0\r\n", struct.pack("<I", len(header)), header]
    for start in range(0, len(events), packet):
        part = events[start : start + packet]
        # The same with one field, a vector of structs.
        body = struct.pack("<I4s3H2xiI4xI", 16, b"EVTS", 6, 8, 4, 8, 8, len(part))
        body += b"".join(struct.pack("<qhhB3x", *event) for event in part)
        parts.append(struct.pack("<iiI", 0, len(body) + 4, len(body)) + body)
    return b"".join(parts)
