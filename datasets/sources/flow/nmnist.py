"""N-MNIST's recordings in windows of one movement of the camera each."""

import torch
from torch import Tensor

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError
from ...base import Source, Split
from ..events.nmnist import SENSOR, load_nmnist
from ..events.npz import load_events_npz
from .windows import Window, in_windows

LENGTH = 75_000
WINDOWS = tuple(Window(begin, begin + LENGTH) for begin in (15_000, 120_000, 225_000))
"""Inside each of the three movements, which take about 105 ms each."""
MOTIONS = ((0.0, 11.0), (4.0, -10.0), (-9.0, 0.0))
"""Pixels to the right and down in 100 ms, of each movement."""
WHOLE = 340.0  # ms of a recording


def load_flow_nmnist(
    *, path: str = "data/nmnist", test_path: str | None = None, memory_limit: float = 2.0
) -> Source:
    """Return three windows of 75 ms of each recording, with the flow of the camera's movement.

    The flow is a pseudo truth: the camera makes the same three movements in front of every digit,
    so that one constant flow stands for each. Their values are medians over recordings of the
    motion that makes events sharpest (`asnn.datasets.motion.global_motion`), of which single
    recordings differ by about 1 px; `python -m studies.systems.flow` measures them again. All
    windows of a recording are in the same part.

    Args:
        path: what the data set `nmnist` or, if it ends with `.npz`, `events-npz` reads.
        test_path: of an .npz, the test part; by default it is cut from the training part.
        memory_limit: GiB, of `nmnist`.

    Raises:
        ConfigError: `test_path` with a folder.
        DataError: as of the two data sets.
    """
    if path.endswith(".npz"):
        source = load_events_npz(path=path, test_path=test_path, size=list(SENSOR), duration=WHOLE)
    elif test_path is not None:
        raise ConfigError(
            "data.test_path goes with an .npz, and data.path is none",
            why="folders of N-MNIST have Train and Test",
            remedy="leave data.test_path out",
        )
    else:
        source = load_nmnist(path=path, duration=WHOLE, memory_limit=memory_limit)
    spec = SampleSpec("events", (2, *SENSOR), duration=LENGTH)
    return Source(
        _windows(source.train, spec),
        None if source.test is None else _windows(source.test, spec),
        [],
        spec=spec,
        notes=["the flow is a pseudo truth: the median motion of each movement of the camera"],
        target="flow",
    )


def _windows(split: Split, spec: SampleSpec) -> Split:
    """Return the windows of recordings, numbered by their recordings."""
    number, count = len(split), len(WINDOWS)
    ids = torch.arange(number) if split.ids is None else split.ids
    return Split(
        in_windows(split.inputs, WINDOWS, spec),
        motions().repeat(number, 1)[:, :, None, None],
        ids.repeat_interleave(count),
    )


def motions() -> Tensor:
    """Return the flow of each window over its duration, `[3, 2]`."""
    return torch.tensor(MOTIONS) * (LENGTH / 100_000)
