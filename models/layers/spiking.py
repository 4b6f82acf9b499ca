"""The parts that networks are built of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ...coding.base import Coding
from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import NEEDS, Kernels, missing_backend, notice, recording
from .convolution import PointConv2d, SpikeConv2d
from .fusing import Frozen, Fusible, freeze, fusible, is_watched, run
from .norm import SplitNorm, TimeNorm, create_norm
from .residual import Residual
from .time import over_time


class Stem(nn.Module):
    """The first weights, which see the code: `[T, B, ...] -> [T, B, F, ...]`.

    Analog steps and spike steps have weights of their own (the dual stem of arXiv 2408.12407).
    Analog steps are normalised by mean and deviation, spikes are taken as they are. A static
    code is computed once, and its steps are views of the result.

    Args:
        coding: tells which steps are analog.
        make: builds the affine layer, for one set of weights.
        mean, std: of each channel of the images, to normalise analog steps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        coding: Coding,
        make: Callable[[], nn.Module],
        *,
        mean: list[float],
        std: list[float],
    ) -> None:
        super().__init__()
        self.static = coding.static
        self.analog_steps = coding.analog_steps
        self.analog = make() if coding.analog_steps > 0 else None
        self.spikes = make() if coding.analog_steps < coding.steps else None
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        if self.static and self.analog is not None:
            once = self.analog(_channels_last(self.normalised(code)[0]))
            return once.expand(code.shape[0], *once.shape)
        if self.spikes is None or code.shape[0] <= self.analog_steps:
            assert self.analog is not None
            out = self.analog(_channels_last(self.normalised(code).flatten(0, 1)))
        elif self.analog is None:
            out = self.spikes(_channels_last(code.flatten(0, 1)))
        else:
            out = self._both(code, self.analog, self.spikes)
        return out.unflatten(0, code.shape[:2])

    def _both(self, code: Tensor, analog: nn.Module, spikes: nn.Module) -> Tensor:
        first = analog(_channels_last(self.normalised(code).flatten(0, 1)))
        others = _channels_last(code[self.analog_steps :].flatten(0, 1))
        if type(spikes) is SpikeConv2d and not is_watched(spikes):
            return spikes.behind(first, others)
        return torch.cat([first, spikes(others)])

    def normalised(self, code: Tensor) -> Tensor:
        """Return what the analog weights are given: the analog steps of a code `[T, B, ...]`, of a
        static one the first, by mean and deviation."""
        return (code[: 1 if self.static else self.analog_steps] - self.mean) / self.std


def _channels_last(x: Tensor) -> Tensor:
    """Return images with their channels next to each other in memory, as convolutions and kernels
    are fastest; what follows keeps that order."""
    return x.contiguous(memory_format=torch.channels_last)


class SpikingLayer(nn.Module):
    """Batch norm, neuron over all steps, optional pooling: `[T, B, C, ...] -> [T, B, C, ...]`.

    The fused kernels compute it in one pass where they can, and the parts themselves elsewhere.

    Args:
        norm: of time-major tensors; None leaves the input as it is.
        neuron: `[T, B, C, ...] -> [T, B, C, ...]`.
        pool: layer of `[B, C, H, W]`.

    Attributes:
        kernels: which kernels to use; `use_kernels` sets it for a whole network.
        used: which were used last; None before the first call.
        spike_observers: called after each forward pass with the number of spikes at each step
            `[T]` (float64) and the number of neurons times samples.
    """

    def __init__(
        self, norm: nn.Module | None, neuron: nn.Module, pool: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.norm = norm
        self.neuron = neuron
        self.pool = pool
        self.kernels: Kernels = "auto"
        self.used: Literal["reference", "fused"] | None = None
        self.spike_observers: list[Callable[[Tensor, int], None]] = []
        self._freezes = False
        self._frozen: tuple[Any, Frozen | None] = (None, None)

    def forward(self, x: Tensor) -> Tensor:
        if self._freezes and not torch.is_grad_enabled() and not recording():
            frozen = self._frozen_for(x)
            if frozen is not None:
                spikes, counts = frozen.run(x, count=bool(self.spike_observers))
                return self._told(spikes, counts, x)
        how = self._fusible(x)
        if isinstance(how, Fusible):
            self.used = "fused"
            spikes, counts = run(x, how, count=bool(self.spike_observers))
            return self._told(spikes, counts, x)
        self.used = "reference"
        spikes = self.neuron(x if self.norm is None else self.norm(x))
        if self.spike_observers:
            # Rates are wanted to more digits than float32 can count spikes.
            self._told(spikes, spikes.detach().flatten(1).sum(1, dtype=torch.float64), x)
        return spikes if self.pool is None else over_time(self.pool, spikes)

    def freeze(self) -> None:
        """Keep what evaluation without gradients needs, from the next call on; for good."""
        self._freezes = True

    def _frozen_for(self, x: Tensor) -> Frozen | None:
        key = (x.shape, x.stride(0) == 0, x.dtype, x.device, self.kernels)
        kept, frozen = self._frozen  # once, for another thread may put its own there
        if kept != key:
            how = self._fusible(x)
            self.used = "fused" if isinstance(how, Fusible) else "reference"
            frozen = freeze(x, how) if isinstance(how, Fusible) else None
            self._frozen = (key, frozen)
        return frozen

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frozen": (None, None)}

    def _fusible(self, x: Tensor) -> Fusible | str:
        if self.kernels == "reference":
            return "the reference is asked for"
        values = x[0].numel() // max(x.shape[2], 1) if x.dim() > 2 and len(x) else 0
        if values == 0 or (values == 1 and self.training and self.norm is not None):
            return "nothing, or a single value, has no statistics"  # the norm has its own words
        how = fusible(x, self.norm, self.neuron, self.pool)
        if isinstance(how, str):
            if self.kernels == "fused":
                raise ConfigError(
                    "the fused kernels cannot compute this layer",
                    why=how,
                    remedy="use kernels 'auto', which takes the reference there",
                )
            if missing_backend(x.device.type, torch.float32) == how and x.device.type in NEEDS:
                notice(how)
        return how

    def _told(self, spikes: Tensor, counts: Tensor | None, x: Tensor) -> Tensor:
        """Tell the spike_observers, and return the spikes."""
        if counts is not None:
            places = x[0].numel() if len(x) else 0
            for observer in self.spike_observers:
                observer(counts, places)
        return spikes


def use_kernels(model: nn.Module, kernels: str) -> None:
    """Choose the kernels of all spiking layers of a network, and of the convolutions of spikes.

    - `auto`: fused where they can compute the layer, the reference elsewhere;
    - `fused`: fused, and an error where they cannot (an empty batch, and the single value that a
      norm refuses, are left to the reference);
    - `reference`: plain torch, on every device, in every dtype.

    Raises:
        ConfigError: the choice is none of these.
    """
    if kernels not in ("auto", "reference", "fused"):
        raise unknown("kernels", kernels, ["auto", "reference", "fused"])
    for module in model.modules():
        if isinstance(module, SpikingLayer | SpikeConv2d | PointConv2d | Residual):
            module.kernels = kernels  # type: ignore[assignment]


def used_kernels(model: nn.Module) -> str | None:
    """Return which kernels computed last: `fused`, `reference`, `mixed`; None before any call."""
    used = {module.used for module in model.modules() if isinstance(module, SpikingLayer)}
    return used.pop() if len(used) == 1 else "mixed" if used else None


class Readout(nn.Module):
    """logits_t = scale_t (W s_t + b): spikes `[T, B, F]` to logits of each step `[T, B, K]`.

    Args:
        features: F.
        classes: K.
        steps: number of time steps T.
        scaled: give each step a learnable scale, starting at 1.
    """

    def __init__(self, features: int, classes: int, *, steps: int, scaled: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)
        self.scale = nn.Parameter(torch.ones(steps)) if scaled else None
        self._freezes = False
        self._frozen: tuple[int, Tensor, Tensor] | None = None

    def freeze(self) -> None:
        """Keep what the mean without gradients needs, from the next call on; for good."""
        self._freezes = True

    def forward(self, spikes: Tensor) -> Tensor:
        logits = self.linear(spikes)
        if self.scale is None:
            return logits
        return logits * self.scale[: logits.shape[0]].view(-1, 1, 1)

    def mean(self, spikes: Tensor) -> Tensor:
        """Return the mean of the logits over the steps, `[B, K]`.

        The readout is linear, so the spikes are averaged before it and not the logits after it:
        1/T Σ_t scale_t (W s_t + b) = W (1/T Σ_t scale_t s_t) + b (1/T Σ_t scale_t).
        """
        if self.scale is None:
            return self.linear(spikes.mean(0))
        shares, bias = self._shares(len(spikes))
        average = (shares.to(spikes.dtype) @ spikes.flatten(1)).view(spikes.shape[1:])
        return linear(average, self.linear.weight, bias)

    def _shares(self, steps: int) -> tuple[Tensor, Tensor]:
        """Return scale_t / T of the first steps, and the bias times their sum."""
        kept = self._frozen  # once, for another thread may put its own there
        if kept is not None and kept[0] == steps:
            return kept[1:]
        assert self.scale is not None
        shares = self.scale[:steps] / steps
        found = shares, self.linear.bias * shares.sum()
        if self._freezes and not torch.is_grad_enabled():
            self._frozen = (steps, *found)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frozen": None}


def stem_norm(coding: Coding, form: str, channels: int, *, image: bool) -> TimeNorm:
    """Return the batch norm behind a stem: one for analog steps, another for spike steps."""
    analog, spikes = coding.analog_steps, coding.steps - coding.analog_steps
    if not analog or not spikes:
        return create_norm(form, channels, steps=coding.steps, image=image)
    return SplitNorm(
        analog,
        create_norm(form, channels, steps=analog, image=image),
        create_norm(form, channels, steps=spikes, image=image),
    )
