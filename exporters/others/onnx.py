"""An ONNX file of any writer in onnxruntime; inputs and outputs are matched by their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ...core.errors import DataError
from ...formats.errors import sanitize
from ...formats.onnx import graphs, read_onnx
from ..graph.ir import Array, Shape
from ..onnx.runtime import CPU, OnnxSession
from .file import Outputs, is_binary, not_comparable, shown
from .layout import AXES, Layout, arranged, as_steps, layouts_of

STANDARD = ("", "ai.onnx")
TRIED = 3  # samples of a trial
FLOATS: dict[int, Any] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.FLOAT16: np.float16,
}


class OtherOnnx:
    """An ONNX file, see `OtherFile`.

    Args:
        path: the file.
        in_shape: of one frame of the network; None for that of the file.
        steps: T.
        classes: K; None if unknown.
        static: whether all steps are the same, so that a file that takes one image can be given it.
        spikes: whether the output to compare are spikes; None if either.
        code: a code to try the file with, `[T, B, ...]`; None for noise.
        name: of the network, in messages.

    Raises:
        DataError: the file is damaged or hostile, has operators that are not of ONNX, or has no
            input or output of these shapes.
    """

    runtime = "onnxruntime"

    def __init__(
        self,
        path: Path,
        in_shape: Shape | None = None,
        *,
        steps: int,
        classes: int | None = None,
        static: bool = True,
        spikes: bool | None = None,
        code: Array | None = None,
        name: str = "the network",
    ) -> None:
        import onnxruntime

        model = read_onnx(path)
        _require_standard(path, model)
        self._path, self._other = path, name
        self._session = OnnxSession(model.SerializeToString(), CPU)
        self.about: dict[str, Any] = {"version": onnxruntime.__version__, "provider": CPU}
        self.notes: list[str] = []
        self.layers: dict[str, int] = {}
        self.ends_with_spikes: bool | None = None
        value = _only_input(path, model)
        self._name, self._dims = value.name, _dims(value)
        self._dtype = FLOATS[value.type.tensor_type.elem_type]
        self.in_shape = in_shape or _frame_of(path, self._dims)
        self._layout: Layout = self._layout_of_input(steps, static)
        self._batch = self._dims[self._layout.index("N")]
        if code is None:
            drawn = np.random.default_rng(0).random((steps, TRIED, *self.in_shape), np.float32)
            code = np.broadcast_to(drawn[:1], drawn.shape) if static else drawn
        self._output_layout: Layout
        self._output, self._output_layout = self._choose_output(code, classes, spikes)

    def run(self, code: Array) -> Outputs:
        size = self._batch or code.shape[1]
        parts = []
        for begin in range(0, code.shape[1], size):
            values = self._values(_filled(code[:, begin : begin + size], size))[self._output]
            parts.append(as_steps(values.astype(np.float32), self._output_layout))
        axis = 0 if self._output_layout == "N" else 1
        found = np.concatenate(parts, axis).take(range(code.shape[1]), axis)
        return Outputs({}, found, None) if axis else Outputs({}, None, found)

    def _values(self, code: Array) -> dict[str, Array]:
        x = arranged(code, self._layout, self._dims[len(self._layout) :])
        return self._session.run({self._name: x.astype(self._dtype)})

    def _layout_of_input(self, steps: int, static: bool) -> Layout:
        found = layouts_of(self._dims, self.in_shape, steps=steps)
        if not static and "N" in found:
            found.remove("N")
        if not found:
            wanted = [AXES[each].replace("...", _inner(self.in_shape)) for each in AXES]
            raise not_comparable(
                self._path,
                f"its input {sanitize(self._name, 40)} is {shown(_signs(self._dims))}; "
                f"{self._other} takes {' or '.join(wanted[0 if static else 1 :])}, T = {steps}",
            )
        if {"TN", "NT"} <= {*found}:
            self.notes.append(f"its input may have the steps first or second: {AXES['TN']} is run")
        return found[0]

    def _choose_output(
        self, code: Array, classes: int | None, spikes: bool | None
    ) -> tuple[str, Layout]:
        """Return the name and the layout of the output to compare, found by a trial."""
        steps = len(code)
        batch = self._batch or (TRIED if steps != TRIED else TRIED + 1)
        values = self._values(_filled(code[:, :batch], batch))
        fits: list[tuple[str, Layout]] = []
        for name, value in values.items():
            if value.dtype.kind not in "fb":
                continue
            shape = value.shape[-1:] if classes is None else (classes,)
            layouts = layouts_of(value.shape, shape, steps=steps, batch=batch)
            # Outputs of steps say more than an answer; the axes are probably those of the input.
            layouts.sort(key=lambda layout: (layout == "N", layout != self._layout))
            if layouts:
                fits.append((name, layouts[0]))
        if spikes:
            fits = [fit for fit in fits if fit[1] == "N" or is_binary(values[fit[0]])]
        fits.sort(key=lambda fit: fit[1] == "N")
        if not fits:
            named = [f"{sanitize(k, 40)} {shown(v.shape)}" for k, v in values.items()]
            what, k = "spikes" if spikes else "values", classes or "K"
            raise not_comparable(
                self._path,
                f"given {batch} samples, its outputs are {', '.join(named)}; {self._other} "
                f"gives {what} [T, N, {k}] or an answer [N, {k}], T = {steps}",
            )
        chosen, layout = fits[0]
        others = [sanitize(name, 40) for name in values if name != chosen]
        if others:
            self.notes.append(
                f"its output {sanitize(chosen, 40)} is compared, not {', '.join(others)}"
            )
        return chosen, layout


def reads_one_frame(path: Path, in_shape: Shape | None, steps: int) -> bool:
    """Return whether a file takes one frame for all steps, `[N, ...]`.

    Raises:
        DataError: the file is damaged or hostile, or has no input of floats, or several inputs.
    """
    dims = _dims(_only_input(path, read_onnx(path)))
    return layouts_of(dims, in_shape or _frame_of(path, dims), steps=steps)[:1] == ["N"]


def stated_steps(path: Path) -> int | None:
    """Return T as the metadata of an export of asnn state it; None of other files.

    Raises:
        DataError: the file is damaged or hostile.
    """
    stated = [each.value for each in read_onnx(path).metadata_props if each.key == "steps"]
    return int(stated[0]) if stated and stated[0].isdecimal() and int(stated[0]) else None


def fixed_steps(path: Path) -> int | None:
    """Return the only size that the first two axes of an input `[T, N, ...]` or `[N, T, ...]` have;
    None if they have none or two, or the input is that of one frame.

    Raises:
        DataError: as `reads_one_frame`.
    """
    dims = _dims(_only_input(path, read_onnx(path)))
    fixed = {size for size in dims[:2] if size is not None} if len(dims) in (3, 5) else set()
    return fixed.pop() if len(fixed) == 1 else None


def _filled(code: Array, size: int) -> Array:
    """Return a code of `size` samples: its own, and its first one again."""
    missing = max(0, size - code.shape[1])
    return np.concatenate([code, np.repeat(code[:, :1], missing, 1)], 1)


def _require_standard(path: Path, model: onnx.ModelProto) -> None:
    own = {function.domain for function in model.functions}
    nodes = [node for graph in graphs(model) for node in graph.node]
    nodes += [node for function in model.functions for node in function.node]
    found = {node.domain for node in nodes} - {*STANDARD, *own}
    if found:
        names = ", ".join(repr(sanitize(each, 40)) for each in sorted(found))
        raise DataError(
            f"{path} has operators of {names}",
            why="only operators of ONNX itself are run",
            remedy="write it with operators of ONNX, or run it where those are installed",
        )


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    """Return the sizes of the axes; None for one that is free."""
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value if axis.dim_value > 0 else None for axis in axes]


def _signs(dims: list[int | None]) -> list[Any]:
    return ["?" if size is None else size for size in dims]


def _inner(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def _frame_of(path: Path, dims: list[int | None]) -> Shape:
    """Return the shape of one frame by the number of axes: `[N, F]`, `[T, N, F]`,
    `[N, C, H, W]` or `[T, N, C, H, W]`."""
    lead = {2: 1, 3: 2, 4: 1, 5: 2}.get(len(dims))
    sizes = [] if lead is None else [size for size in dims[lead:] if size is not None]
    if lead is None or len(sizes) != len(dims) - lead:
        raise not_comparable(
            path, f"its input is {shown(_signs(dims))}", "give --in-shape, the shape of one frame"
        )
    return tuple(sizes)


def _only_input(path: Path, model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constant = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in constant]
    names = ", ".join(f"{sanitize(v.name, 40)} {shown(_signs(_dims(v)))}" for v in values)
    if len(values) != 1:
        raise not_comparable(
            path,
            f"it has {len(values)} inputs: {names}",
            "give a file of all steps with one input: states are not carried from call to call",
        )
    if values[0].type.tensor_type.elem_type not in FLOATS:
        raise not_comparable(path, f"its input {names} does not hold floats")
    return values[0]
