"""The input of `asnn encode`: a file, a folder, a run, stdin, or a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....core.text import shell
from ...terminal import piped
from .options import key_and_value

if TYPE_CHECKING:
    from torch import Tensor

    from ....coding.samples import Batch, SampleSpec
    from ....datasets import DataSet, Split
    from ....learning.recipe.schema import CodingSection
    from ....records.open_run import OpenRun

SPLIT = "test"
MANY = (".zip", ".csv", ".tsv", ".parquet")
"""Files that stand for many samples, as a folder does."""


@dataclass(frozen=True)
class Input:
    """Where samples come from.

    Attributes:
        source: a file, a folder of samples, a run, or `-` for stdin; None with a data set.
        dataset: name of a data set; None without one.
        split, data_dir, path, options: of the data set; options as `data.KEY=VALUE`.

    Raises:
        ConfigError: there is no source, or more than one, or an option that it does not take.
    """

    source: str | None
    dataset: str | None
    split: str | None = None
    data_dir: Path | None = None
    path: Path | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from ....core.errors import ConfigError

        if self.source is not None and self.path:
            raise ConfigError("--path goes with --dataset only", remedy="name one of them")
        if self._is_one_file and (self.split or self.data_dir or self.options):
            raise ConfigError(
                "--split, --data-dir and data.* go with --dataset, a folder or a run only"
            )
        if (self.source is None) == (self.dataset is None):
            raise ConfigError(
                "give either a file, a folder, a run, - for stdin, or --dataset",
                remedy="for example: asnn encode cat.png, or asnn encode --dataset digits",
            )

    @property
    def stem(self) -> str:
        """The beginning of the names of output files."""
        if self.dataset is not None:
            return f"{self.dataset}-{self.split or SPLIT}"
        return "stdin" if self.source == "-" else Path(str(self.source)).resolve().stem

    @property
    def coding(self) -> CodingSection | None:
        """The code of a run; None of other sources."""
        return None if self._run is None else self._run.recipe.coding

    @property
    def _is_one_file(self) -> bool:
        if self.source is None:
            return False
        return not Path(self.source).is_dir() and Path(self.source).suffix.lower() not in MANY

    @cached_property
    def _run(self) -> OpenRun | None:
        from ....records.layout import Run
        from ....records.open_run import open_run

        if self.source in (None, "-"):
            return None
        run = Run(Path(str(self.source)))
        if not run.config.is_file() or run.is_foreign:
            return None
        return open_run(run, data_dir=self.data_dir, changes=self.options)

    def samples(self) -> Samples:
        """Return the samples.

        Raises:
            ConfigError: the data set or one of its options is unknown.
            DataError: a file is missing or damaged.
        """
        if self._run is not None:
            return self._of_data_set(self._run.path.name, self._run.data)
        if self._is_one_file:
            name = "stdin" if self.source == "-" else str(self.source)
            return _from_file(_read(str(self.source)), name)
        options = {key[1]: value for key, value in map(key_and_value, self.options)}
        if self.dataset is None:
            return self._of_folder(str(self.source), options)
        from ....datasets import load_dataset

        paths = {"dir": self.data_dir, "path": self.path}
        given = {key: str(path) for key, path in paths.items() if path}
        return self._of_data_set(self.dataset, load_dataset(self.dataset, **given, **options))

    def _of_data_set(self, name: str, data: DataSet) -> Samples:
        split = self.split or SPLIT
        return Samples(
            name=f"{name}/{split}",
            spec=data.spec,
            split=data.split(split),
            full_scale=data.full_scale,
        )

    def _of_folder(self, path: str, options: dict[str, Any]) -> Samples:
        """Return the samples of a folder: all of them, unless it has parts or a split is named."""
        import torch

        from ....core.registry import check_options, keyword_options
        from ....datasets import Split, load_dataset
        from ....datasets.detect import detect
        from ....datasets.load import dataset_registry, load_source, spec_of
        from ....datasets.sources.images.folder import unlabelled_images

        name = Path(path).resolve().name
        if self.split is None and Path(path).suffix.lower() not in MANY[1:]:
            wanted = {key: options[key] for key in ("size", "colour") if key in options}
            images = unlabelled_images(path, **wanted)
            if images is not None:
                from ....coding.samples import SampleSpec

                check_options("the images in", path, unlabelled_images, options)
                spec = SampleSpec("image", images.shape[1:])
                none = torch.zeros(len(images), dtype=torch.int64)
                scale = 1.0 if images.decoder.deep else 255.0
                return Samples(name, spec, Split(images, none), labelled=False, full_scale=scale)
        found = detect(path, options)
        options = found.options | options
        known = keyword_options(dataset_registry.get(found.name))
        source = None
        if self.split is None and options.keys() <= known.keys():
            source = load_source(found.name, **options)
        if source is None or source.test is not None:
            return self._of_data_set(name, load_dataset(found.name, **options))
        return Samples(name, spec_of(source), source.train, full_scale=source.full_scale)


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
    from ....datasets.load import dataset_registry

    try:
        return piped.read_input(
            source,
            example="cat cat.png | asnn encode -",
            instead="give a smaller file, or a data set with --dataset",
        )
    except DataError as error:
        if source in dataset_registry.names() and not Path(source).exists():
            raise DataError(
                f"there is no file {source}",
                why="a data set has this name",
                remedy=f"asnn encode --dataset {shell(source)}",
            ) from error
        raise
