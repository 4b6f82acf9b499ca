"""Two files compared with each other, `.nir` or `.onnx`, whoever wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...core.errors import ConfigError
from ...formats.nir import read_nir
from ...records.import_defaults import stated_steps as steps_of_nir
from ...records.import_nir import import_nir
from ..graph.ir import Array, Graph, Shape
from ..paths import is_nir
from ..source import ExportSource, Samples, source_of
from ..verification.compare import Report
from .check import FileCheck, check_other, refuse_options
from .onnx import OtherOnnx, fixed_steps, reads_one_frame, stated_steps
from .outputs import compare_outputs, outputs_graph

BATCH = 4  # samples of a trial


@dataclass(frozen=True)
class NamedFile:
    """A file with what it does not say.

    Attributes:
        path: of the file.
        dt: length of a step of a NIR file in seconds; None for what it says.
        semantics: how a NIR file is computed; None for what its metadata name, or `nir`.
    """

    path: Path
    dt: float | None = None
    semantics: str | None = None


class FilePair:
    """Two files that are given the same input.

    One of them is the reference: the one that is compared against, unless only the other has more
    to compare. A NIR file has spikes of layers, with their distances to the threshold; an ONNX file
    has outputs alone.

    Args:
        file: to compare.
        against: what it is compared with.
        steps: T; None for what a file states.
        in_shape: of one frame, of two ONNX files whose inputs do not say it.

    Attributes:
        graph: of the reference; None if it is an ONNX file.
        steps: T.
        notes: what the files do not say.

    Raises:
        ConfigError: it is the same file, or the number of steps or the length of one is missing.
        DataError: a file is damaged or hostile.
    """

    def __init__(
        self,
        file: NamedFile,
        against: NamedFile,
        *,
        steps: int | None = None,
        in_shape: Shape | None = None,
    ) -> None:
        if file.path.samefile(against.path):
            raise ConfigError(
                f"{file.path} is compared with itself",
                why=f"{against.path} is the same file",
                remedy="name two files",
            )
        for each in (file, against):
            if not is_nir(each.path):
                refuse_options(each.path, each.semantics, each.dt)
        files = (against, file)
        self.steps = _steps_of(files, steps)
        self.notes: list[str] = []
        self._source_of, self._swapped = self._network_of(files)
        self._against, self._file = files[::-1] if self._swapped else files
        self._frame = in_shape if self._source_of is None else self._source_of.graph.in_shape
        self._one = any(
            not is_nir(each.path) and reads_one_frame(each.path, self._frame, self.steps)
            for each in files
        )
        self.graph: Graph | None = None
        self._reference: OtherOnnx | None = None
        if self._source_of is None:
            path = self._against.path
            self._reference = OtherOnnx(path, self._frame, steps=self.steps, static=self._one)
            self._frame = self._reference.in_shape
            self.notes += [f"{path}: {note}" for note in self._reference.notes]
        elif self._source_of.refusal is None:
            self.graph = self._source_of.graph

    def _network_of(self, files: Sequence[NamedFile]) -> tuple[ExportSource | None, bool]:
        """Return the network of the first NIR file that has an export graph, else of the first one,
        and whether that is the second of the files; None if they are ONNX files."""
        found: list[tuple[ExportSource, bool, list[str]]] = []
        for file in files:
            if not is_nir(file.path):
                continue
            options = {"dt": file.dt, "semantics": file.semantics}
            imported = import_nir(file.path, steps=self.steps, **options)
            source = source_of(imported.model)
            notes = [f"{file.path}: {note}" for note in imported.notes]
            found.append((source, file is files[1], notes))
            if source.refusal is None:
                break
        if not found:
            return None, False
        source, is_second, self.notes = min(found, key=lambda each: each[0].refusal is not None)
        return source, is_second

    @property
    def sample_shape(self) -> Shape:
        """The shape of a sample: of one frame where a file takes one for all steps."""
        assert self._frame is not None
        return self._frame if self._one else (self.steps, *self._frame)

    def compare(self, samples: Samples) -> Report:
        """Compare what both files compute of samples of `sample_shape`.

        Raises:
            DataError: their inputs or outputs do not match.
        """
        if self._one:
            frames = np.repeat(samples.images[:, None], self.steps, axis=1)
            samples = replace(samples, images=frames)
        path, name = self._file.path, str(self._against.path)
        if self._source_of is not None:
            report = check_other(
                self._source_of,
                path,
                samples,
                dt=self._file.dt,
                semantics=self._file.semantics,
                static=self._one,
                name=name,
            )
        else:
            report = self._compare_onnx(samples)
        notes = [*self.notes, *report.notes]
        if self._swapped:
            notes.append(f"{name} is the network of the comparison, {path} the file")
        return replace(report, notes=notes)

    def _compare_onnx(self, samples: Samples) -> Report:
        """Compare the outputs of two ONNX files."""
        path, reference = self._file.path, self._reference
        assert reference is not None
        code = samples.images[:BATCH].swapaxes(0, 1)
        trial = reference.run(code)
        values = trial.answer if trial.steps is None else trial.steps
        assert values is not None
        file = OtherOnnx(
            path,
            self._frame,
            steps=self.steps,
            classes=values.shape[-1],
            static=self._one,
            code=code,
            name=str(self._against.path),
        )
        if trial.steps is None and file.run(code).steps is not None:
            reference, file = file, reference
        graph = outputs_graph(values.shape[-1], len(_outputs(reference, code)))
        check = FileCheck(file, path, graph, None, spikes=None, name=str(self._against.path))
        report = compare_outputs(check, partial(_outputs, reference), _by_step, samples)
        return replace(report, notes=check.notes)


def _outputs(file: OtherOnnx, code: Array) -> Array:
    """Return the outputs of the steps `[T, B, K]`, or the answer as one step."""
    found = file.run(code)
    if found.steps is not None:
        return found.steps
    assert found.answer is not None
    return found.answer[None]


def _by_step(samples: Array, first: int) -> Array:
    return samples.swapaxes(0, 1)


def _steps_of(files: Sequence[NamedFile], given: int | None) -> int:
    """Return T: what is given, or what a file states.

    Raises:
        ConfigError: nothing states it, or a file another number.
    """
    onnx = [each.path for each in files if not is_nir(each.path)]
    stated = {path: stated_steps(path) for path in onnx}
    if given is not None:  # a NIR file makes as many steps as it is given
        stated[Path("--steps")] = given
    else:
        for each in files:
            if is_nir(each.path):
                stated[each.path] = steps_of_nir(read_nir(each.path))
        if not any(stated.values()):
            stated = {path: fixed_steps(path) for path in onnx}
    numbers = {number for number in stated.values() if number is not None}
    if len(numbers) > 1:
        raise ConfigError(
            "the numbers of time steps differ",
            why=" and ".join(f"{path}: {number}" for path, number in stated.items() if number),
            remedy="give --steps T that both take: an .onnx file of asnn those that it states, "
            "a .nir file any",
        )
    if not numbers:
        raise ConfigError(
            "the number of time steps is not known",
            why="neither file states it",
            remedy="give --steps T",
        )
    return numbers.pop()
