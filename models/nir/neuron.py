"""The neurons of NIR as layers of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ..layer import Lowering
from .euler import EulerParameters, euler_step, euler_steps
from .lowering import lower_neuron
from .semantics import Semantics

FIELDS = {
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLI": ("tau_mem", "tau_syn", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}
"""The arrays of each type of neuron, as the format names them."""

MANY = 1 << 24  # whole numbers up to it are exact in float32


class NirNeuron(nn.Module):
    """A neuron of NIR: `[T, B, ...] -> [T, B, ...]`, from rest.

    Its arrays are buffers with the names and units of the format. A training does not change them.

    Args:
        kind: the type of the node, such as `LIF`.
        shapes: of its arrays, by name.
        dt: length of a step in seconds.
        semantics: what the file leaves open.
        looped: whether it is in a loop.
        surrogate: of the derivative of a spike.

    Raises:
        ConfigError: an array is missing or not one of this type.
    """

    r: Tensor

    def __init__(
        self,
        kind: str,
        shapes: Mapping[str, Sequence[int]],
        *,
        dt: float,
        semantics: Semantics,
        looped: bool = False,
        surrogate: str = "sigmoid",
    ) -> None:
        super().__init__()
        if set(shapes) != set(FIELDS[kind]):
            raise ConfigError(
                f"{kind} has the arrays {', '.join(FIELDS[kind])}, not {', '.join(shapes)}"
            )
        if semantics.writes is not None and kind not in semantics.writes:
            raise ConfigError(
                f"with these semantics there is no {kind}",
                why=f"their simulator writes {', '.join(semantics.writes)} alone, so that it is "
                f"not known how it would compute a {kind}",
                remedy="leave --semantics out, or name the simulator that wrote the file",
            )
        self.kind, self.dt, self.semantics, self.surrogate = kind, dt, semantics, surrogate
        self.at_once = semantics.reset == "value" or (
            semantics.reset == "zero" and kind != "CubaLIF" and not looped
        )
        for name in FIELDS[kind]:
            begins_at_zero = name in ("v_leak", "v_reset")
            self.register_buffer(name, torch.full(tuple(shapes[name]), float(not begins_at_zero)))

    @property
    def most(self) -> int:
        """The greatest number of spikes in a step, as far as it matters."""
        return MANY if self.semantics.several else 1

    @property
    def spiking(self) -> bool:
        """Whether its output are spikes, not values."""
        return self.kind in ("IF", "LIF", "CubaLIF")

    def parameters_of_step(self) -> EulerParameters:
        """Return the neuron in discrete time, computed in float64 where the device has it."""
        given = {name: self._exact(name) for name in FIELDS[self.kind]}
        rule, gain, dtype = self.semantics, given["r"], self.r.dtype
        synapse = drive = None
        if (tau := given.get("tau", given.get("tau_mem"))) is None:
            leak = torch.ones_like(gain)
            gain = gain if rule.unit_input and self.kind == "IF" else gain * self.dt
        else:
            share = self._share(tau)
            leak, drive = 1 - share, given["v_leak"] * share
            if not (rule.exponential and self.kind == "LI"):  # as ExpLeak of sinabs
                gain = gain * share
        if (tau_syn := given.get("tau_syn")) is not None:
            share = self._share(tau_syn)
            synapse = (1 - share).to(dtype)
            gain = gain * given["w_in"] * (1 if rule.unit_input else share)

        if rule.decays_input:
            gain = {"LI": leak, "LIF": torch.ones_like(leak)}.get(self.kind, synapse)
            assert gain is not None

        def if_any(values: Tensor | None) -> Tensor | None:
            return None if values is None or not _is_anything(values) else values.to(dtype)

        threshold = given.get("v_threshold")
        return EulerParameters(
            leak=leak.to(dtype),
            gain=gain.to(dtype),
            drive=if_any(drive),
            threshold=None if threshold is None else threshold.to(dtype),
            reset=given["v_reset"].to(dtype) if self.spiking and self.at_once else None,
            start=if_any(given.get(rule.start)),
            synapse=synapse,
            to_zero=rule.reset == "zero",
            several=rule.several and self.spiking,
            fires_at_threshold=rule.fires_at_threshold,
            surrogate=self.surrogate,
        )

    def forward(self, x: Tensor) -> Tensor:
        return euler_steps(x, self.parameters_of_step())

    def step_from_rest(self) -> Any:
        """Return a function of one step after another, `[B, ...] -> [B, ...]`, through which
        gradients flow."""
        p, states = self.parameters_of_step(), None

        def step(x: Tensor) -> Tensor:
            nonlocal states
            before = tuple(torch.zeros_like(x) for _ in p.states) if states is None else states
            y, *states = euler_step(x, before, p)
            return y

        return step

    def stepper(self) -> Any:
        return self.step_from_rest()

    def lower(self, graph: Lowering, name: str, recurrent: Tensor | None = None) -> None:
        """Add the neuron to an export graph; see `lower_neuron`."""
        lower_neuron(graph, name, self, self.parameters_of_step(), recurrent)

    def _exact(self, name: str) -> Tensor:
        value: Tensor = getattr(self, name)
        return value if value.device.type == "mps" else value.double()

    def _share(self, tau: Any) -> Tensor:
        """Return dt/τ, or what decays exponentially in a step."""
        if self.semantics.exponential:
            return 1 - (-self.dt / tau).exp()
        return self.dt * self.dt / tau if self.semantics.scaled_times else self.dt / tau

    def extra_repr(self) -> str:
        return f"{self.kind}, dt={self.dt:g}"


def _is_anything(values: Tensor) -> bool:
    """Return whether any value is not 0; of tensors without values, whether any might be."""
    return values.is_meta or bool(values.any())
