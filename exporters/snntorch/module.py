"""A torch module with neurons of snnTorch, made without asnn, as a subject of exports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn

from ...coding.direct import Direct
from ...core.errors import AsnnError, ConfigError, VerificationError
from ..graph import ir as g
from ..graph.interpreter import run
from ..source import Answer, ExportSource, random_samples
from ..verification.parity import Parity
from .layers import end_with_readout, fold_norms, over_steps
from .neurons import fires_otherwise, has_condition
from .tracing import ONE_STEP, Reading, read_module
from .values import at

HOLDS = (
    "no membrane of {} that a reset leaves above its threshold comes to between once and twice the "
    "threshold in the next step"
)
TRIAL = 4  # samples of noise that a network is run on before it is exported


def source_of_module(
    module: nn.Module,
    *,
    in_shape: tuple[int, ...],
    steps: int | None = None,
    about: dict[str, Any] | None = None,
) -> ExportSource:
    """Return a network of torch layers and snnTorch's neurons as a subject.

    The network is shown the same image at every step; its answer is the mean over the steps of
    what its last layer gives: spikes of a neuron, or values of a linear layer. The module's forward
    makes one step, with `init_hidden=True` or with membranes that it takes and returns, or all
    steps in a loop of its own, of which it returns `torch.stack`. It is put into evaluation mode.

    Args:
        module: the network, its weights float32.
        in_shape: of one image, (C, H, W) or (F,).
        steps: T; None where the forward loops over its steps itself.
        about: what the graph is to say of itself beside the module's name.

    Raises:
        ConfigError: the graph cannot say what the module does, or the number of steps is missing.
        VerificationError: the graph does not compute what the module does, on noise.

    Example:
        >>> import snntorch as snn
        >>> net = nn.Sequential(nn.Linear(8, 3), snn.Leaky(beta=0.9, init_hidden=True))
        >>> source_of_module(net, in_shape=(8,), steps=4).graph.classes
        3
    """
    _check(module)
    module.eval()
    reading = read_module(module, in_shape)
    steps = _steps_of(reading, steps)
    coding = Direct(steps=steps)
    graph = _graph_of(module, reading, in_shape, steps, about or {})
    answer = _eager(module, reading, steps)
    # The image is shown at every step, so that one step of the code is the image.
    subject = ExportSource(graph, coding, lambda code: Answer(answer(code[0])))
    _try(subject, module, reading)
    return subject


def _check(module: nn.Module) -> None:
    """Refuse a module that cannot be what is wanted, whatever its forward does."""
    kind = type(module).__name__
    if not any(isinstance(part, SpikingNeuron) for part in module.modules()):
        raise ConfigError(
            f"{kind} holds no neuron of snnTorch", remedy="give a network with snn.Leaky neurons"
        )
    if isinstance(module, SpikingNeuron):
        raise ConfigError(f"{kind} is a neuron and no network", remedy="put it in nn.Sequential")
    for name, part in module.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            raise ConfigError(
                f"layer {name!r} has hooks, which can change what it computes",
                remedy="remove them (weight norms too: torch.nn.utils.remove_weight_norm)",
            )
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.dtype != torch.float32:
            raise ConfigError(f"{name} is {tensor.dtype}", remedy="give module.float()")
        if not bool(tensor.isfinite().all()):
            raise ConfigError(f"{name} is not finite", remedy="train again, or load other weights")


def _steps_of(reading: Reading, steps: int | None) -> int:
    own = reading.own_steps
    if own is not None:
        if steps not in (None, own):
            raise ConfigError(
                f"the forward makes {own} steps by itself, not {steps}",
                remedy=f"leave the number of steps away, or {ONE_STEP}",
            )
        return own
    if steps is None:
        raise ConfigError(
            "the number of time steps is missing",
            why="the forward makes one step",
            remedy="say --steps",
        )
    if reading.begins_anew and steps > 1:
        raise ConfigError(
            "the forward makes one step and begins at rest each time",
            why="nothing would last from step to step",
            remedy="take the membranes and return them, use init_hidden=True without a reset in "
            "the forward, or loop over the steps in it",
        )
    return steps


def _graph_of(
    module: nn.Module, reading: Reading, in_shape: g.Shape, steps: int, about: dict[str, Any]
) -> g.Graph:
    shape = g.Graph(tuple(reading.nodes), in_shape, 1).shapes[reading.output]
    if len(shape) != 1:
        raise ConfigError(
            f"the network answers with the shape {list(shape)}",
            why="an answer is one value for each class",
            remedy="flatten, and end with a linear layer or its neuron",
        )
    nodes = reading.nodes
    if nodes[-1].name != reading.output:
        raise AssertionError("the answer follows all that it needs")
    nodes = fold_norms(nodes)
    nodes = end_with_readout(nodes, nodes[-1].name, shape)
    network = {"from": "snntorch", "module": type(module).__name__}
    told: dict[str, Any] = {"network": network, **about}
    conditional = [name for name in reading.neurons if has_condition(module.get_submodule(name))]
    if conditional:
        told["holds_while"] = HOLDS.format(", ".join(conditional))
    laid = tuple(over_steps(node, steps) for node in nodes)
    graph = g.Graph(laid, in_shape=in_shape, steps=steps, static=True, about=told)
    assert graph.shapes  # every layer takes what it is given
    return graph


def _eager(module: nn.Module, reading: Reading, steps: int) -> Callable[[Tensor], Tensor]:
    """Return the module as a function of images `[B, ...]` that gives `[T, B, K]`, from rest."""

    def eager(images: Tensor) -> Tensor:
        device = next((p.device for p in [*module.parameters(), *module.buffers()]), None)
        x = images if device is None else images.to(device)
        with torch.no_grad(), _watched(module):
            for part in module.modules():
                if isinstance(part, SpikingNeuron):
                    part.reset_mem()  # type: ignore[operator]
            states: dict[str, Any] = dict.fromkeys(reading.idle)
            for argument, (neuron, _) in reading.states.items():
                states[argument] = module.get_submodule(neuron).mem
            if reading.own_steps is not None:
                code = x.expand(steps, *x.shape) if reading.by_step else x
                return at(module(code, **states), reading.path).cpu()
            found = []
            for _ in range(steps):
                returned = module(x, **states)
                found.append(at(returned, reading.path))
                for argument, (_, place) in reading.states.items():
                    states[argument] = at(returned, place)
            return torch.stack(found).cpu()

    return eager


@contextlib.contextmanager
def _watched(module: nn.Module) -> Iterator[None]:
    """See to it that neurons which the graph says under a condition keep to it.

    Raises:
        VerificationError: one of them does not.
    """

    def watch(name: str) -> Callable[[nn.Module, Any], None]:
        def check(neuron: nn.Module, given: Any) -> None:
            if fires_otherwise(neuron, given[0]):
                raise VerificationError(
                    f"layer {name!r} fires otherwise than the exported neuron on these samples",
                    why="snnTorch's reset_delay=False takes the threshold off twice where a "
                    "membrane stays above it",
                    remedy="train with reset_delay=True, or with reset_mechanism='zero'",
                )

        return check

    hooks = [
        part.register_forward_pre_hook(watch(name))
        for name, part in module.named_modules()
        if isinstance(part, SpikingNeuron) and has_condition(part)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _try(subject: ExportSource, module: nn.Module, reading: Reading) -> None:
    """Run the module and its graph on noise: was it read rightly?"""
    kind, graph = type(module).__name__, subject.graph
    images = random_samples(graph.in_shape, TRIAL).images
    try:
        code = subject.encode(images)
        logits = subject.eager(torch.from_numpy(code)).logits.numpy()
    except VerificationError:
        return  # noise breaks a condition that samples may keep
    except AsnnError:
        raise
    except Exception as error:  # whatever a forward of somebody else raises
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"{kind} fails on images of the shape {list(graph.in_shape)}",
            why=why,
            remedy="give the shape that it takes, without the batch",
        ) from error
    wanted = (graph.steps, TRIAL, graph.classes)
    if logits.shape != wanted:
        raise ConfigError(f"{kind} answers with {list(logits.shape)}, not {list(wanted)}")
    parity = Parity(graph, kind)
    parity.add(run(graph, code), logits.mean(0))
    if parity.fault is not None:
        raise VerificationError(
            f"{kind} computes something else than the graph that was made of it",
            why=str(parity.fault),
            remedy=ONE_STEP,
        )
