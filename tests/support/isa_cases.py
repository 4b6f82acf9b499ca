"""Small cases of the CPU kernels, computed in a process with a given `ASNN_CPU_ISA`."""

import re
import sys
import warnings

import numpy as np
import torch
from numba import cfunc, types

from asnn.kernels.contract import Convolution
from asnn.kernels.convolution import Paths, spike_convolution
from asnn.kernels.cpu import backend, isa
from asnn.kernels.cpu.simd import load, multiply_add, store
from asnn.models import use_kernels
from asnn.models.layers.norm import create_norm
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.leaky import AdaptiveLeaky


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(kernels, reset):
    """Return spikes and gradients of a layer of 24 channels: 16 and 8, or three times 8."""
    torch.manual_seed(0)
    norm = create_norm("folded", 24, steps=3, image=True)
    made = SpikingLayer(norm, AdaptiveLeaky(3, 24, reset=reset), torch.nn.MaxPool2d(2))
    use_kernels(made, kernels)
    x = drawn(3, 5, 24, 6, 7).requires_grad_()
    out = made(x)
    (out * drawn(*out.shape, seed=1)).sum().backward()
    grads = {name: p.grad.numpy() for name, p in made.named_parameters() if p.grad is not None}
    return {"spikes": out.detach().numpy(), "x": x.grad.numpy(), **grads}


def convolution(way, dtype=torch.float32):
    """Return output and gradients of a convolution of spikes; `way` None is torch's."""
    x = (drawn(6, 16, 5, 7) > 1).to(dtype).requires_grad_()
    weight, bias = drawn(48, 16, 3, 3, seed=2), drawn(48, seed=3)
    weight, bias = weight.to(dtype).requires_grad_(), bias.to(dtype)
    if way is None:
        out = torch.nn.functional.conv2d(x, weight, bias, padding=1)
    else:
        shape = Convolution(6, (5, 7), (16, 48), (3, 3), (1, 1), (1, 1))
        paths = Paths(way, way, "tiles" if way == "tiles" else "dense")
        out = spike_convolution(
            x, weight, bias, prefix=None, backend=backend, shape=shape, paths=paths
        )
    (out * drawn(*out.shape, seed=4)).sum().backward()
    return {"out": out.detach().numpy(), "x": x.grad.numpy(), "weight": weight.grad.numpy()}


def registers():
    """Return the kinds of registers in code that numba compiles from vectors of 16 values."""

    @cfunc(types.void(types.int64))
    def task(address):
        x = load(16, address, 0)
        store(address, 16, multiply_add(x, x, x))

    return sorted(set(re.findall("[xyz]mm(?=[0-9])", task._library.get_asm_str())))


def main(path):
    """Write the results of all cases, and what this process uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {"used": isa.used(), "wide": backend.has_wide_registers()}
        found["tiles"], found["registers"] = backend.has_tiles(), registers()
        for reset in ("subtract", "zero", "none"):
            for name, value in layer("fused", reset).items():
                found[f"layer.{reset}.{name}"] = value
        ways = ["events", "tiles"] if found["tiles"] else ["events"]
        for way in ways:
            for name, value in convolution(way).items():
                found[f"{way}.{name}"] = value
    np.savez(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
