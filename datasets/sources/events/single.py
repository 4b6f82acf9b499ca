"""One file of events: a recording, or many."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....formats.events import decode_recordings
from ...events import Events
from .fit import extent
from .ragged import last_time, to_events


@dataclass(frozen=True)
class LabelledEvents:
    """The recordings of a file, what samples they are, and labels `[N]` if the file has them."""

    events: Events
    spec: SampleSpec
    labels: Tensor | None = None


def read_events(content: bytes, name: str) -> LabelledEvents:
    """Return the recordings in the bytes of a file of events.

    Times of a file of one recording count from its first event, those of a file of many are as in
    the file. A sensor of one row with on events alone, such as a cochlea, has one polarity.

    Args:
        content: the file's bytes.
        name: the name of the file, for messages; its suffix counts where the content does not tell
            the format.

    Raises:
        DataError: the file is of another kind, damaged, without recordings, or has events
            before its beginning.
    """
    found = decode_recordings(name, content)
    if not len(found):
        raise DataError(f"{name} holds no recordings")
    if len(found) == 1 and len(found.t):
        found = replace(found, t=found.t - found.t.min())
    size, duration = extent(found), last_time(found)
    polarities = 1 if size[0] == 1 and len(found.t) > 0 and bool(found.p.all()) else 2
    events = to_events(name, found, size, duration, polarities)
    spec = SampleSpec("events", (polarities, *size), duration=duration)
    return LabelledEvents(
        events, spec, None if found.labels is None else torch.from_numpy(found.labels)
    )
