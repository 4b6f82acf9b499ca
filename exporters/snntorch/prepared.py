"""A torch module as it is exported: pruned and normed weights as plain ones, wrappers removed."""

from __future__ import annotations

import copy
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ...core.errors import ConfigError
from ..tracing.kinds import refusal

QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
DYNAMIC = ("torch.ao.nn.quantized.dynamic.modules.linear", "Linear")
REFLOAT = "export the network before its quantisation; `--weights int8` rounds the weights in ONNX"


def prepared(module: nn.Module) -> nn.Module:
    """Return the network that a module computes in evaluation mode, in layers that exports know.

    The module itself if it needs nothing, else a copy of it:

        pruned weights           weight = weight_orig * weight_mask, without the hook
        weight and spectral norms, parametrisations     their weight in evaluation mode
        dynamically quantised linears     `nn.Linear` with the weights that they stand for
        `DataParallel`, `torch.compile`   the module inside

    A quantised linear also rounds its inputs, to 8 bits of the range of their batch: spikes stay
    as they are, other values change. `dequantised` names these layers.

    Raises:
        ConfigError: a tensor has no values (device meta, lazy layers), a parametrised weight
            changes from call to call, or a layer computes on quantised inputs.
    """
    _refuse_without_values(module)
    if not any(_changes(part) for part in module.modules()):
        return module
    found = copied(module).eval()
    for name, part in list(found.named_modules()):
        _bake(name, part)
    return _with_linears(found)


def dequantised(module: nn.Module) -> list[str]:
    """Return the names of the layers that round their inputs, which their exports do not."""
    return [
        name
        for name, part in module.named_modules()
        if _is_dynamic(part) and part._packed_params.dtype == torch.qint8
    ]


def _refuse_without_values(module: nn.Module) -> None:
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise ConfigError(
                f"{name} has no shape yet",
                why="its layer is lazy: it takes its shape from its first input",
                remedy="call the network once in the function that makes it",
            )
        if tensor.is_meta:
            raise ConfigError(
                f"{name} is on the device meta, where tensors have no values",
                remedy="module.to_empty(device='cpu'), then load_state_dict",
            )


def _changes(part: nn.Module) -> bool:
    """Return whether a part is not exported as it is."""
    kept_by_hooks = any(_is_weight_hook(hook) for hook in part._forward_pre_hooks.values())
    compiled = getattr(part, "_compiled_call_impl", None) is not None
    wrapped = _inside(part) is not None
    return (
        kept_by_hooks
        or compiled
        or wrapped
        or parametrize.is_parametrized(part)
        or (type(part).__module__.startswith(QUANTISED))
    )


def _inside(part: nn.Module) -> nn.Module | None:
    """Return the module in a wrapper that computes the same; None of other modules."""
    if isinstance(part, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return part.module
    dynamo = sys.modules.get("torch._dynamo")  # imported by `torch.compile`
    if dynamo is not None and isinstance(part, dynamo.OptimizedModule):
        return part._orig_mod  # type: ignore[return-value]
    return None


def copied(module: nn.Module) -> nn.Module:
    """Return a copy without wrappers."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            # Weights of hooks and membranes are results of a computation, which are not copied.
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    for part in reversed(list(module.modules())):
        inside = _inside(part)
        if inside is not None:
            memo[id(part)] = copy.deepcopy(inside, memo)
    found = copy.deepcopy(module, memo)
    for part in found.modules():
        part._compiled_call_impl = None  # of `module.compile()`
    return found


def _is_weight_hook(hook: Any) -> bool:
    return isinstance(hook, prune.BasePruningMethod | WeightNorm | SpectralNorm)


def _bake(name: str, part: nn.Module) -> None:
    """Replace what computes a weight before each call by its result."""
    for hook in list(part._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(part, hook._tensor_name)
        elif isinstance(hook, WeightNorm):
            torch.nn.utils.remove_weight_norm(part, hook.name)
        elif isinstance(hook, SpectralNorm):
            torch.nn.utils.remove_spectral_norm(part, hook.name)
    if parametrize.is_parametrized(part):
        _bake_parametrisations(name, part)


def _bake_parametrisations(name: str, part: nn.Module) -> None:
    """Replace parametrised tensors by their values.

    Not by `remove_parametrizations`: it changes the class, which the copied module shares.
    """
    values = {}
    for tensor in part.parametrizations:  # type: ignore[union-attr]
        with torch.no_grad():
            values[tensor], again = getattr(part, tensor).clone(), getattr(part, tensor)
        if not torch.equal(values[tensor], again):
            raise refusal(
                name or "the network",
                part,
                f"the parametrisation of its {tensor} gives another {tensor} at each call",
                "torch.nn.utils.parametrize.remove_parametrizations keeps one of them",
            )
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for tensor, value in values.items():
        part.register_parameter(tensor, nn.Parameter(value))


def _is_dynamic(part: nn.Module) -> bool:
    kind = type(part)  # by name: newer versions of torch may not have it
    return (kind.__module__, kind.__name__) == DYNAMIC


def _with_linears(module: nn.Module) -> nn.Module:
    """Return the module with its dynamically quantised linears as `nn.Linear`.

    Raises:
        ConfigError: another layer computes on quantised values.
    """
    if _is_dynamic(module):
        return _linear(module)
    for name, part in list(module.named_modules()):
        if _is_dynamic(part):
            module.set_submodule(name, _linear(part))
        elif type(part).__module__.startswith(QUANTISED) and not _inside_linear(module, name):
            why = "it computes on values in 8 bits, and the arithmetic of exports is float32"
            raise refusal(name or "the network", part, why, REFLOAT)
    return module


def _inside_linear(module: nn.Module, name: str) -> bool:
    """Return whether a part was in a linear that is replaced, as its packed weights are."""
    above = name.rpartition(".")[0]
    return bool(above) and isinstance(module.get_submodule(above), nn.Linear)


def _linear(part: Any) -> nn.Linear:
    weight, bias = part.weight(), part.bias()
    weight = weight.dequantize() if weight.is_quantized else weight.float()
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().float().clone(), requires_grad=False)
    return linear.eval()
