"""What an exported file says of its network: samples, code, classes, answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...coding.base import Coding
from ...coding.factory import create_coding
from ...coding.samples import SampleSpec
from ...core.errors import AsnnError, DataError
from ...core.text import shell
from ...measure.prediction.answers import answers_of
from ...models import create_model
from ...models.network import SpikingNetwork
from ...models.readouts import Readout, create_readout
from ...tasks import Task, create_task
from ..graph.answer import Answer
from ..graph.noise import NoiseInput

UNROLLED = ("pure", "portable")


@dataclass(frozen=True)
class Description:
    """The metadata of a file that asnn wrote.

    Attributes:
        path: of the file.
        about: the metadata, text by key.
        form: of the file.
        steps: number of time steps T.
    """

    path: Path
    about: Mapping[str, str]
    form: str
    steps: int

    @staticmethod
    def of(path: Path, about: Mapping[str, str]) -> Description:
        """Return the description of a file.

        Raises:
            DataError: it is not a file of asnn.
        """
        try:
            return Description(path, about, about["form"], int(about["steps"]))
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{path} does not say how it is run",
                why="its metadata are not those of an export of asnn",
                remedy=f"make a run of it: asnn import {shell(path)}"
                if path.suffix == ".nir"
                else "give a file that `asnn export` has written, or the run",
            ) from error

    @property
    def steps_per_output(self) -> int:
        """How many steps an output takes: the length of the windows of an accumulator, else 1."""
        windows = self._json("windows", self.steps)
        if type(windows) is not int or windows < 1 or self.steps % windows:
            raise self._damaged("windows", "a number of windows divides the steps")
        return self.steps // windows

    def sample(self, step_shape: tuple[int, ...], *, is_step: bool = False) -> SampleSpec:
        """Return the samples that the network takes.

        Args:
            step_shape: of one step of the code, as the inputs of the file have it.
            is_step: whether the file takes all steps; without a code they are the sample.

        Raises:
            DataError: the metadata describe none.
        """
        document = self._network.get("sample")
        try:
            if document is None and is_step and "coding" not in self._network:
                return SampleSpec("series", step_shape, steps=self.steps)
            if document is None:
                return SampleSpec("image", step_shape)
            return SampleSpec.from_document(document)
        except (TypeError, ValueError, KeyError) as error:
            raise self._damaged("sample", str(error)) from error

    def coding(self, spec: SampleSpec) -> Coding:
        """Return the code of the samples, for files that take encoded steps.

        Raises:
            DataError: the metadata do not describe it.
        """
        network = self._network
        if spec.kind == "series":
            network = {"coding": "given", "coding_options": {}, **network}
        try:
            name, options = network["coding"], network["coding_options"]
            found = create_coding(name, steps=self.steps, **options)
            found.bind(spec)
            return found
        except (KeyError, TypeError, AsnnError) as error:
            raise DataError(
                f"{self.path} takes encoded steps, and does not say how samples are encoded",
                why=str(error) if isinstance(error, AsnnError) else "its metadata name no code",
                remedy="give the run, or an ONNX file with --input image",
            ) from error

    @property
    def task(self) -> Task:
        """What the network is asked: one class where the file names no task."""
        task = self._json("task", None)
        if task is None:
            no_classes = self._json("classes", None) == []
            return create_task("regression" if no_classes else "classification")
        try:
            found = create_task(**task)
            answers = answers_of(found)
        except (TypeError, AsnnError) as error:
            raise self._damaged("task", str(error)) from error
        if self.form in UNROLLED and answers.per_step:
            raise DataError(
                f"{self.path} gives one answer, the network answers with the {answers.kind}",
                why=f"the form {self.form} adds up the outputs of all steps",
                remedy="give the run, or an ONNX file",
            )
        return found

    def labels(self, count: int) -> list[str]:
        """Return the names of the classes; their numbers where the file names none.

        Raises:
            DataError: they are not as many as the network has outputs.
        """
        found = self._json("classes", None) or [str(number) for number in range(count)]
        if not isinstance(found, list) or len(found) != count:
            raise self._damaged("classes", f"the network has {count} outputs")
        return [str(name) for name in found]

    @property
    def has_labels(self) -> bool:
        """Whether the file names its classes."""
        return bool(self._json("classes", None))

    @property
    def answers_once(self) -> bool:
        """Whether the output of the file is the answer, not the outputs of all steps."""
        return self.form in UNROLLED and not self._answer.chooses_step

    @property
    def readout(self) -> Readout:
        """What turns the outputs of the steps into the answer.

        If an unrolled file has done it, its one output stands for those of all steps.

        Raises:
            DataError: the metadata describe none.
        """
        answer = Answer("last") if self.answers_once else self._answer
        try:
            with torch.device("meta"):  # only its answers are asked for
                found = create_readout(
                    answer.kind, 1, 1, steps=self.steps, scaled=False, **answer.options()
                )
        except AsnnError as error:
            raise self._damaged("answer", str(error)) from error
        if answer.draws:
            found.stream = answer.stream  # type: ignore[assignment]
        return found

    def network(self, spec: SampleSpec) -> SpikingNetwork:
        """Return the network that the metadata describe, without values.

        Raises:
            DataError: they describe none.
        """
        try:
            with torch.device("meta"):
                return create_model(**self._network, in_shape=spec.shape)
        except (TypeError, RuntimeError, AsnnError) as error:
            raise self._damaged("network", str(error)) from error

    @property
    def _answer(self) -> Answer:
        try:
            return Answer.of_file(self.about)
        except (KeyError, ValueError) as error:
            raise self._damaged("answer", str(error)) from error

    def noise(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NoiseInput]:
        """Return the uniform numbers that the file takes, by the name of the input.

        Args:
            shapes: of one sample at one step, of the inputs.

        Raises:
            DataError: the metadata do not say how asnn draws them.
        """
        streams = self._json("noise_streams", {})
        if not isinstance(streams, dict) or {*streams} != {*shapes}:
            raise self._damaged("noise_streams", "they do not name the inputs of random numbers")
        if not all(type(stream) is int and 0 <= stream < 2**15 for stream in streams.values()):
            raise self._damaged("noise_streams", "a stream is a number from 0 to 32767")
        return {name: NoiseInput(shape, streams[name]) for name, shape in shapes.items()}

    @property
    def _network(self) -> dict[str, Any]:
        found = self._json("network", {})
        if not isinstance(found, dict):
            raise self._damaged("network", "they are no table")
        return found

    def _json(self, key: str, default: Any) -> Any:
        if key not in self.about:
            return default
        try:
            return json.loads(self.about[key])
        except (ValueError, RecursionError) as error:
            raise self._damaged(key, str(error)) from error

    def _damaged(self, key: str, why: str) -> DataError:
        return DataError(
            f"the metadata of {self.path} are damaged: {key}",
            why=why,
            remedy="export the run again, or give the run",
        )
