"""A training step of DECOLLE beside that of its authors' package.

    pip install decolle
    python -m studies.peers.decolle

prints, as Markdown, the processor time of learning a batch of random series at every time step, on
one thread: layers 8-128-128 of refractory neurons with a local readout of six classes each. The
synapses of the package are two filters in a row, here `dual-exp`; with `traces`, the recipe, each
input has four filters, so that the weights are four times as many.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch

from asnn.coding.samples import SampleSpec
from asnn.datasets.transforms.mixing import Targets
from asnn.learning.methods.registry import create_method
from asnn.models import create_model
from asnn.tasks.classification import Classification

from .timing import interleaved

FEATURES, BATCH, CLASSES, LR = 128, 32, 6, 1e-3
ALPHA, BETA, REFRACTORY = 0.97, 0.92, 0.65


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", default="50,325")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| T | asnn, `dual-exp`, ms | asnn, `traces`, ms | decolle, ms |\n|---:|---:|---:|---:|")
    for steps in map(int, options.steps.split(",")):
        draw = torch.Generator().manual_seed(0)
        x = (torch.rand(BATCH, steps, 8, generator=draw) < 0.1).float()
        rise, fall = (float(-1 / torch.tensor(p).log()) for p in (BETA, ALPHA))
        same = {"tau": fall, "tau_rise": rise, "learn": False}
        ways: dict[str, Callable[[], Any]] = {
            "dual-exp": own(x, "dual-exp", same),
            "traces": own(x, "traces", {}),
        }
        if find_spec("decolle") is not None:
            ways["decolle"] = published(x)
        cells = [f"{ms:.0f}" for ms, _ in interleaved(ways, options.rounds).values()]
        print(f"| {steps} | {' | '.join(cells)} |", flush=True)


def own(x: torch.Tensor, synapse: str, options: dict[str, Any]) -> Callable[[], None]:
    """Return a training step of the method `decolle`."""
    torch.manual_seed(0)
    spec = SampleSpec("series", (8,), steps=x.shape[1], binary=True)
    model = create_model(
        "trace-mlp",
        in_shape=spec.shape,
        classes=CLASSES,
        sample=spec,
        coding="given",
        steps=x.shape[1],
        neuron="iir",
        neuron_options={
            "tau": 2.321,  # e^(-1/tau) is REFRACTORY
            "threshold": 1 - REFRACTORY,
            "surrogate": "fast_sigmoid",
            "alpha": 10.0,
        },
        synapse=synapse,
        synapse_options=options,
        output_scale=False,
        readout_synapse=False,
        features=[FEATURES, FEATURES],
    )
    y = torch.arange(BATCH) % CLASSES
    method = create_method("decolle")
    method.bind(model, SimpleNamespace(seed=0))
    learned = [p for p in model.parameters() if p.requires_grad]
    training = SimpleNamespace(
        model=model, task=Classification.of(CLASSES), optimizer=torch.optim.SGD(learned, LR)
    )

    def step() -> None:
        training.optimizer.zero_grad()
        for _ in method.learn(training, x, Targets(y, y, 1), 1.0):
            training.optimizer.step()

    return step


def published(x: torch.Tensor) -> Callable[[], None]:
    """Return a training step of the authors' network, as their training loop has it."""
    from decolle.base_model import DECOLLELoss  # type: ignore[import-not-found]
    from decolle.lenet_decolle_model import LenetDECOLLE  # type: ignore[import-not-found]

    torch.manual_seed(0)
    network = LenetDECOLLE(
        input_shape=[8, 1, 1],
        Nhid=[],
        Mhid=[FEATURES, FEATURES],
        out_channels=CLASSES,
        num_conv_layers=0,
        num_mlp_layers=2,
        alpha=[ALPHA],
        beta=[BETA],
        alpharp=[REFRACTORY],
        dropout=[0.0],
        lc_ampl=0.5,
    )
    samples = x[..., None, None]
    network.init_parameters(samples)
    learned = [p for p in network.get_trainable_parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, LR)
    cross_entropy = torch.nn.CrossEntropyLoss()
    loss = DECOLLELoss([cross_entropy] * len(network), network)
    y = torch.arange(BATCH) % CLASSES

    def step() -> None:
        network.init(samples)
        for t in range(samples.shape[1]):
            optimizer.zero_grad()
            s, r, u = network.step(samples[:, t])
            loss(s, r, u, target=y, mask=1).backward()
            optimizer.step()

    return step


if __name__ == "__main__":
    main()
