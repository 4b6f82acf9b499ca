"""Memory of a training step at several T: python -m studies.memory [--steps 4,16,64] [--only TEXT]

For each way to train a network, without and with a graph through time (with `--only`, for those
whose name contains TEXT):

- saved: most bytes that autograd keeps at a time for a backward pass (each storage once);
- largest: bytes of the largest tensor that an operator gives in the step, or that it is a view of;
- peak: growth of the resident memory in training steps, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asnn.benchmarks.probe import peak_growth
from asnn.coding.samples import SampleSpec
from asnn.datasets.transforms.mixing import Targets
from asnn.learning.methods import create_method
from asnn.learning.methods.tandem.chain import find_chain
from asnn.learning.methods.tandem.network import Coupled, Hybrid
from asnn.models import create_model, use_kernels
from asnn.tasks.classification import Classification

BATCH, SIDE = 64, 28
LENET = {"widths": [16, 32], "hidden": 128, "pool": "mean"}
MLP = {"features": [256, 256, 256]}
DSR = {"gradient": "representation", "amplitude": 2.0, "fraction": 0.5, "learn_amplitude": True}
MB = 2**20


def _network(steps: int, **neuron: Any) -> Any:
    torch.manual_seed(0)
    return create_model(
        "lenet",
        in_shape=(1, SIDE, SIDE),
        classes=10,
        coding="impulse",
        steps=steps,
        neuron="integrate",
        neuron_options=neuron,
        output_scale=False,
        **LENET,
    )


def _tandem(steps: int) -> nn.Module:
    """The first stage, in which most layers learn."""
    model = _network(steps, gradient="none")
    chain = find_chain(model)
    for layer in chain.before(1).values():
        layer.requires_grad_(False).eval()
    return Hybrid(model, chain, 1)


def _all_at_once(steps: int) -> nn.Module:
    model = _network(steps, gradient="none")
    return Coupled(model, find_chain(model))


def _represented(steps: int, name: str, kernels: str, **options: Any) -> nn.Module:
    """A network of represented neurons with the code `direct`."""
    torch.manual_seed(0)
    model = create_model(
        name,
        in_shape=(1, SIDE, SIDE),
        classes=10,
        coding="direct",
        steps=steps,
        neuron="integrate",
        neuron_options=DSR,
        output_scale=False,
        **options,
    )
    use_kernels(model, kernels)
    return model


class _SpikingJelly(nn.Module):
    """The same network of SpikingJelly's nodes."""

    def __init__(self, steps: int, name: str) -> None:
        from spikingjelly.activation_based import functional, layer, neuron

        super().__init__()

        def node() -> nn.Module:
            return neuron.DSRIFNode(T=steps, v_threshold=2.0, alpha=0.5)

        parts: list[nn.Module] = []
        if name == "mlp":
            size = SIDE * SIDE
            parts.append(layer.Flatten())
        else:
            channels, side = 1, SIDE
            for out in LENET["widths"]:
                conv = layer.Conv2d(channels, out, kernel_size=3, padding=1, bias=False)
                parts += [conv, layer.BatchNorm2d(out), node(), layer.AvgPool2d(2)]
                channels, side = out, side // 2
            parts.append(layer.Flatten())
            size = channels * side * side
        for out in MLP["features"] if name == "mlp" else [LENET["hidden"]]:
            parts += [layer.Linear(size, out, bias=False), layer.BatchNorm1d(out), node()]
            size = out
        self.net, self.steps = nn.Sequential(*parts, layer.Linear(size, 10)), steps
        functional.set_step_mode(self.net, "m")
        self.reset = functional.reset_net

    def mean_logits(self, images: Tensor) -> Tensor:
        self.reset(self.net)
        return self.net(images.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)).mean(0)


WAYS: dict[str, Callable[[int], nn.Module]] = {
    "tandem": _tandem,
    "tandem, freeze none": _all_at_once,
    "representation": lambda steps: _network(steps, gradient="representation"),
    "surrogate": lambda steps: _network(steps, gradient="surrogate"),
}
for _name, _options in (("mlp", MLP), ("lenet", LENET)):
    for _way, _kernels in (("together", "auto"), ("one by one", "reference")):
        WAYS[f"dsr {_name}, layers {_way}"] = partial(
            _represented, name=_name, kernels=_kernels, **_options
        )
    WAYS[f"dsr {_name}, SpikingJelly"] = partial(_SpikingJelly, name=_name)


class TrainingStep:
    """A training step with one batch of random images."""

    def __init__(self, network: Any, batch: int = BATCH, side: int = SIDE) -> None:
        self.network = network
        self.images = torch.rand(batch, 1, side, side, generator=torch.Generator().manual_seed(0))
        learned = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learned, 1e-3)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        labels = torch.arange(len(self.images)) % 10
        nn.functional.cross_entropy(self.network.mean_logits(self.images), labels).backward()
        self.optimizer.step()


class OnlineStep:
    """The training of a batch of random series by a rule that learns at every step, or of the same
    network by `bptt`."""

    def __init__(self, method: str, steps: int, neuron: str, **options: Any) -> None:
        torch.manual_seed(0)
        spec = SampleSpec("series", (8,), steps=steps, binary=True)
        self.model = create_model(
            "trace-mlp",
            in_shape=spec.shape,
            classes=6,
            sample=spec,
            coding="given",
            steps=steps,
            neuron=neuron,
            neuron_options=options,
            synapse="traces",
            output_scale=False,
            readout_synapse=method == "glm",
        )
        draw = torch.Generator().manual_seed(0)
        self.x = (torch.rand(32, steps, 8, generator=draw) < 0.1).float()
        y = torch.arange(32) % 6
        self.targets, self.task = Targets(y, y, 1), Classification.of(6)
        self.method = create_method(method)
        self.method.bind(self.model, SimpleNamespace(seed=0))
        learned = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learned, 1e-3)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        if self.method.name == "bptt":
            self.task.loss(self.model(self.x), self.targets).backward()
            self.optimizer.step()
            return
        for _ in self.method.learn(self, self.x, self.targets, 1.0):
            self.optimizer.step()


REFRACTORY = {"tau": 2.321, "threshold": 0.35, "surrogate": "fast_sigmoid", "alpha": 10.0}
ONLINE: dict[str, Callable[[int], OnlineStep]] = {
    "online decolle": lambda steps: OnlineStep("decolle", steps, "iir", **REFRACTORY),
    "online glm, hidden neurons": lambda steps: OnlineStep("glm", steps, "fixed", noise="logistic"),
    "online network by bptt": lambda steps: OnlineStep("bptt", steps, "iir", **REFRACTORY),
}


def step_of(way: str, steps: int) -> TrainingStep | OnlineStep:
    """Return a training step of a way to train, at T = `steps`."""
    return ONLINE[way](steps) if way in ONLINE else TrainingStep(WAYS[way](steps))


def saved_bytes(step: Callable[[], None]) -> int:
    """Return the most bytes of storages that autograd keeps at a time in a step."""
    storages: dict[int, list[int]] = {}  # by address: how often it is kept, and its size
    found = {"now": 0, "most": 0}

    class Kept:
        """A tensor that autograd keeps until this is dropped."""

        def __init__(self, value: Tensor) -> None:
            self.value, storage = value, value.untyped_storage()
            self.address = storage.data_ptr()
            entry = storages.setdefault(self.address, [0, storage.nbytes()])
            found["now"] += 0 if entry[0] else entry[1]
            entry[0] += 1
            found["most"] = max(found.values())

        def __del__(self) -> None:
            entry = storages[self.address]
            entry[0] -= 1
            if not entry[0]:
                found["now"] -= storages.pop(self.address)[1]

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        step()
    return found["most"]


def largest_tensor(step: Callable[[], None]) -> int:
    """Return the bytes of the largest tensor that an operator of torch gives in a step."""
    watch = _Largest()
    with watch:
        step()
    return watch.size


class _Largest(TorchDispatchMode):
    """Sees the results of every operator."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, list | tuple) else [found]:
            if isinstance(value, Tensor):
                self.size = max(self.size, value.untyped_storage().nbytes())
        return found


def _peak(way: str, steps: int) -> int | None:
    """Return the growth of the resident memory in training steps, measured in a process alone."""
    command = [sys.executable, "-m", "studies.memory", "--way", way, "--steps", str(steps)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)["peak"]


def main(arguments: list[str] | None = None) -> None:
    """Print the table, or with `--way` the peak of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default="4,16,64")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--way", choices=[*WAYS, *ONLINE])
    given = parser.parse_args(arguments)
    steps = [int(number) for number in given.steps.split(",")]
    torch.set_num_threads(1)
    if given.way:
        step = step_of(given.way, steps[0])
        step()
        print(json.dumps({"peak": peak_growth(step, 3)[0]}))
        return
    print("| | T | saved MB | largest MB | peak MB |\n|---|---:|---:|---:|---:|")
    for way in [*WAYS, *ONLINE]:
        for number in steps if given.only in way else []:
            step = step_of(way, number)
            step()
            figures = [saved_bytes(step), largest_tensor(step), _peak(way, number)]
            shown = " | ".join("–" if each is None else f"{each / MB:.1f}" for each in figures)
            print(f"| {way} | {number} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
