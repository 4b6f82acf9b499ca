"""A convolution with its neurons, which may read their own spikes and the layer's input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ....core.errors import ConfigError
from ...layer import VALUES, Lowering, OperationList, Signal, decaying_parameters
from ...neurons.lif import DelayedReset, Lif
from ...neurons.relu import Relu
from ...stepwise import Step, stepper
from ..fusing import Fusible, run
from ..spiking import SpikingLayer, signal_of
from .step import fused_step_of, missing_step_of

KERNEL = 3


class FeedbackLayer(SpikingLayer):
    """Convolution, then neurons: `[T, B, C, H, W] -> [T, B, F, H, W]`, from rest.

        x'_t = W x_t + U s_{t-1},   s_t = step(x'_t)

    with U s_{t-1} in recurrent layers only. Neurons that read the layer's input also get its
    activity at each pixel: the mean of |x| over the channels and the 3×3 pixels around it, those
    beyond the edge 0. Fused kernels compute neurons `lif`: all steps in one pass, or step by step
    in recurrent layers.

    Args:
        conv: W with a bias, of all steps: a `Stem` or `OverTime`.
        neuron: `lif`, `alif`, `plif`, `xlif`; or `relu`, for the ANN counterpart, whose outputs
            take the place of the spikes.
        recurrent: U, a convolution of F to F channels that keeps the size; None for none.

    Raises:
        ConfigError: another neuron.

    Source: arXiv 2106.01862, figure 3.
    """

    def __init__(
        self, conv: nn.Module, neuron: nn.Module, recurrent: nn.Conv2d | None = None
    ) -> None:
        super().__init__(None, neuron)
        if not isinstance(neuron, DelayedReset | Relu):
            raise ConfigError(
                f"this network cannot use neurons {type(neuron).__name__}",
                why="its layers pass them their own spikes and the activity before the weights",
                remedy="set model.neuron to lif, alif, plif, xlif or relu",
            )
        self.conv = conv
        self.recurrent = recurrent
        self._alive: Callable[[torch.Size], Tensor] | None = None

    def silence(self, alive: Callable[[torch.Size], Tensor]) -> None:
        """Let dead neurons send nothing, to the next layer or their own: those where `alive` of
        the shape `[F, H, W]` is 0."""
        self._alive = alive

    def _sent(self, out: Tensor) -> Tensor:
        """Return what the live neurons send, `[..., F, H, W]`."""
        return out if self._alive is None else out * self._alive(out.shape[-3:]).to(out)

    def _computed(self, x: Tensor) -> Tensor:
        current = self.conv(x)
        if isinstance(self.neuron, DelayedReset):
            self.neuron.check(current)
        how = self._fusible(current)
        if isinstance(how, Fusible):
            self.used = "fused"
            out = self._fused(current, how)
        else:
            self.used = "reference"
            rectifies = isinstance(self.neuron, Relu)
            out = self._rectified(current) if rectifies else self._spikes(x, current)
        return self._counted(out, current)

    def _fusible(self, x: Tensor) -> Fusible | str:
        how = super()._fusible(x)
        missing = None if self.recurrent is None else missing_step_of(x)
        if isinstance(how, str) or missing is None:
            return how
        self.refuse_fused(missing)
        return missing

    def _fused(self, current: Tensor, how: Fusible) -> Tensor:
        """Return what LIF neurons send: all steps in one pass, or one after another where they read
        their own spikes."""
        if self.recurrent is None:
            return self._sent(run(current, how, count=False)[0])
        assert isinstance(self.neuron, Lif)
        step = fused_step_of(self.neuron, current.shape[2])
        v = torch.zeros_like(current[0], memory_format=torch.channels_last)
        spikes: list[Tensor] = []
        for x_t in current.unbind(0):
            if spikes:
                x_t = x_t + self.recurrent(spikes[-1])
            s, v = step(x_t, v)
            spikes.append(self._sent(s))
        # As the other layers send them: channels last.
        return torch.stack([s.movedim(1, -1) for s in spikes]).movedim(-1, 2)

    def _spikes(self, x: Tensor, current: Tensor) -> Tensor:
        neuron = self.neuron
        assert isinstance(neuron, DelayedReset)
        step = neuron.step_function(3, current.dtype)
        inputs = zip(*self._inputs(x, current), strict=True)
        states = [current.new_zeros(current.shape[1:])] * len(neuron.state_names)
        spikes: list[Tensor] = []
        for x_t, *activity in inputs:
            if spikes and self.recurrent is not None:
                x_t = x_t + self.recurrent(spikes[-1])
            s, *states = step(x_t, *activity, *states)
            spikes.append(self._sent(s))
        return torch.stack(spikes) if spikes else torch.empty_like(current)

    def _rectified(self, current: Tensor) -> Tensor:
        """Return what ReLU gives in place of spikes; it is called once, for all steps."""
        if self.recurrent is None:
            return self._sent(self.neuron(current))
        sums: list[Tensor] = []
        for x_t in current:
            sums.append(x_t + self.recurrent(self._sent(sums[-1].relu())) if sums else x_t)
        return self._sent(self.neuron(torch.stack(sums) if sums else current))

    def _inputs(self, x: Tensor, current: Tensor) -> list[Tensor]:
        """Return what the neuron reads at each step, apart from its states."""
        reads = getattr(self.neuron, "reads_input", False)
        return [current, activity(x).to(current.dtype)] if reads else [current]

    def stepper(self) -> Step:
        conv = stepper(self.conv)
        neuron = self.neuron
        states: list[Tensor] = []
        sent: Tensor | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal states, sent
            current = conv(x)
            if sent is not None and self.recurrent is not None:
                current = current + self.recurrent(sent)
            if isinstance(neuron, Relu):
                out: Tensor = neuron(current)
            else:
                assert isinstance(neuron, DelayedReset)
                states = states or [torch.zeros_like(current)] * len(neuron.state_names)
                inputs = self._inputs(x.unsqueeze(0), current)
                inputs = [inputs[0], *(each[0] for each in inputs[1:])]
                out, *after = neuron.step_function(3, current.dtype)(*inputs, *states)
                states = [state.detach() for state in after]
            out = self._sent(out)
            sent = out.detach()
            return self._counted(out.unsqueeze(0), current.unsqueeze(0))[0]

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        neuron = self.neuron
        if isinstance(neuron, Relu):
            raise graph.refused(name, self, "ReLU in place of spikes is for comparison only")
        assert isinstance(neuron, DelayedReset)
        source = graph.at
        graph.lower(f"{name}.conv", self.conv)
        inputs = [graph.at]
        if neuron.reads_input:
            _lower_activity(graph, f"{name}.activity", source, self._channels)
            inputs.append(graph.at)
        recurrent = None if self.recurrent is None else self.recurrent.weight
        if type(neuron) is Lif:
            graph.add(
                "Neuron",
                name,
                (inputs[0],),
                **neuron.fields_of_node(graph.steps),
                recurrent=recurrent,
            )
        else:
            graph.cell(
                name,
                neuron.step_function(3),
                states=list(neuron.state_names),
                inputs=tuple(inputs),
                recurrent=recurrent,
            )

    @property
    def _channels(self) -> int:
        """Channels of the input."""
        return next(m.in_channels for m in self.conv.modules() if isinstance(m, nn.Conv2d))

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(f"{name}.conv", self.conv, x)
        out = signal_of(self.neuron)
        if self.recurrent is not None:
            found.visit_from(
                f"{name}.recurrent",
                self.recurrent,
                out,
                of=self.recurrent,
                inputs=lambda spikes: spikes,
                first=1,
            )
        found.add(name, "neuron", self, VALUES)
        return out

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the convolutions."""
        found = decaying_parameters(self.conv)
        if self.recurrent is not None:
            found += decaying_parameters(self.recurrent)
        return found


def activity(x: Tensor) -> Tensor:
    """Return the mean of |x| over the channels and the pixels around each, `[T, B, 1, H, W]`."""
    mean = x.abs().mean(2, keepdim=True)
    around = avg_pool2d(mean.flatten(0, 1), KERNEL, stride=1, padding=KERNEL // 2)
    return around.unflatten(0, x.shape[:2])


def _lower_activity(graph: Lowering, name: str, source: str, channels: int) -> None:
    """Add `activity` of the node `source`, with |x| = max(x, 0) + max(-x, 0)."""
    graph.add("Relu", f"{name}.positive", (source,))
    minus = torch.full((graph.steps, 1), -1.0)
    graph.add("ChannelScale", f"{name}.minus", (source,), factor=minus, offset=0 * minus)
    graph.add("Relu", f"{name}.negative")
    graph.add("Add", f"{name}.absolute", (f"{name}.positive", f"{name}.negative"))
    graph.add(
        "Conv",
        name,
        weights=(torch.full((1, channels, KERNEL, KERNEL), 1 / (channels * KERNEL**2)),),
        biases=(torch.zeros(1),),
        of_step=(0,) * graph.steps,
        padding=(KERNEL // 2, KERNEL // 2),
    )
