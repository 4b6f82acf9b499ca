"""AEDAT 2.0 (jAER): addresses and times of 32 bits, big-endian, after lines that begin with #.

What an address means depends on the sensor, which newer files name in a line `# AEChip:`.
Source: https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import InvalidFile, sanitize
from .recording import Recording, check_whole

MAGIC = b"#!AER-DAT2"
MAX_HEADER = 1 << 24  # newer files keep all preferences of jAER there
COCHLEA_ADDRESSES = 1 << 10
EXTERNAL = 1 << 15  # the bit above a pixel of DVS128: an edge at the sync input

Chip = Literal["dvs128", "cochlea"]


def decode(content: bytes, *, chip: Chip | None = None) -> Recording:
    """Return the events of a DVS128 or of an AER cochlea.

    DVS128: bit 0 is clear for on, bits 1-7 are x, bits 8-14 are y; (0, 0) is the lower left corner,
    and x counts as in the address (jAER shows it mirrored). Events of the sync input, bit 15, are
    left out. iniVation's page says that bit 0 is set for on; jAER's DVS128 class reads it as here,
    and so a dark object that moves is off at its front.

    Cochlea: x is the address (channel, ear and neuron), in one row, and p is 1.

    Args:
        content: the file.
        chip: the sensor. If not given it is the one that the header names; in a file without that
            line, a cochlea if all addresses are below 1024 (a DVS128 has these in four of its 128
            rows), and a DVS128 otherwise.

    Raises:
        InvalidFile: it is cut, or from another sensor.
    """
    if not content.startswith(MAGIC):
        raise InvalidFile("it does not begin with #!AER-DAT2.0")
    start, named = _header(content)
    check_whole(len(content) - start, 8, "events")
    words = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2)
    addresses = words[:, 0].astype(np.uint32)
    t = words[:, 1].astype(np.uint32).view(np.int32).astype(np.int64)
    highest = int(addresses.max(initial=0))
    chip = chip or named or ("cochlea" if highest < COCHLEA_ADDRESSES else "dvs128")
    if chip == "cochlea":
        _check(addresses, COCHLEA_ADDRESSES, "a cochlea")
        x = addresses.astype(np.int32)
        return Recording(t, x, np.zeros_like(x), np.ones(len(x), np.uint8))
    _check(addresses, 2 * EXTERNAL, "a DVS128")
    external = (addresses & EXTERNAL) != 0
    if external.any():
        addresses, t = addresses[~external], t[~external]
    x = (addresses >> 1 & 0x7F).astype(np.int32)
    y = (addresses >> 8 & 0x7F).astype(np.int32)
    return Recording(t, x, y, (~addresses & 1).astype(np.uint8), (128, 128))


def _check(addresses: np.ndarray, limit: int, sensor: str) -> None:
    if len(addresses) and int(addresses.max()) >= limit:
        first = int(np.argmax(addresses >= limit))
        raise InvalidFile(
            f"event {first} has the address 0x{addresses[first]:x}, which is not one of {sensor}"
        )


def _header(content: bytes) -> tuple[int, Chip | None]:
    """Return where the data begin, and the sensor that the header names."""
    start, chip = 0, None
    while content[start : start + 1] == b"#":
        stop = content.find(b"\n", start, MAX_HEADER)
        if stop < 0:
            raise InvalidFile(f"its header does not end within {MAX_HEADER:,} bytes")
        line = content[start:stop].strip()
        start = stop + 1
        if line.startswith(b"# AEChip:"):
            chip = _chip(line[9:].strip().decode("ascii", "backslashreplace"))
        if line.replace(b" ", b"").lower() == b"#endofasciiheader":
            break  # the first address may begin with the byte of #
    return start, chip


def _chip(name: str) -> Chip:
    if "DVS128" in name:
        return "dvs128"
    if "cochlea" in name.lower():
        return "cochlea"
    raise InvalidFile(f"it is from the sensor {sanitize(name, 60)}; DVS128 and cochleas are read")
