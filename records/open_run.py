"""A trained run, opened: its recipe, its network and its data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..coding.samples import PLURALS
from ..core.errors import ConfigError, DataError
from ..datasets import DataSet
from ..datasets.sources.none import NO_DATA
from ..learning.device import find_device, require_float64
from ..learning.recipe import Recipe, check_recipe, override, parse_override, read_document
from ..measure.evaluation import Evaluation, evaluate
from ..models.layers.spiking import use_kernels
from ..models.network import SpikingNetwork
from ..models.saved import load_model, load_with_checksum, read_labels
from ..tasks.base import Task
from .edits import describe
from .layout import Run, find_run
from .record import RunRecord, read_record

if TYPE_CHECKING:
    from ..measure.prediction import Prediction


class OpenRun:
    """A run whose recipe, network and data are read when they are first asked for.

    Args:
        files: the folder of the run.
        changes: keys of the section `data` with their values now.

    Attributes:
        files: the paths of the run's files.
    """

    def __init__(self, files: Run, changes: Sequence[tuple[list[str], Any]] = ()) -> None:
        self.files = files
        self._changes = list(changes)

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self.files.path

    @cached_property
    def record(self) -> RunRecord:
        """What the files say, weights apart; a damaged or missing file is no error."""
        return read_record(self.files)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the run was trained with, its data where they are now.

        The device and precision of the training are replaced by `cpu` and `float32`: a run may
        come from a machine with other devices. Edits of `config.toml` since the training that an
        evaluation does not read give a warning.

        Raises:
            ConfigError: the configuration does not describe a recipe of this version.
            DataError: it cannot be read, or was edited since in what an evaluation reads.
        """
        found = read_document(self.files.config)
        self._refuse_edits()
        document, _ = override(found, self._changes)
        document.get("train", {}).update(device="cpu", precision="float32")
        return check_recipe(document, source=str(self.files.config))

    @cached_property
    def model(self) -> SpikingNetwork:
        """The network with its best weights, in evaluation mode, on the CPU.

        It uses the kernels that the recipe names, but falls back where this machine lacks them.

        Raises:
            DataError: the weights cannot be read.
        """
        model = self.load_model()
        use_kernels(model, "reference" if self.recipe.train.kernels == "reference" else "auto")
        return model

    def load_model(self) -> SpikingNetwork:
        """Return a new copy of the network, whatever the recipe says of kernels.

        Raises:
            DataError: the weights cannot be read.
        """
        return load_model(self.files.model)

    def load_with_checksum(self) -> tuple[SpikingNetwork, str]:
        """Return a new copy of the network, and the SHA-256 of the file that it was read from.

        Raises:
            DataError: the weights cannot be read.
        """
        return load_with_checksum(self.files.model)

    def load(self) -> None:
        """Read record, recipe and network now, so that a run with a damaged file is refused here.

        Raises:
            ConfigError: the configuration does not describe a recipe of this version.
            DataError: a file cannot be read.
        """
        _ = self.record, self.recipe, self.model

    @cached_property
    def labels(self) -> list[str]:
        """The names of the classes, as the file of the weights has them."""
        return read_labels(self.files.model)

    @cached_property
    def data(self) -> DataSet:
        """The data of the recipe, with a warning where they have changed since the training.

        Raises:
            DataError: they cannot be read, or have another image shape or other classes than the
                network.
        """
        data = self.recipe.data.load()
        self._warn_if_changed(data)
        self.require_fit(data)
        return data

    @cached_property
    def task(self) -> Task:
        """What the network is asked: the task of the recipe, bound to the data.

        Raises:
            DataError: the targets of the data are not those of the task.
        """
        task = self.recipe.make_task(self.data)
        task.use_readout(self.model.readout)
        return task

    def evaluate(
        self,
        split: str = "test",
        *,
        steps: int | None = None,
        batch_size: int = 256,
        device: str = "auto",
        count: bool = False,
    ) -> Evaluation:
        """Return how the network does on a split of the data.

        Args:
            split: `train`, `validation` or `test`.
            steps: evaluate the first steps only.
            batch_size: samples at a time.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            count: count operations too.

        Raises:
            ConfigError: no such split or device, or more steps than the network has.
            DataError: the weights or the data cannot be read.
        """
        where: torch.device = find_device(device)
        require_float64(where, self.model)
        return evaluate(
            self.model.to(where),
            self.data.split(split),
            task=self.task,
            full_scale=self.data.full_scale,
            steps=steps,
            batch_size=batch_size,
            device=where,
            count=count,
        )

    def predict(self, inputs: Any, **options: Any) -> list[Prediction]:
        """Return the answers to inputs, in order; the data of the training are not read.

        Args:
            inputs: a path of a file or a folder, an array or a tensor, or a list of them. Pictures
                are resized as in the training; arrays are `[N, ...]` of the shape of the samples,
                or one sample: images uint8, or floats in [0, 1].
            options: `steps`: run the first steps only; `top`: how many classes to name; `exit`:
                stop a sample at the first step with that confidence; `energy`: estimate the energy
                by this table, such as `45nm-fp32`; `windows`: answer to each part of a recording
                that is as long as those of the training; `score`: least probability of a box;
                `batch_size`, `device`; `errors`: `raise`, or `keep` predictions with an `error` for
                inputs that cannot be read.

        Raises:
            ConfigError: an option is not possible.
            DataError: an input cannot be read, or does not fit; a file of the run is damaged.

        >>> run = open_run("runs/latest")  # doctest: +SKIP
        >>> run.predict("cat.png")[0].label  # doctest: +SKIP
        """
        return list(self.predict_each(inputs, **options))

    def predict_each(self, inputs: Any, **options: Any) -> Iterator[Prediction]:
        """Yield the answers of `predict` one by one, with one batch in memory."""
        from .predictions import predict

        return predict(self, inputs, **options)

    @property
    def has_no_data(self) -> bool:
        """Whether the network was imported without data; others may be named to evaluate it on."""
        return self.record.setting("data", "name") == NO_DATA

    def require_fit(self, data: DataSet) -> None:
        """Refuse data that the network cannot have been trained for.

        Raises:
            DataError: the kind or shape of the samples, or the classes differ.
        """
        shape = tuple(self.model.config["in_shape"])
        takes = "image" if self.model.sample is None else self.model.sample.kind
        remedy = "use data like those of the training, with --data-dir or --set data.path=..."
        if self.has_no_data:
            remedy = f"import it for these data: asnn import FILE.nir --set data.name={data.name}"
        if data.spec.kind != takes:
            raise DataError(
                f"the samples are {PLURALS[data.spec.kind]}, the network takes {PLURALS[takes]}",
                remedy=remedy,
            )
        if data.in_shape != shape:
            raise DataError(
                f"the {PLURALS[takes]} have the shape {data.in_shape}, the network takes {shape}",
                remedy=remedy,
            )
        if self.has_no_data and len(data.classes) in (0, len(self.labels)):
            return  # what its outputs are called is not known
        if data.classes != self.labels:
            raise DataError(
                "the data have other classes than the network",
                why=f"data: {', '.join(data.classes[:12])}; network: {', '.join(self.labels[:12])}",
                remedy=remedy,
            )

    def _refuse_edits(self) -> None:
        edits = self.record.edits
        if edits.harmful:
            raise DataError(
                f"{self.files.config} was edited after the training",
                why=describe(edits.harmful),
                remedy="set these back: the weights are those of the training. Other data are "
                "named with --set data.KEY=VALUE; anything else is another training",
            )
        if edits:
            warnings.warn(
                f"{self.files.config} was edited after the training: {edits}", stacklevel=2
            )

    def _warn_if_changed(self, data: DataSet) -> None:
        try:
            trained_with = str(self.record.environment["data"]["fingerprint"])
        except (KeyError, TypeError):
            name = self.files.environment.name
            for fault in self.record.faults:
                if fault.startswith(name):
                    warnings.warn(
                        f"{fault}: whether the data are those of the training is not known",
                        stacklevel=2,
                    )
            return
        if trained_with != data.fingerprint:
            warnings.warn(
                "the data are not those of the training: test samples may have been trained on "
                f"(SHA-256 of the data: {data.fingerprint[:12]} now, {trained_with[:12]} in the "
                "training)",
                stacklevel=2,
            )

    def __repr__(self) -> str:
        return f"OpenRun({str(self.path)!r})"


def open_run(
    path: Path | str | Run | None = None,
    *,
    data_dir: Path | str | None = None,
    changes: Sequence[str] = (),
) -> OpenRun:
    """Open a run: `run.recipe`, `run.model`, `run.data`, `run.evaluate(split)`.

    Args:
        path: the folder of a run; None and `runs/latest` are the newest.
        data_dir: where the files of the data set are, if they have moved.
        changes: `data.KEY=VALUE`, other keys of data that have changed, such as
            `data.path=images.zip`.

    Raises:
        DataError: there is no such run. What its files hold is checked when it is first used.
        ConfigError: a change is not of data.

    >>> run = open_run("runs/latest")  # doctest: +SKIP
    >>> run.evaluate("test").accuracy  # doctest: +SKIP
    """
    files = path if isinstance(path, Run) else find_run(path)
    parsed = [parse_override(text) for text in changes]
    if any(key[0] != "data" for key, _ in parsed):
        raise ConfigError(
            "--set takes keys of data only", why="the rest of a run is as it was trained"
        )
    if data_dir is not None:
        parsed.append((["data", "dir"], str(data_dir)))
    return OpenRun(files, parsed)


def refuse_limit(changes: Sequence[str]) -> None:
    """Refuse `data.limit` where no training samples are read, because it would change nothing.

    Raises:
        ConfigError: it is among the changes.
    """
    if any(parse_override(text)[0] == ["data", "limit"] for text in changes):
        raise ConfigError(
            "--set data.limit has no effect here",
            why="it is the number of training samples; validation and test data are never limited",
            remedy="leave it out, or evaluate the training samples with --split train",
        )
