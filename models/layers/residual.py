"""The block of residual networks: two paths that meet again."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ...core.registry import unknown
from ...kernels.dispatch import Kernels, needs_aten
from ...kernels.residual import fork
from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from ..stepwise import Step, stepper
from .fusing import is_watched, normed_sum
from .norm import TimeNorm
from .time import is_static

Join = Literal["add", "and", "iand"]


class Residual(Layer):
    """y = join(main(x), shortcut(x)), time-major: `[T, B, ...] -> [T, B, ...]`.

    With a from the main path and b from the shortcut:

        add     a + b
        and     a b             of spikes: both fire
        iand    (1 - a) b       of spikes: the shortcut fires and the main path does not

    Args:
        main: layers of the main path.
        shortcut: layers of the shortcut; without layers it is the identity.
        join: how they meet.

    Attributes:
        kernels: `reference` is always plain torch; see `asnn.models.use_kernels`.

    Raises:
        ConfigError: `join` is unknown.

    Source: the element-wise functions of SEW-ResNet, Fang et al., NeurIPS 2021.
    """

    kernels: Kernels = "auto"

    def __init__(
        self, main: nn.Sequential, shortcut: nn.Sequential | None = None, join: Join = "add"
    ) -> None:
        super().__init__()
        if join not in ("add", "and", "iand"):
            raise unknown("join", join, ["add", "and", "iand"])
        self.main = main
        self.shortcut = nn.Sequential() if shortcut is None else shortcut
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        if self._ends_in_normed_sum():
            a, b = (x, x) if is_static(x) else fork(x)
            b = self.shortcut(b)
            for layer in [*self.main][:-1]:
                a = layer(a)
            return normed_sum(a, self.main[-1], b)
        return self._joined(self.main(x), self.shortcut(x))

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        if self.join == "add":
            return a + b
        return a * b if self.join == "and" else (1 - a) * b

    def stepper(self) -> Step:
        main, shortcut = stepper(self.main), stepper(self.shortcut)
        return lambda x: self._joined(main(x), shortcut(x))

    def lower(self, graph: Lowering, name: str) -> None:
        begin = graph.at
        paths = (("main", self.main), ("shortcut", self.shortcut))
        ends = tuple(graph.branch(f"{name}.{key}.", path, begin) for key, path in paths)
        if self.join == "add":
            return graph.add("Add", name, ends)
        return graph.add("Product", name, ends, inverted=self.join == "iand")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        main = found.visit(f"{name}.main", self.main, x)
        shortcut = found.visit(f"{name}.shortcut", self.shortcut, x)
        if self.join == "add":
            found.add(name, "join", self.shortcut, shortcut, operation="ac")
            return VALUES
        gated = main.kind == shortcut.kind == "spikes"
        plain = main.amplitude is None and shortcut.amplitude is None
        return main if gated and plain else VALUES

    def _ends_in_normed_sum(self) -> bool:
        return (
            self.kernels != "reference"
            and not needs_aten()
            and self.join == "add"
            and len(self.main) > 0
            and isinstance(self.main[-1], TimeNorm)
            and not is_watched(self.main)
        )

    def extra_repr(self) -> str:
        return f"join={self.join}"
