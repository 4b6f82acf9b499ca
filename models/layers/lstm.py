"""Long short-term memory over time-major tensors: values, not spikes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn

from ..layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal
from .stem import standardise


class Lstm(nn.LSTM, Layer):
    """One layer of long short-term memory: `[T, B, I] -> [T, B, F]`, from rest.

        i_t, f_t, g_t, o_t = W x_t + b + U h_{t-1} + b',   h_{-1} = c_{-1} = 0
        c_t = σ(f_t) c_{t-1} + σ(i_t) tanh(g_t)
        h_t = σ(o_t) tanh(c_t)

    It is `torch.nn.LSTM` of one layer without its states.

    Args:
        inputs: I.
        features: F.

    Attributes:
        without_ann: why a network with this layer has no ANN counterpart.

    Source: Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor
    without_ann = "an LSTM has no neurons that ReLU could replace"

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__(inputs, features)

    @property
    def weight(self) -> Tensor:
        """W and U side by side, `[4F, I + F]`: the weights of x_t and h_{t-1}, gate by gate."""
        return torch.cat([self.weight_ih_l0, self.weight_hh_l0], 1)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return h_t of each step."""
        if x.numel() == 0:  # torch refuses it
            return x.new_zeros(*x.shape[:2], self.hidden_size)
        return super().forward(x)[0]

    def stepper(self) -> Callable[[Tensor], Tensor]:
        weights = self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0
        state: tuple[Tensor, Tensor] | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal state
            if state is None:
                rest = x.new_zeros(len(x), self.hidden_size)
                state = rest, rest
            # A call of nn.LSTM would arrange the weights anew for each step.
            state = torch.lstm_cell(x, state, *weights)
            return state[0]

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add(
            "Lstm",
            name,
            weight=self.weight_ih_l0,
            recurrent=self.weight_hh_l0,
            bias=self.bias_ih_l0 + self.bias_hh_l0,
        )

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "lstm", self, VALUES)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count W x_t and U h_{t-1}, with h_{-1} = 0, at each step."""
        before = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
        counter.add_products(self.weight, torch.cat([x, before], 2))

    def synaptic_weights(self) -> list[Tensor]:
        """Return W and U."""
        return [self.weight_ih_l0, self.weight_hh_l0]


class Standardised(Layer):
    """Encoded samples as features, analog steps standardised: `[T, B, ...] -> [T, B, F]`.

        y_t = (x_t - mean) / std        analog steps; the others stay

    It stands before a layer with the same weights for all steps, where a `Stem` has two sets.

    Args:
        analog_steps: the number of leading analog steps.
        mean, std: of each channel or feature.
        rank: axes of one step, 3 of (C, H, W), 1 of (F,).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, analog_steps: int, *, mean: list[float], std: list[float], rank: int
    ) -> None:
        super().__init__()
        self.analog_steps = analog_steps
        self.register_buffer("mean", torch.tensor(mean).view(-1, *[1] * (rank - 1)))
        self.register_buffer("std", torch.tensor(std).view(-1, *[1] * (rank - 1)))

    def forward(self, code: Tensor) -> Tensor:
        head, tail = code[: self.analog_steps], code[self.analog_steps :]
        return torch.cat([(head - self.mean) / self.std, tail]).flatten(2)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        times = count()

        def step(x: Tensor) -> Tensor:
            analog = next(times) < self.analog_steps
            return ((x - self.mean) / self.std if analog else x).flatten(1)

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        standardise(graph, self.analog_steps, self.mean, self.std)
        graph.add("Flatten", f"{name}_features")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return VALUES  # scales and shifts the input of the next layer
