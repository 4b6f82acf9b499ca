"""Networks that spike, for the tests of exporters."""

import warnings

import numpy as np
import torch

from asnn.exporters import Samples, source_of
from asnn.models import create_model

SHAPE = (2, 6, 6)
SIZES = {
    "lenet": {"widths": [5, 6], "hidden": 12},
    "mlp": {"features": [14, 11]},
    "ms-resnet": {"width": 6},
    "sew-resnet": {"width": 6},
    "vgg": {"width": 6},
    "spikformer": {"size": "2-16", "heads": 2},
}
CODES = ["direct", "temporal", "hybrid", "embedding", "hybrid-embedding"]
PLAIN = {
    "coding": "temporal",
    "neuron_options": {"schedule": "shared", "reset": "zero"},
    "output_scale": False,
}


def network(
    name="lenet", *, steps=3, coding="hybrid", norm="folded", seed=0, shape=SHAPE, quick=False,
    **options,
):  # fmt: skip
    """A network in evaluation mode whose statistics, weights and schedules are all its own.

    Statistics are running averages, or with `quick` the mean over three batches.
    """
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = create_model(
            name, in_shape=shape, classes=4, coding=coding, steps=steps, norm=norm,
            mean=[0.4, 0.5], std=[0.3, 0.2], **{**SIZES[name], **options},
        )  # fmt: skip
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("weight") and not value.any():
                value += 1  # of a block that starts as its shortcut
            value += 0.1 * torch.randn_like(value)
            if key.endswith("gain"):
                value += 1.5
        model.train()
        for norm in model.modules() if quick else ():
            if hasattr(norm, "momentum"):
                norm.momentum = None
        for _ in range(3 if quick else 20):  # running statistics that fit the data
            model(torch.rand(16, *shape))
    return model.eval()


def images(number=6, seed=1, shape=SHAPE):
    return torch.rand(number, *shape, generator=torch.Generator().manual_seed(seed))


def samples(number=24, shape=SHAPE):
    labels = np.arange(number) % 4
    return Samples(images(number, shape=shape).numpy(), labels, "noise")


def subject(name="lenet", **options):
    return source_of(network(name, **options), {"recipe": "test", "classes": list("abcd")})


def spikes_of(trace, graph):
    """Spikes of every layer, which a comparison needs to say something."""
    counts = {node.name: int(trace.values[node.name].sum()) for node in graph.neurons}
    assert all(counts.values()), counts
    return counts
