"""The input of `asnn encode`: a file, stdin, or a data set; images, events or series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...terminal import piped
from .options import key_and_value

if TYPE_CHECKING:
    from torch import Tensor

    from ....coding.samples import Batch, SampleSpec
    from ....datasets import Split

SPLIT = "test"


@dataclass(frozen=True)
class Input:
    """Where samples come from: a file, stdin or a data set.

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

    def samples(self) -> Samples:
        """Return the samples.

        Raises:
            ConfigError: the data set or one of its options is unknown.
            DataError: a file is missing or damaged.
        """
        if self.dataset is None:
            name = "stdin" if self.source == "-" else str(self.source)
            return _from_file(_read(str(self.source)), name)
        from ....datasets import load_dataset

        split = self.split or SPLIT
        paths = {"dir": self.data_dir, "path": self.path}
        options: dict[str, Any] = {key: str(path) for key, path in paths.items() if path}
        options |= {key[1]: value for key, value in map(key_and_value, self.options)}
        data = load_dataset(self.dataset, **options)
        return Samples(
            name=f"{self.dataset}/{split}",
            spec=data.spec,
            split=data.split(split),
            full_scale=data.full_scale,
        )


@dataclass(frozen=True)
class Samples:
    """Images, recordings of events, or series, with targets if there are any.

    Attributes:
        name: of the file or the split.
        spec: what samples they are.
        split: the samples.
        labelled: whether the targets of the split are known.
        full_scale: the uint8 value of 1.0 in images.
        first: the index of the first sample in the split that they are from.
    """

    name: str
    spec: SampleSpec
    split: Split
    labelled: bool = True
    full_scale: float = 255.0
    first: int = 0

    def __len__(self) -> int:
        return len(self.split)

    def select(self, limit: int | None = None, index: int | None = None) -> Samples:
        """Return the first `limit` samples, or the one at `index`, or all.

        Raises:
            ConfigError: there is no sample `index`.
        """
        import torch

        from ....core.errors import ConfigError
        from ....datasets.splits import head, take

        if index is None:
            return replace(self, split=head(self.split, limit))
        if index >= len(self):
            raise ConfigError(
                f"--index is {index}", why=f"{self.name} has the samples 0 to {len(self) - 1}"
            )
        return replace(self, split=take(self.split, torch.tensor([index])), first=index)

    def batches(self, size: int = 1) -> Iterator[tuple[Batch, Tensor | None]]:
        """Yield batches of `size` samples, with targets or None."""
        from ....datasets import Batches

        for x, targets in Batches(self.split, batch_size=size, full_scale=self.full_scale):
            yield x, targets.first if self.labelled else None


def _from_file(content: bytes, name: str) -> Samples:
    import torch

    from ....coding.samples import SampleSpec
    from ....datasets import Split
    from ....formats.events.detect import are_events

    if are_events(name, content):
        from ....datasets.sources.events.single import read_events

        events = read_events(content, name)
        inputs, spec, labels = events.events, events.spec, events.labels
    else:
        from ....datasets.sources.images.single import open_images

        images = open_images(content, name)
        inputs, labels = images.images, images.labels
        spec = SampleSpec("image", tuple(map(int, inputs.shape[1:])))
    targets = torch.zeros(len(inputs), dtype=torch.int64) if labels is None else labels
    split, labelled = Split(inputs, targets), labels is not None
    return Samples(Path(name).name, spec, split, labelled)


def _read(source: str) -> bytes:
    from ....core.errors import DataError

    try:
        return piped.read_input(
            source,
            example="cat cat.png | asnn encode -",
            instead="give a smaller file, or a data set with --dataset",
        )
    except IsADirectoryError as error:
        raise DataError(
            f"{source} is a folder",
            why="one file is encoded: an image, an array or a recording",
            remedy=f"for class folders of images: --dataset folder --path {source}",
        ) from error
