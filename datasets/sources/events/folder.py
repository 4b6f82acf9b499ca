"""Recordings of event cameras in class folders, on disk or in a zip."""

from ....core.errors import ConfigError
from ....formats.events.read import FORMATS
from ...base import Source
from ..class_folders import read_layout
from ..sizes import height_and_width
from ..tables import Columns
from .decode import Start
from .files import load_parts
from .fit import check_duration

SUFFIXES = {suffix for each in FORMATS for suffix in each.suffixes}


def load_events_folder(
    *,
    path: str,
    test_path: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    size: int | list[int] | None = None,
    polarities: int = 2,
    duration: float | None = None,
    start: Start = "first",
    memory_limit: float = 2.0,
) -> Source:
    """Return the recordings of class folders, one a file, classes in alphabetical order.

    The layout is `<class>/recording.aedat4` or `train/<class>/recording.aedat4` (optionally with
    `test/` and `validation/` beside `train/`), in a folder or a zip, or a table (CSV, TSV, Parquet)
    of files and labels. Formats are those of `asnn.formats.events`; other and hidden files are
    ignored. A file of AEDAT 4 or HDF5 takes about 0.2 s, because a process of its own reads it.

    Args:
        path: the folder, zip or table.
        test_path: another folder or zip with the test part.
        path_column, label_column, split_column: of a table, if they have other names than path,
            label and split.
        size: [height, width] of the sensor, or one number for both; by default what the files
            state, or else the largest coordinates.
        polarities: 2, or 1 for sensors without (all events are on).
        duration: the length of a recording in ms; by default the longest.
        start: "first": times are since the first event of a recording; "zero": as in the file.
        memory_limit: GiB of events that are kept in memory; larger sets are decoded at access,
            and need `duration` (and `size`, where the files do not state it).

    Raises:
        ConfigError: an option out of range, or one that a set decoded at access needs.
        DataError: no class folders, classes that differ between parts, recordings that cannot be
            read, are of another sensor, or have events outside it.
    """
    sensor = height_and_width(size)
    check_duration(duration)
    if polarities not in (1, 2):
        raise ConfigError(f"polarities is {polarities}", why="it is 1 or 2")
    if start not in ("first", "zero"):
        raise ConfigError(f"start is {start!r}", why="choose from first, zero")
    columns = Columns(path_column, label_column, split_column)
    layout = read_layout(path, test_path, suffixes=SUFFIXES, noun="recording", columns=columns)
    splits, spec = load_parts(
        path,
        layout.parts,
        size=sensor,
        duration=duration,
        start=start,
        memory_limit=memory_limit,
        polarities=polarities,
    )
    return Source(
        splits["train"],
        splits.get("test"),
        layout.classes,
        validation=splits.get("validation"),
        spec=spec,
    )
