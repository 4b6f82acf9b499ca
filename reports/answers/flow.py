"""Recordings with their flow in colours, and their events before and after they move along it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...coding.samples import EventBatch
from ...datasets.base import Split, sample_at
from ...datasets.motion import flow_at, inside, measures
from ...measure.figures.flow import draw_events, draw_flow, images_before_and_after, lit
from ...measure.figures.style import panels, style
from ...models.network import SpikingNetwork
from ...tasks.flow import Flow
from ..drawing import FULL, Drawing
from ..wording import listed

SHOWN = 6  # recordings, spread over the split


@dataclass(frozen=True)
class ShownFlow:
    """The flow of some recordings.

    Attributes:
        samples: their indices in the split.
        events: the recordings, each a batch of its own.
        flow: what the network answers, `[n, 2, H, W]`.
        truth: `[n, 2, H, W]`, or `[n, 2, 1, 1]`; NaN where not known.
        until: the end of the time that the network sees, in µs.
    """

    samples: list[int]
    events: list[EventBatch]
    flow: Tensor
    truth: Tensor
    until: int

    title = "Optical flow"

    def drawings(self) -> list[tuple[Drawing, str]]:
        known = bool(self.truth.isfinite().any())
        caption = (
            "Rows: the events as they are; the same moved along the flow to the end of the "
            "recording, where a good flow makes them sharp (FWL above 1); the flow of the pixels "
            "with events, its direction as hue and its length as saturation, as in the wheel."
        )
        if known:
            caption += " Last row: the true flow in the same colours."
        return [(self._figure(known), caption)]

    def _figure(self, known: bool) -> Drawing:
        rows, columns = 3 + known, len(self.samples)
        limit = max(_longest(self.flow), _longest(self.truth), 1e-6)
        said = []
        with style():
            figure, grid = panels((FULL, 0.4 + FULL / SHOWN * rows), rows, columns)
            for column, index in enumerate(self.samples):
                events, flow = self.events[column], self.flow[column : column + 1]
                before, after = images_before_and_after(events, flow)
                high, pixels = float(after.max()), lit(events)[0]
                axes = grid[column::columns]
                draw_events(axes[0], before[0], high)
                draw_events(axes[1], after[0], high)
                draw_flow(axes[2], flow[0], limit, pixels)
                if known:
                    truth = self.truth[column].expand_as(flow[0])
                    draw_flow(axes[3], truth.nan_to_num(0), limit, pixels)
                for each in axes:
                    each.set_xticks([])
                    each.set_yticks([])
                    each.grid(visible=False)
                fwl = float(measures(events, flow_at(events, flow), self.until).fwl)
                sharpness = f"FWL {fwl:.2f}" if math.isfinite(fwl) else "FWL not known"
                axes[0].set_title(f"sample {index}")
                axes[1].set_title(sharpness, fontweight="normal")
                right, down = flow[0][:, pixels].mean(1).tolist() if pixels.any() else (0.0, 0.0)
                said.append(f"sample {index} ({right:+.1f}, {down:+.1f}) px, {sharpness}")
        return Drawing(figure, f"Mean flow to the right and down: {listed(said)}.")


def _longest(flow: Tensor) -> float:
    """Return the greatest length of a flow `[n, 2, ...]`, 0 if none is known."""
    return float(flow.square().sum(1).sqrt().nan_to_num(0).max())


@torch.no_grad()
def shown_flow(task: Flow, model: SpikingNetwork, split: Split, device: Any) -> ShownFlow:
    """Return the flow of recordings that are spread over a split.

    Args:
        task: bound to the data.
        model: the network, on `device`.
        split: the samples, one or more.
        device: of the network.
    """
    count = min(SHOWN, len(split))
    samples = [number * len(split) // count for number in range(count)]
    network, found, recordings = model.frozen(), [], []
    for index in samples:
        events = sample_at(split, index)
        assert isinstance(events, EventBatch), "flow is that of recordings"
        outputs = network(events.to(device))
        found.append(network.readout.so_far(outputs)[-1, 0].float().cpu())
        recordings.append(inside(events, task.until(events)))
    until = task.until(recordings[0])
    return ShownFlow(samples, recordings, torch.stack(found), split.targets[samples], until)
