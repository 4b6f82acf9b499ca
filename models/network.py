"""A spiking network: a coding, a body, outputs of each step or window."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..coding.base import Coding
from ..coding.check import check_batch, check_range
from ..coding.samples import Batch, SampleSpec
from ..core.errors import ConfigError, DataError
from .frozen import Snapshot, freeze
from .layers.chain import in_turn
from .readouts import Decision, Readout, create_readout
from .readouts.decision import confident
from .stepwise import NotStepwise, stepper, until_decided
from .synapses import Synapse, create_synapse


@dataclass(frozen=True)
class BuildContext:
    """The arguments that every architecture is built from.

    Attributes:
        in_shape: of one step of the code: (C, H, W), or (F,) of a series of features.
        classes: number of classes.
        coding: from samples to time steps.
        make_neuron: builds a neuron layer for a number of channels.
        scaled: whether the readout has a learnable scale for each step.
        mean, std: of each image channel.
        readout, readout_options: name and options of the readout.
        synapse_name, synapse_options: of the synapses.
        windows: number of steps of the layers behind an accumulator; None for those of the code.
    """

    in_shape: tuple[int, ...]
    classes: int
    coding: Coding
    make_neuron: Callable[[int], nn.Module]
    scaled: bool
    mean: list[float]
    std: list[float]
    readout: str = "mean"
    readout_options: dict[str, Any] = field(default_factory=dict)
    synapse_name: str = "none"
    synapse_options: dict[str, Any] = field(default_factory=dict)
    windows: int | None = None

    def synapse(self, name: str, channels: int) -> dict[str, nn.Module]:
        """Return the synapse in front of a layer that reads spikes, as `[synapse]` describes it.

        It is returned as a layer by name, to be added before the next one: nothing if the network
        has no synapses.

        Raises:
            ConfigError: the synapse sends more channels than it reads.
        """
        synapse = self.make_synapse(channels)
        if synapse is not None and synapse.outputs != channels:
            raise ConfigError(
                f"synapse {self.synapse_name} sends {synapse.outputs} values for {channels} inputs",
                why="the weights of this network read one value of each input",
                remedy="choose model.name=trace-mlp, or synapse.name=exp",
            )
        return {} if synapse is None else {name: synapse}

    def make_synapse(self, channels: int) -> Synapse | None:
        """Return the synapse of so many channels, whatever it sends; None if there is none."""
        return create_synapse(self.synapse_name, channels, steps=self.steps, **self.synapse_options)

    def make_readout(self, features: int) -> Readout:
        """Return the readout of features `[T, B, F]`, as `[readout]` describes it."""
        return create_readout(
            self.readout,
            features,
            self.classes,
            steps=self.steps,
            scaled=self.scaled,
            **self.readout_options,
        )

    @property
    def steps(self) -> int:
        """Number of time steps T, or of windows."""
        return self.coding.steps if self.windows is None else self.windows

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one step of the code, for networks of convolutions.

        Raises:
            ConfigError: a step holds features without rows and columns.
        """
        if len(self.in_shape) != 3:
            raise ConfigError(
                f"this network convolves steps of shape (C, H, W), not {self.in_shape}",
                why="a series of features has no rows and columns",
                remedy="choose model.name=mlp",
            )
        channels, height, width = self.in_shape
        return channels, height, width


class SpikingNetwork(nn.Module):
    """Samples, such as images `[B, C, H, W]` in [0, 1], to logits of each step `[T, B, classes]`.

    With an accumulator in the body there are logits of each window instead, `[W, B, classes]`:
    `output_steps` says when each is known.

    Args:
        coding: from samples to time steps.
        body: from the stem to the readout, time-major throughout.
    """

    def __init__(self, coding: Coding, body: nn.Module) -> None:
        super().__init__()
        self.coding = coding
        self.body = body
        self._config: dict[str, Any] | None = None
        self._frozen: tuple[Snapshot, SpikingNetwork] | None = None
        self._is_frozen = False

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of `create_model` that build this network again.

        Raises:
            ConfigError: the network was not built by `create_model`.
        """
        if self._config is None:
            raise ConfigError(
                "this network was not built by create_model",
                why="files of networks hold the arguments that build them again",
                remedy="register the function that builds it as an entry point of `asnn.models` "
                "(CONTRIBUTING) and call create_model with its name; or save its state_dict with "
                "torch.save",
            )
        return self._config

    @property
    def has_config(self) -> bool:
        """Whether `create_model` built this network, so that it has a `config`."""
        return self._config is not None

    @config.setter
    def config(self, config: dict[str, Any]) -> None:
        self._config = config

    @property
    def sample(self) -> SampleSpec | None:
        """The samples that the network takes; None if it was not built by `create_model`."""
        return self.coding.spec

    @property
    def readout(self) -> Readout:
        """What turns the outputs of the steps into an answer; their mean if the body ends with
        something else than a readout."""
        parts = self.body._modules.values() if isinstance(self.body, nn.Sequential) else ()
        last = next(reversed(parts), None)
        return last if isinstance(last, Readout) else _MEAN

    @property
    def step_shape(self) -> tuple[int, ...] | None:
        """The shape of one step of the code; None if `create_model` did not build the network."""
        return None if self.sample is None else self.coding.step_shape(self.sample)

    @property
    def steps_per_output(self) -> int:
        """How many steps each output takes: 1, or the length of the windows of an accumulator."""
        own = (getattr(part, "steps_per_output", 1) for part in self.body.modules())
        return math.prod(own)

    @property
    def output_steps(self) -> tuple[int, ...]:
        """The number of steps after which each output is known: 1, ..., T; with windows their
        ends."""
        every = self.steps_per_output
        return tuple(range(every, self.coding.steps + 1, every))

    def whole_outputs(self, steps: int | None) -> int:
        """Return how many of the first `steps` are read: all, or with windows those that end within
        them; None for all steps of the network.

        Raises:
            ConfigError: the network has fewer steps, or its first output takes more.
        """
        total = self.coding.steps
        if steps is None:
            return total  # without a walk through the modules, in front of each forward pass
        every = self.steps_per_output
        if not every <= steps <= total:
            raise ConfigError(
                f"steps must be from {every} to {total}, not {steps}",
                why="" if every == 1 else f"an output is known after each {every} steps",
            )
        return steps - steps % every

    def outputs_within(self, steps: int | None) -> int:
        """Return how many outputs the first `steps` give; None for all; see `whole_outputs`."""
        return self.whole_outputs(steps) // self.steps_per_output

    def train(self, mode: bool = True) -> SpikingNetwork:
        """Set the mode, and drop the frozen copy."""
        self._frozen = None
        return super().train(mode)

    def forward(self, x: Batch, steps: int | None = None) -> Tensor:
        """Return logits `[T, B, classes]`; with `steps`, of the first steps only.

        Raises:
            ConfigError: the network has fewer steps, or its first window has more.
            DataError: `x` is not a batch of the samples that it takes.
        """
        return self.run(self._encode(x, steps))

    def run(self, code: Tensor) -> Tensor:
        """Return logits of encoded samples `[T, B, ...]`."""
        if torch.is_grad_enabled():
            self._frozen = None
        if type(self.body) is nn.Sequential and not _is_hooked(self.body):
            return in_turn(self.body, code)
        return self.body(code)

    def _encode(self, x: Batch, steps: int | None) -> Tensor:
        if torch.is_grad_enabled():
            self._frozen = None
        steps = self.whole_outputs(steps)
        if self.sample is not None:
            check_batch(x, self.sample)
            self._require_precision(x)
        return self.coding.encode(x)[:steps]  # type: ignore[arg-type]

    def _require_precision(self, x: Batch) -> None:
        """Refuse float64, as NumPy makes it, where the weights are float32.

        Raises:
            DataError: with what to do.
        """
        if isinstance(x, Tensor) and x.dtype == torch.float64:
            weight = next(self.parameters(), x)
            if weight.dtype != torch.float64:
                raise DataError(
                    f"the samples are float64, the weights {str(weight.dtype)[6:]}",
                    remedy="convert the samples, x.float(), or the network, model.double()",
                )

    def mean_logits(self, x: Batch, steps: int | None = None) -> Tensor:
        """Return the mean of the logits over the steps, `[B, classes]`; or the answer of a readout
        that computes another one from the features.

        It equals `forward(x, steps).mean(0)` up to rounding, and is cheaper: a readout is linear,
        so the mean is taken before it.

        Raises:
            ConfigError: the network has fewer steps.
        """
        code = self._encode(x, steps)
        *layers, last = self.body if isinstance(self.body, nn.Sequential) else [self.body]
        hooked = _is_hooked(self.body) or _is_hooked(last)
        if isinstance(last, Readout) and last.answers_with_mean and not hooked:
            return last.mean(in_turn(layers, code))
        outputs = self.run(code)
        return self.readout.answer(outputs) if self.readout.answers_with_mean else outputs.mean(0)

    @torch.no_grad()
    def predict(self, x: Batch, steps: int | None = None) -> Tensor:
        """Return the answer after the first `steps`, `[B, classes]`: the mean of their logits, or
        what another readout decides.

        In evaluation mode `frozen()` computes it: call `refresh()` after a change of weights
        through `.data` or NumPy, which torch does not count.

        Raises:
            ConfigError: the network has fewer steps.
            DataError: `x` is not a batch of the samples that it takes; or images have values
                outside of [0, 1].
        """
        network, readout = self._for_inference(x), self.readout
        if readout.answers_with_mean:
            return network.mean_logits(x, steps)
        return readout.decide(network.forward(x, steps)).scores

    def _for_inference(self, x: Batch) -> SpikingNetwork:
        """Return what computes predictions, after a check of the values of images."""
        of_images = self.sample is not None and self.sample.kind == "image"
        if of_images and isinstance(x, Tensor) and x.is_floating_point():
            check_range(x)
        return self if self.training else self.frozen()

    @torch.no_grad()
    def decide(self, x: Batch, *, confidence: float | None = None) -> Decision:
        """Return the answer of each sample and its step, or window; no step runs after all are
        decided.

        A sample is decided where the readout `first-crossing` says so, or with `confidence` at the
        first step at which the probability of its answer so far is at least that. As in `predict`,
        the frozen copy computes it; one that cannot run step by step computes all steps.

        Raises:
            DataError: as of `predict`.
        """
        readout = self.readout

        def decision(outputs: Tensor) -> Decision:
            if confidence is None:
                return readout.decide(outputs)
            return confident(readout.so_far(outputs), confidence)

        stops = confidence is not None or callable(getattr(readout, "crossed", None))
        decided = (lambda outputs: decision(outputs).decided) if stops else None
        return decision(self._for_inference(x).run_until(x, decided))

    @torch.no_grad()
    def run_until(
        self,
        x: Batch,
        decided: Callable[[Tensor], Tensor] | None,
        steps: int | None = None,
        each_step: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Return the outputs of the first steps or windows, `[t, B, K]`: up to that at which all
        samples are decided, at most `steps`.

        Args:
            decided: from the outputs so far `[t, B, K]`, which samples are, `[B]`; None runs all
                steps.
            each_step: called after each step, or once if all are computed at once: without
                `decided`, and where a layer has no `stepper`.

        Raises:
            ConfigError: the network has fewer steps.
            DataError: `x` is not a batch of the samples that it takes.
        """
        code = self._encode(x, steps)
        step = None
        if decided is not None and not self.training:
            with contextlib.suppress(NotStepwise):
                step = stepper(self.body)
        if step is None or decided is None:
            outputs = self.run(code)
            each_step()
            return outputs

        def outputs_of_steps() -> Iterator[Tensor]:
            for each in code:
                outputs = step(each)
                each_step()
                if outputs is not None:
                    yield outputs

        return until_decided(outputs_of_steps(), decided)

    def refresh(self) -> None:
        """Drop the copy that `predict` computes with.

        It is needed after a change of a weight that torch does not count: through `.data`, or
        through a NumPy array that shares its memory.
        """
        self._frozen = None

    def frozen(self) -> SpikingNetwork:
        """Return a copy for inference: norms folded into the weights, no gradients.

        The copy is cached, and made again after a weight has changed: after a forward pass with
        gradients enabled (torch does not count the steps of its fused optimizers), after `train()`
        and `eval()`, and after each change that torch counts. Changes through `.data` or through
        NumPy are not counted: call `refresh()` after them.

        Raises:
            ConfigError: a weight is computed from others, as by `torch.nn.utils.prune`.
        """
        if self._is_frozen:
            return self
        cached = self._frozen
        if cached is None or not cached[0].is_current():
            try:
                body = freeze(self.body)
            except RuntimeError as error:
                raise ConfigError(
                    "this network cannot be copied for inference",
                    why=f"a weight is not a parameter of its own: {error}",
                    remedy="after torch.nn.utils.prune, call prune.remove(layer, 'weight')",
                ) from error
            copy = SpikingNetwork(self.coding, body).eval()
            copy._is_frozen = True
            copy._config = self._config
            cached = self._frozen = (Snapshot(self), copy)
        return cached[1]

    def __getstate__(self) -> dict[str, Any]:
        # For copies and pickles: a snapshot belongs to this network alone.
        return {**self.__dict__, "_frozen": None}


# Only its answers are asked for: it needs no weights, and draws none.
with torch.device("meta"):
    _MEAN = Readout(1, 1, steps=1, scaled=False)


def _is_hooked(module: nn.Module) -> bool:
    """Return whether a module has hooks."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
