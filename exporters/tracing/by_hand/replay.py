"""Runs a captured forward operator by operator, for values that nodes of the graph stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ..capture import Capture
from ..values import Axes, Signal


@dataclass(frozen=True)
class Replay:
    """A captured forward without calls of parts.

    Attributes:
        captured: the forward.
        batch: the number of samples that it is captured for.
        axis: of the samples in its input.
        wanted: for nodes of the capture the node of the graph and the step.
    """

    captured: Capture
    batch: int
    axis: int
    wanted: dict[fx.Node, tuple[str, int]]

    @staticmethod
    def of(
        captured: Capture,
        batch: int,
        axes: Axes,
        values: Mapping[fx.Node, Any],
        at: Mapping[str, str],
    ) -> Replay:
        """Return the replay of values of layers.

        Args:
            captured: the forward.
            batch: the number of samples that it is captured for.
            axes: of its input.
            values: of the nodes of the capture, as lowered.
            at: the nodes of the graph that stand for layers.
        """
        wanted = {
            node: (at[value.layer], value.step)
            for node, value in values.items()
            if isinstance(value, Signal)
            and isinstance(value.step, int)
            and value.layer in at
            and value.axes == ("B", *range(len(value.axes) - 1))
        }
        return Replay(captured, batch, axes.index("B"), wanted)

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return the values of nodes of the graph, `[T, B, ...]`, for an input of any batch."""
        number = x.shape[self.axis]
        chunks = [self._of_batch(each) for each in self._batches(x)]
        return {name: torch.cat([c[name] for c in chunks], 1)[:, :number] for name in chunks[0]}

    def _batches(self, x: Tensor) -> list[Tensor]:
        """Return samples in batches, the last of which repeats the last one."""
        last = x.shape[self.axis] - 1
        every = torch.arange(-(-(last + 1) // self.batch) * self.batch).clamp(max=last)
        return [x.index_select(self.axis, each) for each in every.split(self.batch)]

    def _of_batch(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[fx.Node, Any] = {}
        of_steps: dict[str, dict[int, Tensor]] = {}
        with torch.no_grad():
            for node in self.captured.graph.nodes:
                if node.op == "placeholder":
                    found[node] = self.captured.constants.get(node.name, x)
                elif node.op != "output":
                    target: Any = node.target
                    args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), found.__getitem__)
                    found[node] = target(*args, **kwargs)
                if node in self.wanted:
                    name, step = self.wanted[node]
                    of_steps.setdefault(name, {})[step] = found[node].float()
        return {
            name: torch.stack([steps[t] for t in sorted(steps)]) for name, steps in of_steps.items()
        }
