"""A linear differential equation driven by products of the features of a series."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..network import BuildContext, SpikingNetwork
from ..ode.layer import Form, LeastSquaresOde
from ..ode.terms import Terms
from ..readouts import Readout
from . import blocks

Start = Literal["zero", "learned", "data"]


def ode(
    ctx: BuildContext,
    *,
    variables: int | None = None,
    order: int = 2,
    terms: list[str] | None = None,
    form: Form = "leaky",
    tau: float = 1.0,
    step: float = 1.0,
    learn_coefficients: bool = True,
    learn_step: bool = False,
    bias: bool = True,
    start: Start = "zero",
    smoothness: float = 1.0,
    answer: Literal["readout", "variables"] = "readout",
) -> SpikingNetwork:
    """Build flatten, terms, then an equation that they drive, solved by least squares; readout.

        Σ c z^{(k)} = W θ(x)        θ: products of the features of a step

    With `form` derivative, fixed coefficients, `start` data and `answer` variables W holds the
    coefficients of the equation z' = W θ(x) of the series itself. It has no spikes; `model.neuron`
    does not apply.

    Args:
        ctx: shapes and coding.
        variables: D; by default the number of outputs.
        order, form, tau, step, learn_coefficients, learn_step, bias, smoothness: as of
            `LeastSquaresOde`.
        terms: products such as `1`, `x0`, `x0*x1`; by default each feature by itself.
        start: z at the first step: `zero`, `learned`, or `data`, the first D features.
        answer: `variables` are the outputs themselves, `readout` learns weights of them.

    Raises:
        ConfigError: an option out of range, options that contradict each other, or the neuron of an
            ANN counterpart.
    """
    if not getattr(ctx.make_neuron(1), "spiking", True):
        raise ConfigError(
            "ode has no ANN counterpart",
            why=LeastSquaresOde.without_ann or "",
            remedy="leave model.neuron out; as a teacher, name another run",
        )
    for key, given, choices in (
        ("start", start, get_args(Start)),
        ("answer", answer, ("readout", "variables")),
    ):
        if given not in choices:
            raise unknown(key, given, list(choices))
    channels, *size = ctx.in_shape
    each = math.prod(size)  # features of a channel
    features = channels * each
    variables = ctx.classes if variables is None else variables
    sizes = [math.hypot(*moments) for moments in zip(ctx.mean, ctx.std, strict=True)]
    sizes = [size for size in sizes for _ in range(each)]
    names = [f"x{i}" for i in range(features)] if terms is None else terms
    drive = Terms(names, sizes)
    equation = LeastSquaresOde(
        len(names),
        variables,
        order=order,
        form=form,
        tau=tau,
        step=step,
        learn_coefficients=learn_coefficients,
        learn_step=learn_step,
        bias=bias,
        start="input" if start == "data" else start,
        smoothness=smoothness,
    )
    if start == "data":
        equation.start_from(_first_features(drive, variables, features))
    readout = ctx.make_readout(variables)
    if answer == "variables":
        _pass_on(readout, ctx)
    body = blocks.sequence(flatten=nn.Flatten(2), terms=drive, equation=equation, readout=readout)
    return SpikingNetwork(ctx.coding, body)


def _first_features(drive: Terms, variables: int, features: int) -> torch.Tensor:
    """Return what selects the first D features from the terms, `[D, K]`."""
    selection = torch.zeros(variables, len(drive.terms))
    for d in range(variables):
        if d >= features or f"x{d}" not in drive.terms:
            raise ConfigError(
                f"start=data needs the term x{d}",
                why=f"the {variables} variables start from the first {variables} features",
                remedy=f"add x{d} to model.terms, or set model.start to zero or learned",
            )
        k = drive.terms.index(f"x{d}")
        selection[d, k] = drive.scale[k]
    return selection


@torch.no_grad()
def _pass_on(readout: Readout, ctx: BuildContext) -> None:
    """Let a readout answer with its input, unchanged, and learn nothing."""
    weight = readout.linear.weight
    if weight.shape[0] != weight.shape[1] or ctx.scaled:
        raise ConfigError(
            f"answer=variables gives {weight.shape[1]} outputs, the task asks for {ctx.classes}"
            if weight.shape[0] != weight.shape[1]
            else "answer=variables does not scale the outputs",
            remedy=f"set model.variables={ctx.classes} and model.output_scale=false, or "
            "model.answer=readout",
        )
    nn.init.eye_(weight)
    if readout.linear.bias is not None:
        readout.linear.bias.zero_()
    readout.linear.requires_grad_(False)
