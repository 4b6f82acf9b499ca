"""A package outside the tree that adds one of everything: `eventful`, as text to be installed."""

from contextlib import AbstractContextManager
from pathlib import Path

from asnn.coding import coding_registry
from asnn.datasets.load import dataset_registry
from asnn.learning.methods import method_registry
from asnn.models import model_registry
from asnn.models.readouts import readout_registry
from asnn.models.synapses import synapse_registry
from asnn.tasks import task_registry
from tests.support.installed_package import findable, install

PARTS = '''
    import numpy as np
    import torch
    from torch import Tensor

    from asnn.coding import Coding
    from asnn.coding.samples import SampleSpec
    from asnn.core.metric import Metric
    from asnn.datasets.base import Source, Split
    from asnn.datasets.events import Events
    from asnn.models.readouts import Readout
    from asnn.tasks import Meter, Result, Task

    SENSOR, DURATION = (2, 6, 6), 900


    class Halves(Coding):
        """Whether each pixel had an on event in each of T windows."""

        name = "halves"
        takes = frozenset({"events"})
        analog_steps = 0

        def __init__(self, *, steps: int, shortest: int = 1) -> None:
            super().__init__(steps=steps)
            self.shortest = shortest

        def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
            return (1, *spec.shape[1:])

        def encode(self, x):
            code = torch.zeros(self.steps, len(x), 1, *SENSOR[1:])
            on = x.kept(x.p == 1)
            code[on.t * self.steps // x.duration, on.sample, 0, on.y, on.x] = 1.0
            return code


    def blinks(*, recordings: int = 60) -> Source:
        """Recordings whose target is the share of their on events."""
        random = np.random.default_rng(0)
        count = np.full(recordings, 40)
        share = random.uniform(0.1, 0.9, recordings)
        t = np.sort(random.integers(0, DURATION, (recordings, 40)), 1).reshape(-1)
        x, y = random.integers(0, 6, (2, recordings * 40))
        p = (random.uniform(size=(recordings, 40)) < share[:, None]).astype(np.int64).reshape(-1)
        events = Events(t, x, y, p, np.arange(recordings) * 40, count, SENSOR, DURATION)
        spec = SampleSpec("events", SENSOR, duration=DURATION)
        return Source(Split(events, torch.from_numpy(share).float()), None, [], spec=spec)


    class Median(Readout):
        """The answer is the median of the outputs over the steps."""

        answers_with_mean = False

        def __init__(self, features, classes, *, steps, scaled, clip: float = 5.0) -> None:
            super().__init__(features, classes, steps=steps, scaled=scaled)
            self.clip = clip

        def so_far(self, outputs: Tensor) -> Tensor:
            return torch.stack([outputs[: t + 1].median(0).values for t in range(len(outputs))])

        def answer(self, outputs: Tensor) -> Tensor:
            return outputs.clamp(-self.clip, self.clip).median(0).values


    class Share(Task):
        """The share of on events, by its absolute error."""

        name = "share"
        primary = Metric("error", greater_is_better=False, percent=False)
        tracked = ("error",)

        def __init__(self, *, power: float = 1.0) -> None:
            self.power = power
            self.classes = []

        def bind(self, data, coding) -> None:
            self.outputs = 1

        def _error(self, outputs, targets):
            return (self.answer(outputs)[:, 0] - targets).abs() ** self.power

        def loss(self, outputs, targets):
            return self._error(outputs, targets.first).mean()

        def score(self, outputs, targets) -> float:
            return float(self._error(outputs.detach(), targets.first).sum())

        def meter(self, steps) -> Meter:
            return ShareMeter(self)


    class ShareMeter(Meter):
        def __init__(self, task):
            self.task, self.sums = task, torch.zeros(2, dtype=torch.float64)

        def add(self, outputs, targets) -> None:
            errors = self.task._error(outputs, targets)
            self.sums += torch.tensor([float(errors.sum()), float(len(errors))])

        def result(self, total, gather) -> Result:
            error, samples = total(self.sums).tolist()
            return Result(int(samples), {"error": error / samples, "loss": error / samples})
'''

LAYERS = '''
    from collections import OrderedDict

    import torch
    from torch import Tensor, nn

    from asnn.models import BuildContext, SpikingNetwork
    from asnn.models.layer import VALUES, Layer
    from asnn.models.layers.spiking import SpikingLayer
    from asnn.models.layers.stem import Stem
    from asnn.models.readouts.last import LastReadout
    from asnn.models.synapses.base import PoleSynapse


    class Mixed(Layer):
        """y_t = (A + Aᵀ) x_t, which is exported and counted as one weight."""

        def __init__(self, features: int) -> None:
            super().__init__()
            self.matrix = nn.Parameter(0.3 * torch.randn(features, features))

        @property
        def weight(self) -> Tensor:
            return self.matrix + self.matrix.T

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

        def lower(self, graph, name: str) -> None:
            bias = torch.zeros(len(self.matrix)).numpy()
            weight = self.weight.detach().numpy()
            steps = (0,) * graph.steps
            graph.add("Linear", name, weights=(weight,), biases=(bias,), of_step=steps)

        def list_operations(self, found, name, x):
            found.add(name, "mixed", self, x)
            return VALUES

        def count_operations(self, counter, x, y) -> None:
            counter.add_products(self.weight, x)

        def synaptic_weights(self):
            return [self.matrix]

        def decaying_parameters(self):
            return [self.matrix]


    def mixer(ctx: BuildContext, *, features: int = 8) -> SpikingNetwork:
        """Build flatten, linear, neurons, `Mixed`, neurons; readout."""
        size = torch.Size(ctx.in_shape).numel()

        def first() -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(size, features))

        rank = len(ctx.in_shape)
        layers = OrderedDict(
            linear=Stem(ctx.coding, first, mean=ctx.mean, std=ctx.std, rank=rank),
            spikes1=SpikingLayer(None, ctx.make_neuron(features)),
            **ctx.synapse("synapse", features),
            mixed=Mixed(features),
            spikes2=SpikingLayer(None, ctx.make_neuron(features)),
            readout=ctx.make_readout(features),
        )
        return SpikingNetwork(ctx.coding, nn.Sequential(layers))


    class Alike(PoleSynapse):
        """A filter with two equal poles."""

        def __init__(self, channels: int, *, steps: int, pole: float = 0.5) -> None:
            super().__init__(channels, steps=steps)
            self.pole = nn.Parameter(torch.full((channels,), pole))

        @property
        def poles(self) -> Tensor:
            return torch.stack([self.pole, self.pole])


    class Latest(LastReadout):
        """The outputs of the last step times a factor."""

        def __init__(self, features, classes, *, steps, scaled, factor: float = 2.0) -> None:
            super().__init__(features, classes, steps=steps, scaled=scaled)
            self.factor = factor

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * super().forward(x)

        def lower(self, graph, name: str) -> None:
            scale = torch.full((graph.steps,), self.factor)
            if self.scale is not None:
                scale = scale * self.scale
            weight, bias = self.linear.weight, self.linear.bias
            graph.add("Readout", name, weight=weight, bias=bias, scale=scale)
            graph.answers_with("last")

        def list_operations(self, found, name, x):
            return found.visit(name, self.linear, x)
'''

HALVES = Path(__file__).with_name("halves.py").read_text("utf-8")

ENTRY_POINTS = """\
    [asnn.tasks]
    share = eventful.parts:Share

    [asnn.readouts]
    median = eventful.parts:Median
    latest = eventful.layers:Latest

    [asnn.codings]
    halves = eventful.parts:Halves

    [asnn.datasets]
    blinks = eventful.parts:blinks

    [asnn.models]
    mixer = eventful.layers:mixer

    [asnn.synapses]
    alike = eventful.layers:Alike

    [asnn.methods]
    halves = eventful.halves:Halves
"""

REGISTRIES = (
    task_registry,
    readout_registry,
    coding_registry,
    dataset_registry,
    model_registry,
    synapse_registry,
    method_registry,
)


def install_eventful(folder: Path) -> None:
    """Write the package into a folder like site-packages."""
    install(folder, "eventful", {"parts": PARTS, "layers": LAYERS, "halves": HALVES}, ENTRY_POINTS)


def findable_eventful(folder: Path) -> AbstractContextManager[None]:
    """Let all registries find the package."""
    return findable(folder, "eventful", *REGISTRIES)
