"""N-MNIST: MNIST's digits before a moving event camera."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import torch

from ....core.errors import DataError
from ...base import Source
from ..layout import Part
from ..store import Store, open_store
from .files import load_parts
from .fit import check_duration

SENSOR = (34, 34)
TRAINING = 60_000
"""Images of MNIST for training; recordings are numbered as they are, and those of Test anew."""
DIGITS = [str(digit) for digit in range(10)]


def load_nmnist(
    *, path: str = "data/nmnist", duration: float = 340.0, memory_limit: float = 2.0
) -> Source:
    """Return the 60,000 and 10,000 recordings of N-MNIST, events of a 34x34 sensor.

    The layout is the published one, `Train/<digit>/NNNNN.bin` and `Test/<digit>/NNNNN.bin`, in
    folders or in `Train.zip` and `Test.zip`, which are not unpacked.

    Args:
        path: the folder that holds both parts.
        duration: the length of a recording in ms: three movements of about 105 ms, and what the
            camera needs to stop.
        memory_limit: GiB of events that are kept in memory; larger sets are decoded at access.

    Raises:
        ConfigError: a duration that is not positive.
        DataError: a part or a digit is missing, a recording cannot be read or has events outside
            the sensor.

    Source: Orchard et al., Frontiers in Neuroscience 9:437 (2015).
    """
    check_duration(duration)
    root = Path(path).expanduser()
    parts = {name.lower(): _part(root, name) for name in ("Train", "Test")}
    splits, spec = load_parts(
        path, parts, size=SENSOR, duration=duration, start="zero", memory_limit=memory_limit
    )
    for name, first in (("train", 0), ("test", TRAINING)):
        ids = _ids(parts[name].names, first)
        splits[name] = replace(splits[name], ids=ids)
    return Source(splits["train"], splits["test"], list(DIGITS), spec=spec)


def _ids(names: list[str], first: int) -> torch.Tensor | None:
    """Return the numbers of MNIST's images, from 1, those for testing behind those for training;
    None if files are not called by them."""
    stems = [PurePosixPath(name).stem for name in names]
    if not all(stem.isdecimal() for stem in stems):
        return None
    return torch.tensor([first + int(stem) for stem in stems])


def _part(root: Path, name: str) -> Part:
    found = next((each for each in _places(root, name) if each.exists()), None)
    if found is None:
        raise DataError(
            f"there is no {name} in {root}",
            why=f"data.path names the folder with Train and Test, or {name}.zip and its like",
            remedy="get Train.zip and Test.zip of N-MNIST from its authors (Garrick Orchard), and "
            "put both there; they need not be unpacked",
        )
    store = open_store(str(found), {".bin"})
    names = [(digit, each) for digit in DIGITS for each in _of(store, digit)]
    missing = [digit for digit in DIGITS if digit not in {digit for digit, _ in names}]
    if missing:
        raise DataError(
            f"{found} has no recordings of the digit {missing[0]}",
            why=f"looked for {missing[0]}/<number>.bin",
            remedy="get the whole file again",
        )
    targets = torch.tensor([int(digit) for digit, _ in names], dtype=torch.int64)
    return Part(store, [each for _, each in names], targets)


def _places(root: Path, name: str) -> list[Path]:
    """Return where a part may be, folders before archives."""
    names = (name, name.lower())
    return [root / each for each in names] + [root / f"{each}.zip" for each in names]


def _of(store: Store, digit: str) -> list[str]:
    return sorted(name for name in store.sizes if PurePosixPath(name).parts[-2:-1] == (digit,))
