"""A linear differential equation as a layer for series."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import Kernels
from ..layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal
from .equations import RowWeights, normal_equations, solve_ode
from .substitution import count_substitution, substitution_of

Start = Literal["zero", "learned", "input"]
Form = Literal["leaky", "derivative"]


class LeastSquaresOde(Layer):
    """D variables of a linear differential equation driven by features: `[T, B, F] -> [T, B, D]`.

        Σ_{d,k} c_{e,d,k} z^{d,k}(t) = Σ_f W_{e,f} x_{t,f}        e = 1..D
        z(0) = z_0

    solved at T times that are h apart by least squares over all of them (`equations`): the
    variables at a time depend on later inputs too.

    Args:
        features: F.
        variables: D.
        order: R, the number of derivatives from the 0th on that the solution has.
        form: what c starts as, for each variable by itself: `leaky` is z + τ z' = W x, and
            `derivative` z' = W x.
        tau: τ of `leaky`.
        step: start value of h.
        learn_coefficients: make c a parameter, `[D, D, R]`, so that variables act on each other.
        learn_step: make h a parameter, above 0.
        start: z_0 is `zero`, `learned` (the same for all samples), or `input`: another learned
            linear function of the features at the first step.
        bias: whether W x has a bias.
        smoothness: weight of the Taylor rows against that of the equation.

    Attributes:
        kernels: which kernels to use; `asnn.models.use_kernels` sets it.
        without_ann: why a network with this layer has no ANN counterpart.

    Raises:
        ConfigError: an option out of range.

    Source: Chen et al., arXiv 2410.06074.
    """

    without_ann = "a differential equation has no neurons that ReLU could replace"
    kernels: Kernels = "auto"

    def __init__(
        self,
        features: int,
        variables: int,
        *,
        order: int = 2,
        form: Form = "leaky",
        tau: float = 1.0,
        step: float = 1.0,
        learn_coefficients: bool = True,
        learn_step: bool = False,
        start: Start = "zero",
        bias: bool = True,
        smoothness: float = 1.0,
    ) -> None:
        super().__init__()
        if variables < 1:
            raise ConfigError(f"variables must be 1 or more, not {variables}")
        if not 2 <= order <= 6:
            raise ConfigError(
                f"order must be 2 to 6, not {order}",
                why="the equation is of z and z', and row k has the factor h^k",
            )
        for name, given, choices in (("start", start, Start), ("form", form, Form)):
            if given not in get_args(choices):
                raise unknown(name, given, list(get_args(choices)))
        for name, value in (("tau", tau), ("step", step), ("smoothness", smoothness)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} must be above 0, not {value}")
        self.order, self.start = order, start
        self.weights = RowWeights(smoothness=smoothness)
        self.linear = nn.Linear(features, variables, bias=bias)
        c = torch.zeros(variables, variables, order)
        own = torch.arange(variables)
        c[own, own, 0] = float(form == "leaky")
        c[own, own, 1] = tau if form == "leaky" else 1.0
        self.coefficients = nn.Parameter(c, requires_grad=learn_coefficients)
        self.log_step = nn.Parameter(torch.tensor(math.log(step)), requires_grad=learn_step)
        self.initial = nn.Parameter(torch.zeros(variables)) if start == "learned" else None
        self.first = nn.Linear(features, variables) if start == "input" else None

    @torch.no_grad()
    def start_from(self, selection: Tensor) -> None:
        """Fix z_0 to `selection` times the features at the first step.

        Args:
            selection: `[D, F]`.
        """
        assert self.first is not None, "start is 'input'"
        self.first.weight.copy_(selection)
        self.first.bias.zero_()
        self.first.requires_grad_(False)

    @property
    def variables(self) -> int:
        """D."""
        return self.coefficients.shape[0]

    @property
    def step(self) -> Tensor:
        """h, above 0."""
        return self.log_step.exp()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[:2].numel() == 0:
            return x.new_zeros(*x.shape[:2], self.variables)
        init = x.new_zeros(1, x.shape[1], self.variables)
        if self.initial is not None:
            init = init + self.initial
        if self.first is not None:
            init = self.first(x[:1])
        z = solve_ode(
            self.coefficients.expand(len(x), 1, -1, -1, -1),
            self.linear(x),
            init.unsqueeze(3),
            self.log_step.double().exp(),
            weights=self.weights,
            kernels=self.kernels,
        )
        return z[..., 0]

    def lower(self, graph: Lowering, name: str) -> None:
        """Add W x, with the function of the initial values behind it, and the two passes."""
        variables, order, steps = self.variables, self.order, graph.steps
        bias = self.linear.bias
        weights = [self.linear.weight]
        biases = [self.linear.weight.new_zeros(variables) if bias is None else bias]
        if self.first is not None:
            weights.append(self.first.weight)
            biases.append(self.first.bias)
        weight, bias = (torch.cat(part).detach().float().cpu() for part in (weights, biases))
        graph.add(
            "Linear", f"{name}_input", weights=(weight.numpy(),), biases=(bias.numpy(),),
            of_step=(0,) * steps,
        )  # fmt: skip
        c = self.coefficients.double().expand(steps, 1, -1, -1, -1)
        h = self.log_step.double().exp().expand(steps - 1, 1)
        system = normal_equations(c, h, (1, 1), self.weights)
        values = torch.arange(variables) * order  # of z itself, among the unknowns
        enter = c.new_zeros(steps, 1, variables * order, len(weight))
        enter[..., :variables] = self.weights.equation**2 * c.flatten(3).mT
        given = self.weights.initial**2
        if self.first is not None:
            enter[0, 0, values, variables + torch.arange(variables)] = given
        constant = c.new_zeros(steps, 1, variables * order)
        if self.initial is not None:
            constant[0, 0, values] = given * self.initial.double()
        passes = substitution_of(*system, enter, constant)
        graph.add("Substitution", name, **passes._asdict(), outputs=tuple(values.tolist()))

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "least squares", self, VALUES)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        weights = [each.weight for each in (self.linear, self.first) if each is not None]
        counter.add_products(weights[0], x)
        if self.first is not None:
            counter.add_products(self.first.weight, x[:1])
        count_substitution(
            counter, y, systems=1, inputs=self.variables, unknowns=self.variables * self.order
        )

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return the weights; decay would pull coefficients and initial values to 0."""
        layers = [self.linear] if self.first is None else [self.linear, self.first]
        return [p for layer in layers for p in layer.parameters() if p.dim() > 1]

    def synaptic_weights(self) -> list[Tensor]:
        """Return the weights."""
        return [each.weight for each in (self.linear, self.first) if each is not None]
