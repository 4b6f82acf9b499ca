"""Layers for the fused and the reference kernels, and what of both is compared."""

import copy

import torch

from asnn.models.layers.norm import SplitNorm, create_norm
from asnn.models.layers.spiking import SpikingLayer, use_kernels
from asnn.models.neurons.leaky import AdaptiveLeaky


def randomised(module, seed=0):
    """Draw every parameter and statistic at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.copy_(0.3 + 0.9 * torch.rand(value.shape, generator=generator))
                if name.endswith(("bias", "running_mean")):
                    value.sub_(0.7)
                if name.endswith("gain"):
                    value.add_(0.5)
    return module


def layer_of(shape, *, steps, norm="folded", pool=None, neuron=AdaptiveLeaky, **options):
    channels, image = shape[0], len(shape) == 3
    made = None
    if norm == "split":
        head, tail = (create_norm("folded", channels, steps=1, image=image) for _ in range(2))
        made = SplitNorm(1, head, tail)
    elif norm is not None:
        made = create_norm(norm, channels, steps=steps, image=image)
    return randomised(SpikingLayer(made, neuron(steps, channels, **options), pool))


def inputs(steps, batch, shape, *, static=False, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch if static else steps * batch, *shape, generator=generator)
    if len(shape) == 3:
        x = x.contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def run_once(layer, leaf, kernels, *, steps, static=False, dtype=torch.float32):
    """Return spikes, gradients by name, and the layer, after one forward and backward pass."""
    layer = copy.deepcopy(layer).to(dtype)
    use_kernels(layer, kernels)
    leaf = leaf.detach().to(dtype)
    if kernels == "reference":
        # torch 2.13 has a wrong gradient of batch norm where N = H = 1, the input is in
        # channels-last order and the gradient is not.
        leaf = leaf.contiguous()
    leaf.requires_grad_()
    x = leaf.expand(steps, *leaf.shape) if static else leaf.unflatten(0, (steps, -1))
    spikes = layer(x)
    assert layer.used == kernels
    weight = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(2))
    if spikes.requires_grad:
        (spikes * weight.to(dtype)).sum().backward()
    grads = {name: p.grad for name, p in layer.named_parameters()}
    return spikes.detach(), {"input": leaf.grad, **grads}, layer


def assert_close(found, expected, tolerance=1e-4, reference_grads=None):
    """Compare relative to the largest of the same name in any norm: values may cancel to 0.

    With `reference_grads`, ten times their own distance is allowed as well.
    """
    largest = {}
    for name, value in expected.items():
        if value is not None and value.numel():
            kind = name.rpartition(".")[2]
            largest[kind] = max(largest.get(kind, 1e-12), value.abs().max().item())
    for name, value in expected.items():
        if value is None:  # the leak has no effect in the first step
            assert found[name] is None or not found[name].any(), name
        elif value.numel():
            scale = largest[name.rpartition(".")[2]]
            worst = distance(found[name], value) / scale
            allowed = tolerance
            if reference_grads is not None and reference_grads[name] is not None:
                allowed = max(tolerance, 10 * distance(reference_grads[name], value) / scale)
            assert worst <= allowed, f"{name}: {worst:.2e}"


def distance(a, b):
    return (a.double() - b.double()).abs().max().item()
