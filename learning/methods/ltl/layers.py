"""A network whose layers learn by themselves: no gradient passes from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ....coding.samples import Batch
from ....core.errors import ConfigError
from ....models.layers.spiking import SpikingLayer
from ....models.network import SpikingNetwork


class SeparateLayers(nn.Module):
    """The mean output of each layer over the steps, and the mean logits, each with its gradient.

    `forward(x)` returns the logits `[1, B, K]`, whose gradient reaches the readout alone, and by
    the name of each spiking layer the mean of its outputs after the pool, `[B, C, ...]`, whose
    gradient reaches what is between the layers before it and this one. The logits are those of the
    readout's affine layer, 1/T Σ_t scale_t (W s_t + b), whatever the readout answers.
    """

    def __init__(self, model: SpikingNetwork) -> None:
        super().__init__()
        self.model = model
        # DistributedDataParallel with find_unused_parameters warns if none is unused.
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        readout, features = self.model.readout, []
        handle = readout.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        try:
            with separated(self.model) as outputs:
                self.model(x)
        finally:
            handle.remove()
        means = {name: output.mean(0) for name, output in outputs.items()}
        return readout.mean(features[0]).unsqueeze(0), means


@contextmanager
def separated(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Let no gradient pass through the output of a spiking layer while the context is open.

    Yields:
        The outputs `[T, B, C, ...]` of the last forward pass by the name of their layer below
        `body`, after pooling, with the gradient of the layer itself.
    """
    outputs: dict[str, Tensor] = {}

    def separate(name: str, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        outputs[name] = output
        return output.detach()

    handles = [
        module.register_forward_hook(partial(separate, name.removeprefix("body.")))
        for name, module in model.named_modules()
        if isinstance(module, SpikingLayer)
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def require_separable(model: SpikingNetwork) -> None:
    """Refuse a network in which the loss of a layer reaches weights of another one.

    It is tried with one sample: each parameter may have the gradient of one layer, or of the
    readout.

    Raises:
        ConfigError: with the two layers.
    """
    assert model.step_shape is not None, "networks of recipes have samples"
    was_training = model.training
    device = next(model.parameters()).device
    parameters = dict(model.named_parameters())
    learned_by: dict[str, str] = {}
    with torch.enable_grad(), separated(model.eval()) as outputs:
        logits = model.run(torch.zeros(model.coding.steps, 1, *model.step_shape, device=device))
    model.train(was_training)
    for layer, output in {**outputs, "readout": logits}.items():
        if not output.requires_grad:
            continue
        gradients = torch.autograd.grad(
            output.sum(), list(parameters.values()), allow_unused=True, retain_graph=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            other = learned_by.setdefault(name, layer)
            if other != layer:
                raise ConfigError(
                    f"the layers of a {model.config['name']} cannot learn by themselves",
                    why=f"the loss of {layer} reaches {name.removeprefix('body.')}, which is "
                    f"learned by {other}: values, not spikes, pass between them",
                    remedy="use method.name=bptt, or a network in which weights read spikes alone, "
                    "such as lenet, mlp or vgg",
                )
