"""The input of `asnn encode`: a file, stdin, or a data set."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .options import key_and_value

BATCH_SIZE = 512
SPLIT = "test"


@dataclass(frozen=True)
class Input:
    """Where images come from: a file, stdin or a data set.

    Attributes:
        source: a file, or `-` for stdin; None with a data set.
        dataset: name of a data set; None with a file.
        split, data_dir, path, options: of the data set; options as `data.KEY=VALUE`.

    Raises:
        ConfigError: there is no source, or more than one, or an option of data sets with a file.
    """

    source: str | None
    dataset: str | None
    split: str | None = None
    data_dir: Path | None = None
    path: Path | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from ....core.errors import ConfigError

        if self.source is not None and (self.split or self.data_dir or self.path or self.options):
            raise ConfigError("--split, --data-dir, --path and data.* go with --dataset only")
        if (self.source is None) == (self.dataset is None):
            raise ConfigError(
                "give either a file, - for stdin, or --dataset",
                remedy="for example: asnn encode cat.png, or asnn encode --dataset digits",
            )

    @property
    def stem(self) -> str:
        """The beginning of the names of output files."""
        if self.dataset is not None:
            return f"{self.dataset}-{self.split or SPLIT}"
        return "stdin" if self.source == "-" else Path(str(self.source)).stem

    def batches(self, limit: int | None = None) -> tuple[Any, str]:
        """Return batches of images `[B, C, H, W]` in [0, 1] with labels or None, and their name.

        Args:
            limit: only so many images.

        Raises:
            ConfigError: the data set or one of its options is unknown.
            DataError: a file is missing or damaged.
        """
        if self.dataset is None:
            from ....datasets.sources.images.single import read_images

            name = "stdin" if self.source == "-" else str(self.source)
            found = read_images(_read(str(self.source)), name)
            labels = found.labels[:limit] if found.labels is not None else None
            return [(found.images[:limit], labels)], Path(name).name
        from ....datasets import Batches, load_dataset
        from ....datasets.splits import head

        split = self.split or SPLIT
        paths = {"dir": self.data_dir, "path": self.path}
        options: dict[str, Any] = {key: str(path) for key, path in paths.items() if path}
        options |= {key[1]: value for key, value in map(key_and_value, self.options)}
        data = load_dataset(self.dataset, **options)
        chosen = head(data.split(split), limit)
        batches = Batches(chosen, batch_size=BATCH_SIZE, full_scale=data.full_scale)
        return ((x, targets.first) for x, targets in batches), f"{self.dataset}/{split}"


def _read(source: str) -> bytes:
    from ....core.errors import DataError

    if source == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise DataError("stdin is closed", remedy="pipe an image in, or name a file")
        if sys.stdin.isatty():
            raise DataError(
                "stdin is a terminal", remedy="pipe an image in: cat cat.png | asnn encode -"
            )
        try:
            return sys.stdin.buffer.read()
        except OSError as error:
            raise DataError("stdin cannot be read", why=str(error)) from error
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {source}", why=error.strerror or str(error)) from error
