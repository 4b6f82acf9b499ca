"""Any recordings of an event camera, cut into windows; their flow is not known."""

from collections.abc import Iterator
from pathlib import Path

import torch

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError, DataError
from ....formats.events import Recording, read_recordings
from ...base import Source, Split
from ..events.fit import MAX_TIME, check_duration, check_fits, extent, in_order, microseconds
from ..events.folder import SUFFIXES
from ..sizes import height_and_width
from .windows import Window, joined, part_of

VALIDATION, TEST = 0.1, 0.2
"""Shares of the windows, or of the recordings; at least one."""
BY_RECORDING = 5
"""From so many recordings on each is in one part as a whole."""


def load_flow_events(
    *,
    path: str,
    window: float = 50.0,
    count: int | None = None,
    least: int = 100,
    size: int | list[int] | None = None,
    downsample: int = 1,
) -> Source:
    """Return windows of recordings, one after another, without a known flow.

    The parts are cut here, and `data.validation` and `data.test` do not apply: of up to 4
    recordings the first 70 % of the windows of each are for training, the next 10 % for validation
    and the last 20 % for testing; of more, whole recordings are, in the order of their names. So no
    two parts share events, and no test window lies between training windows.

    Args:
        path: a file that `asnn.formats.events` reads, or a folder of such files.
        window: length of a window in ms; what is left at the end of a recording is not used.
        count: cut windows of so many events instead; their times are stretched to `window`, so
            that the flow is in pixels over each of them.
        least: windows of time with fewer events are left out.
        size: [height, width] of the sensor, or one number for both; by default the files', or the
            largest coordinates.
        downsample: pixels of the sensor, in each direction, that become one.

    Raises:
        ConfigError: an option out of range.
        DataError: no recordings, damaged ones, or fewer than three windows.
    """
    sensor = height_and_width(size)
    check_duration(window)
    for key, value in (("count", count), ("least", least), ("downsample", downsample)):
        if value is not None and value < 1:
            raise ConfigError(f"{key} is {value}", why="it must be at least 1")
    length = microseconds(window)
    recordings = list(_recordings(Path(path).expanduser(), sensor))
    sides = [extent(each) for each in recordings]
    height, width = sensor or (max(side[i] for side in sides) for i in (0, 1))
    spec = SampleSpec(
        "events", (2, -(-height // downsample), -(-width // downsample)), duration=length
    )
    found = []
    for number, recording in enumerate(recordings):
        if count is None:
            parts = [each for each in _by_time(recording, length) if len(each) >= least]
        else:
            parts = list(_by_count(recording, count, length))
        found.append([(number, _smaller(part, downsample)) for part in parts])
    cut, note = _cut(found)
    for name, part in cut.items():
        if not part:
            raise DataError(
                f"{path} has too few windows for a {name} part",
                why=f"{sum(map(len, found)):,} windows of {len(recordings)} recordings",
                remedy="lower data.window, data.count or data.least, or give longer recordings",
            )
    splits = {
        name: Split(
            joined([each for _, each in part], spec),
            torch.full((len(part), 2, 1, 1), torch.nan),
            torch.tensor([number for number, _ in part]),
        )
        for name, part in cut.items()
    }
    return Source(
        splits["train"],
        splits["test"],
        [],
        validation=splits["validation"],
        spec=spec,
        notes=[note],
        target="flow",
    )


Numbered = list[tuple[int, Recording]]


def _cut(found: list[Numbered]) -> tuple[dict[str, Numbered], str]:
    """Return the windows of each part, and how they were cut."""
    names = ("train", "validation", "test")
    if len(found) >= BY_RECORDING:
        edges = _edges(len(found))
        cut = {
            name: [each for windows in found[begin:end] for each in windows]
            for name, begin, end in zip(names, edges, edges[1:], strict=False)
        }
        return cut, "parts of flow-events are whole recordings, in the order of their names"
    cut = {name: [] for name in names}
    for windows in found:
        edges = _edges(len(windows))
        for name, begin, end in zip(names, edges, edges[1:], strict=False):
            cut[name] += windows[begin:end]
    shares = "70 %, 10 % and 20 % of the time"
    return cut, f"parts of flow-events are the first, next and last {shares} of each recording"


def _edges(count: int) -> list[int]:
    test = count - max(1, round(TEST * count))
    return [0, test - max(1, round(VALIDATION * count)), test, count]


def _recordings(path: Path, sensor: tuple[int, int] | None) -> Iterator[Recording]:
    """Yield all recordings, from time 0 and sorted by time."""
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"{path} has no recordings",
            why=f"looked for {', '.join(sorted(SUFFIXES))}",
            remedy="give a file of events, or a folder of such files",
        )
    for file in files:
        many = read_recordings(file)
        for i in range(len(many)):
            found = in_order(many[i])
            if not len(found):
                continue
            if int(found.t[-1]) - int(found.t[0]) >= MAX_TIME:
                raise DataError(f"{file} is longer than {MAX_TIME:,} µs")
            found = Recording(found.t - found.t[0], found.x, found.y, found.p, found.size)
            check_fits(str(file), found, sensor)
            yield found


def _by_time(recording: Recording, length: int) -> Iterator[Recording]:
    for begin in range(0, int(recording.t[-1]) + 2 - length, length):
        yield part_of(recording, Window(begin, begin + length))


def _by_count(recording: Recording, count: int, length: int) -> Iterator[Recording]:
    """Yield windows of so many events, with their times stretched to 0 <= t < `length`."""
    for first in range(0, len(recording) - count + 1, count):
        part = slice(first, first + count)
        t = recording.t[part] - recording.t[first]
        t = t * length // (int(t[-1]) + 1)
        yield Recording(t, recording.x[part], recording.y[part], recording.p[part])


def _smaller(recording: Recording, factor: int) -> Recording:
    r = recording
    return r if factor == 1 else Recording(r.t, r.x // factor, r.y // factor, r.p)
