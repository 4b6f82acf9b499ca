"""The events of an AEDAT 4 file by the library aedat; runs in the child process alone."""

from __future__ import annotations

from typing import Any

import aedat
import numpy as np


def read(path: str, budget: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the columns of the only stream of events, and its size.

    Raises:
        ValueError: there is no such stream, there are several, or they exceed `budget` bytes.
        Exception, PanicException: the library refuses the file.
    """
    decoder = aedat.Decoder(path)
    streams = {k: each for k, each in decoder.id_to_stream().items() if each["type"] == "events"}
    if len(streams) != 1:
        raise ValueError(f"it has {len(streams)} streams of events; one is read")
    ((number, stream),) = streams.items()
    packets = []
    for packet in decoder:
        if packet["stream_id"] == number:
            packets.append(packet["events"])
            budget -= packets[-1].nbytes
            if budget < 0:
                raise ValueError("its events are too many for a file of this size")
    columns = {}
    for name, field in {"t": "t", "x": "x", "y": "y", "p": "on"}.items():
        parts = [each[field] for each in packets]
        columns[name] = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
    return columns, {"size": [int(stream["height"]), int(stream["width"])]}
