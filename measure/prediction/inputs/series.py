"""Arrays and audio as series of the length and features of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....core.registry import keyword_options
from ....datasets.sources.series.log_mel import LogMel
from ....datasets.sources.series.wav_folder import frames, load_wav_folder
from . import arrays
from .sample import Sample, Source, Unreadable

Frames = Callable[[bytes, str], np.ndarray]
"""The content of a WAV file and its name, to features `[T, F]`."""


def frames_of(options: Mapping[str, Any]) -> Frames:
    """Return what makes features of WAV files, by the options of the data set `wav-folder`."""
    known = {key: each.default for key, each in keyword_options(load_wav_folder).items()}
    o = {**known, **options}
    features = LogMel(o["rate"], o["bands"], o["window"], o["hop"])
    return partial(frames, features=features, steps=o["steps"], fit=o["fit"], level=o["level"])


@dataclass(frozen=True)
class SeriesReader:
    """Reads series `[T, F]` or `[T, C, H, W]`, and WAV files if the network learned from them.

    Args:
        spec: the series that the network takes.
        labels: names of the classes.
        audio: makes features of WAV files; None if it is not known how.
    """

    spec: SampleSpec
    labels: list[str]
    audio: Frames | None = None

    noun = "series"
    in_threads = False

    @property
    def suffixes(self) -> frozenset[str]:
        """Of the files in folders."""
        return frozenset((*arrays.SUFFIXES, *((".wav",) if self.audio else ())))

    def open(self, source: Source) -> Iterable[Sample | Unreadable]:
        """Return the series of a file.

        Raises:
            DataError: it is none, damaged, or does not fit.
        """
        if arrays.is_file_of_array(source):
            return self._of_file(arrays.open_arrays(source), source.name)
        content = source.load()
        if arrays.is_array(content):
            return self._of_file(arrays.open_arrays(source, content), source.name)
        if self.audio is None:
            is_audio = content.startswith(b"RIFF")
            raise DataError(
                f"{source.name} is no array",
                why="the network takes series"
                + ("; how audio becomes one is not known here" if is_audio else ""),
                remedy="give .npy or .npz files"
                + (", or the run of a network that was trained on WAV files" if is_audio else ""),
            )
        found = torch.from_numpy(self.audio(content, source.name))
        return [Sample(source.name, found, source.expected(self.labels))]

    def _of_file(self, found: list[arrays.Labelled], name: str) -> Iterable[Sample | Unreadable]:
        # A list: each array is checked before the first sample is read.
        return chain.from_iterable([self.samples(each, name) for each in found])

    def samples(self, found: arrays.Labelled, name: str) -> Iterable[Sample | Unreadable]:
        """Return the series of an array."""
        return arrays.samples_of(found, name, self.spec, self.labels, self._values)

    def _values(self, values: np.ndarray, name: str) -> Tensor:
        if values.dtype.kind not in "buif":
            raise DataError(
                f"{name} is of type {values.dtype}",
                why="series are whole numbers or floats",
                remedy="convert it, e.g. to float32",
            )
        with np.errstate(over="ignore"):
            found = np.array(values, np.float32)  # a copy, which torch may own
        if not np.isfinite(found).all():
            raise DataError(
                f"{name} holds values that are not finite in float32",
                remedy="clean the array first",
            )
        if self.spec.binary and not ((found == 0) | (found == 1)).all():
            raise DataError(
                f"{name} holds other values than 0 and 1",
                why="the network was trained on spikes",
                remedy="give spikes, made as those of the training",
            )
        return torch.from_numpy(found)
