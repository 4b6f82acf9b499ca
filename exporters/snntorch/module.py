"""A torch module of the user, with neurons of snnTorch or asnn, as the source of exports."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...coding.given import Given
from ...coding.images.direct import Direct
from ...core.errors import AsnnError, ConfigError, VerificationError
from ...models.network import SpikingNetwork
from ..graph import ir as g
from ..graph.amplitudes import fold_amplitudes
from ..graph.answer import Answer
from ..graph.arrays import check_finite
from ..graph.interpreter import Trace, run
from ..source import ExportSource, NetworkOutput, random_samples, source_of
from ..tracing.calls import ONE_STEP
from ..tracing.capture import reset_by_snntorch
from ..tracing.forward import TracedForward, missing_steps, trace_module
from ..tracing.kinds import (
    declared_steps,
    is_snntorch,
    lowers_itself,
    snntorch_neurons,
    state_at_rest,
)
from ..tracing.neurons import has_condition, require_supported, violates_condition
from ..verification.neurons import check_neurons
from ..verification.parity import Parity
from .layers import end_with_readout, flattened, fold_norms, over_steps
from .one_step import with_all_steps
from .prepared import dequantised, prepared

CONDITION = (
    "no membrane of {} that a reset leaves above its threshold comes to between once and twice the "
    "threshold in the next step"
)
NOISE_SAMPLES = 16  # on which a network is compared with its graph
NOISE_SCALES = (1.0, 10.0, 100.0)  # until every layer of neurons has fired


def source_of_module(
    module: nn.Module,
    *,
    in_shape: tuple[int, ...],
    steps: int | None = None,
    about: dict[str, Any] | None = None,
    frames: bool = False,
    notify: Callable[[str], None] | None = None,
) -> ExportSource:
    """Return a network of torch layers and neurons of snnTorch or asnn as the source of exports.

    The input of the network is an image, the same at every step, or all steps if that is what the
    forward takes, `[T, B, ...]`. Its output is the mean over the steps
    of its last layer: spikes of a neuron, or values of a linear layer; or their sum or the last, if
    the forward returns that. The forward runs one step, with `init_hidden=True` or with membranes
    as arguments and return values; or all steps in a loop of its own, of which it returns the
    `torch.stack`; or all steps at once, `[T, B, ...]`, as asnn's neurons do. It runs in evaluation
    mode.

    Args:
        module: the network, its weights float32. A `SpikingNetwork` of asnn is passed to
            `source_of`.
        in_shape: of one image or of one step, (C, H, W) or (F,).
        steps: T; None if the forward loops over the steps itself, or its neurons have parameters
            for T steps.
        about: metadata for the file, beside the name of the module.
        frames: whether a forward that makes one step is given another frame at each step, as of
            events, instead of one image at all of them.
        notify: called with a note where the output is not the first value that the forward returns.

    Raises:
        ConfigError: the graph has no node for a layer, the number of steps is missing, or the
            forward makes all steps of one image, which cannot be given frames.
        VerificationError: graph and module differ on noise, or a neuron of the user computes
            something else than it says.

    Example:
        >>> import snntorch as snn
        >>> net = nn.Sequential(nn.Linear(8, 3), snn.Leaky(beta=0.9, init_hidden=True))
        >>> source_of_module(net, in_shape=(8,), steps=4).graph.classes
        3
    """
    if isinstance(module, SpikingNetwork):
        return _of_network(module, in_shape, steps, about)
    rounded = dequantised(module)
    module = prepared(module)
    _check(module)
    with _evaluating(module):
        module = with_all_steps(module, in_shape, steps, frames=frames, notify=notify)
    traced = trace_module(module, in_shape, steps)
    steps = _steps_of(module, traced, steps)
    if notify is not None and traced.outputs[0] > 0:
        number = traced.outputs[0] + 1
        notify(f"the output is value number {number} that the forward returns, of {traced.output}")
    shape = g.Graph(tuple(traced.nodes), in_shape, 1).shapes[traced.output]
    if notify is not None and len(shape) > 1:
        notify(f"the output {list(shape)} is flattened to {prod(shape)} values, channel by channel")
    if frames and traced.runs_all and not traced.by_step:
        raise ConfigError(
            "the forward makes all steps of one image",
            why="it takes no other frame at each step",
            remedy="read x[step] in its loop, or take all steps, [T, B, ...]",
        )
    by_step = traced.by_step or frames
    coding = Given(steps=steps) if by_step else Direct(steps=steps)
    about = {**({"dequantised": ", ".join(rounded)} if rounded else {}), **(about or {})}
    graph = replace(_graph_of(module, traced, in_shape, steps, about), static=not by_step)
    source = ExportSource(graph, coding, _eager(module, traced, graph))
    _check_on_noise(source, module, traced)
    return source


def _of_network(
    network: SpikingNetwork, in_shape: tuple[int, ...], steps: int | None, about: Any
) -> ExportSource:
    own = network.coding.steps
    if steps not in (None, own):
        raise ConfigError(f"the network makes {own} steps, not {steps}", remedy="omit --steps")
    return source_of(network, about, in_shape=in_shape)


def _check(module: nn.Module) -> None:
    """Refuse a module that cannot be exported, whatever its forward computes."""
    kind = type(module).__name__
    if is_snntorch(module) or lowers_itself(module):
        raise ConfigError(f"{kind} is a neuron, not a network", remedy="put it in nn.Sequential")
    for name, part in module.named_modules():
        if is_snntorch(part):
            require_supported(name, part)
        if isinstance(part, torch.jit.ScriptModule):
            raise ConfigError(
                f"layer {name!r} is a script of torch.jit" if name else "the network is a script",
                why="its forward cannot be captured",
                remedy="give the module that torch.jit.script was called with",
            )
        if part._forward_hooks or part._forward_pre_hooks:
            raise ConfigError(
                f"layer {name!r} has hooks, which can change its output",
                remedy="remove them (weight norms too: torch.nn.utils.remove_weight_norm)",
            )
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.dtype != torch.float32:
            raise ConfigError(f"{name} is {tensor.dtype}", remedy="give module.float()")
        if not bool(tensor.isfinite().all()):
            raise ConfigError(f"{name} is not finite", remedy="train again, or load other weights")


def _steps_of(module: nn.Module, traced: TracedForward, steps: int | None) -> int:
    own = traced.own_steps
    if own is not None:
        return own
    if steps is None:
        declared = declared_steps(module)
        if len(declared) != 1:
            raise missing_steps(declared)
        steps = declared.pop()
    if traced.runs_all:
        return steps
    if traced.starts_from_rest and steps > 1:
        raise ConfigError(
            "the forward makes one step and starts from rest in each call",
            why="no membrane would last from step to step",
            remedy="take the membranes and return them, use init_hidden=True without a reset in "
            "the forward, or loop over the steps in it",
        )
    return steps


def _graph_of(
    module: nn.Module, traced: TracedForward, in_shape: g.Shape, steps: int, about: dict[str, Any]
) -> g.Graph:
    nodes = traced.nodes
    if nodes[-1].name != traced.output:
        raise AssertionError("the output must be the last node")
    shape = g.Graph(tuple(nodes), in_shape, 1).shapes[traced.output]
    if len(shape) != 1:
        nodes, shape = [*nodes, flattened(nodes, shape)], (prod(shape),)
    lowered = tuple(over_steps(node, steps) for node in nodes)
    check_neurons(g.Graph(lowered, in_shape, steps), traced.parts)
    nodes = fold_norms(nodes)
    nodes = end_with_readout(nodes, nodes[-1].name, shape)
    neurons = "snntorch" if any(snntorch_neurons(module)) else "asnn"
    network = {"from": neurons, "module": type(module).__name__}
    about = {"network": network, **about}
    if traced.heads:
        each = shape[0] // sum(traced.heads.values())
        about["heads"] = {name: size * each for name, size in traced.heads.items()}
    called = {name: module.get_submodule(name) for name in traced.neurons}
    conditional = [name for name, n in called.items() if is_snntorch(n) and has_condition(n)]
    if conditional:
        about["holds_while"] = CONDITION.format(", ".join(conditional))
    repeated = [over_steps(node, steps) for node in nodes]
    answer = traced.answer or Answer()
    if traced.reduced is not None:
        answer = Answer(traced.reduced[0])
    last = repeated[-1]
    if traced.reduced is not None and isinstance(last, g.Readout):
        repeated[-1] = replace(last, scale=last.scale * np.array(traced.reduced[1], np.float32))
    graph = g.Graph(
        tuple(repeated), in_shape, steps, static=not traced.by_step, about=about, answer=answer
    )
    check_finite(graph)
    assert graph.shapes  # every layer accepts its input
    return fold_amplitudes(graph)


def _eager(
    module: nn.Module, traced: TracedForward, graph: g.Graph
) -> Callable[[Tensor], NetworkOutput]:
    """Return the module as a function of a code `[T, B, ...]`, from rest."""
    steps = graph.steps

    def eager(code: Tensor) -> NetworkOutput:
        device = next((p.device for p in [*module.parameters(), *module.buffers()]), None)
        code = code if device is None else code.to(device)
        with (
            torch.no_grad(),
            _evaluating(module),
            reset_by_snntorch(list(snntorch_neurons(module))),
            _prints_to_stderr(),
            _conditions_checked(module),
            _spikes_recorded(module, traced, graph) as spikes,
        ):
            for part in snntorch_neurons(module):
                part.reset_mem()
            states = {
                path: torch.zeros(0) if is_snntorch(neuron) else state_at_rest(neuron)
                for path, (where, _) in traced.states.items()
                for neuron in [module.get_submodule(where)]
            }
            if traced.runs_all:
                leaves = traced.leaves(module(traced.arranged(code), **traced.arguments(states)))
                output = traced.output_of(leaves).cpu()
                if traced.reduced is not None:
                    return NetworkOutput(None, spikes(), output)
                return NetworkOutput(output, spikes())
            found = []
            for t in range(steps):  # an image is the same at every step
                x = traced.arranged(code[t:])
                leaves = traced.leaves(module(x, **traced.arguments(states)))
                found.append(traced.output_of(leaves))
                states = {
                    path: leaves[leaf]
                    for path, (_, leaf) in traced.states.items()
                    if leaf is not None
                }
            return NetworkOutput(torch.stack(found).cpu(), spikes())

    return eager


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Run a module in evaluation mode, and leave its parts in theirs."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _prints_to_stderr() -> contextlib.AbstractContextManager[Any]:
    """Keep what the user's forward prints out of stdout, which carries data."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def _spikes_recorded(
    module: nn.Module, traced: TracedForward, graph: g.Graph
) -> Iterator[Callable[[], dict[str, Tensor]]]:
    """Record the spikes of snnTorch's neurons; a function returns them, `[T, B, ...]`, by node."""
    nodes = {node.name for node in graph.neurons}
    recorded: dict[str, list[Tensor]] = {}

    def record_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(neuron: nn.Module, inputs: Any, returned: Any) -> None:
            spikes = returned[0] if isinstance(returned, tuple) else returned
            recorded.setdefault(name, []).append(spikes.detach().cpu())

        return record

    def found() -> dict[str, Tensor]:
        return {
            name: torch.stack(each).reshape(len(each), len(each[0]), *graph.shapes[name])
            for name, each in recorded.items()
            if len(each) == graph.steps
        }

    hooks = [
        module.get_submodule(where).register_forward_hook(record_of(name))
        for where, name in traced.neurons.items()
        if name in nodes and is_snntorch(module.get_submodule(where))
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def _conditions_checked(module: nn.Module) -> Iterator[None]:
    """Check the neurons that are exact under a condition only.

    Raises:
        VerificationError: a neuron violates its condition.
    """

    def check_of(name: str) -> Callable[[nn.Module, Any], None]:
        def check(neuron: nn.Module, inputs: Any) -> None:
            if violates_condition(neuron, inputs[0]):
                raise VerificationError(
                    f"layer {name!r} does not fire like the exported neuron on these samples",
                    why="snnTorch's reset_delay=False subtracts the threshold twice where a "
                    "membrane stays above it",
                    remedy="train with reset_delay=True, or with reset_mechanism='zero'",
                )

        return check

    hooks = [
        part.register_forward_pre_hook(check_of(name))
        for name, part in module.named_modules()
        if is_snntorch(part) and has_condition(part)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check_on_noise(source: ExportSource, module: nn.Module, traced: TracedForward) -> None:
    """Compare the module with its graph on noise, on which neurons fire if they can."""
    code = source.encode(random_samples(source.sample_shape, NOISE_SAMPLES).images)
    for scale in NOISE_SCALES:
        trace = run(source.graph, code * np.float32(scale))
        _check_on(trace, source, module, traced)
        if all(trace.values[node.name].any() for node in source.graph.neurons):
            return


def _check_on(trace: Trace, source: ExportSource, module: nn.Module, traced: TracedForward) -> None:
    """Compare the module with the values of its graph."""
    kind, graph = type(module).__name__, source.graph
    code = trace.values[g.INPUT]
    try:
        output = source.eager(torch.from_numpy(code))
    except VerificationError:
        return  # noise violates a condition that samples may meet
    except AsnnError:
        raise
    except Exception as error:  # of the user's forward
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"{kind} fails on {'images' if source.takes_images else 'samples'} of the shape "
            f"{list(source.sample_shape)}",
            why=why,
            remedy="give the shape of its input, without the batch",
        ) from error
    found = output.answer if output.logits is None else output.logits
    assert found is not None
    every = (NOISE_SAMPLES, graph.classes)
    expected = every if output.logits is None else (graph.steps, *every)
    if found.shape != expected:
        raise ConfigError(
            f"the output of {kind} has the shape {list(found.shape)}, not {list(expected)}"
        )
    answer = found.numpy() if output.logits is None else graph.answer.of(found.numpy())
    parity = Parity(graph, kind)
    spikes = {name: x.numpy() for name, x in (output.spikes or {}).items()}
    if traced.replay is not None:
        values = traced.replay.values(traced.arranged(torch.from_numpy(code)))
        spikes |= {n: x.numpy() for n, x in values.items() if len(x) == graph.steps}
    parity.add(trace, answer, spikes)
    if parity.verdict is not None:
        raise VerificationError(
            f"{kind} and the graph lowered from it differ",
            why=parity.verdict,
            remedy=ONE_STEP,
        )
