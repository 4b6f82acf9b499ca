"""Small networks that spike in all layers, for the tests of exporters."""

import functools
import json
import warnings

import numpy as np
import torch

from asnn.exporters import Samples, source_of
from asnn.models import create_model, use_kernels

SHAPE = (2, 6, 6)
LARGE = (2, 16, 16)
SIZES = {
    "lenet": {"widths": [5, 6], "hidden": 12},
    "mlp": {"features": [14, 11]},
    "ms-resnet": {"width": 6},
    "sew-resnet": {"width": 6},
    "vgg": {"width": 6},
    "spikformer": {"size": "2-16", "heads": 2},
}
CODES = ["direct", "temporal", "hybrid", "embedding", "hybrid-embedding"]
# Exact with one LIF node a layer.
CONSTANT_SCHEDULE = {
    "coding": "temporal",
    "neuron_options": {"schedule": "shared", "reset": "zero"},
    "output_scale": False,
}

LOW_THRESHOLD = {"threshold": 0.3}
ARCHITECTURES = {
    "ms": ("ms-resnet", {}),
    "ms-19": ("ms-resnet", {"depth": 19, "width": 4}),
    "ms-imagenet": ("ms-resnet", {"stem": "imagenet", "shape": LARGE}),
    "sew-add": ("sew-resnet", {"connect": "add"}),
    # A product has fewer spikes than its factors.
    "sew-and": ("sew-resnet", {"connect": "and", "width": 8, "neuron_options": LOW_THRESHOLD}),
    "sew-iand": ("sew-resnet", {"connect": "iand", "width": 8, "neuron_options": LOW_THRESHOLD}),
    "sew-imagenet": ("sew-resnet", {"stem": "imagenet", "shape": LARGE}),
    "vgg-11": ("vgg", {"variant": "11", "hidden": [8]}),
    "vggsnn": ("vgg", {"variant": "vggsnn"}),
    "spikformer": ("spikformer", {}),
    "lenet-p4": ("lenet", {"group": "p4", "widths": [3, 4], "hidden": 6, "shape": (2, 8, 8)}),
    "ms-p4": ("ms-resnet", {"group": "p4", "width": 2, "shape": (2, 8, 8)}),
}
DEEP = {
    "ms-34": ("ms-resnet", {"depth": 34, "width": 4}),
    "ms-104": ("ms-resnet", {"depth": 104, "width": 3, "stem": "imagenet", "shape": (2, 32, 32)}),
    "sew-34": ("sew-resnet", {"depth": 34, "width": 4}),
}
WITH_PRODUCTS = ("sew-and", "sew-iand", "spikformer")
WITHOUT_PRODUCTS = [name for name in ARCHITECTURES if name not in WITH_PRODUCTS]


def network(
    name="lenet", *, steps=3, coding="hybrid", norm="folded", seed=0, shape=SHAPE, **options
):
    """A new network in evaluation mode with random weights and schedules and fitting statistics."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = create_model(
            name, in_shape=shape, classes=4, coding=coding, steps=steps, norm=norm,
            mean=[0.4, 0.5], std=[0.3, 0.2], **{**SIZES[name], **options},
        )  # fmt: skip
    use_kernels(model, "reference")  # the fused kernels would be compiled for a few batches
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("weight") and not value.any():
                value += 1  # of a block that starts as its shortcut
            value += 0.1 * torch.randn_like(value)
            if key.endswith("gain"):
                value += 1.5
        model.train()
        momenta = {}
        for part in model.modules():
            if hasattr(part, "momentum"):
                momenta[part], part.momentum = part.momentum, None  # the mean over these batches
        for _ in range(3):
            model(torch.rand(16, *shape))
        for part, momentum in momenta.items():
            part.momentum = momentum
    use_kernels(model, "auto")
    return model.eval()


def architecture(name, **options):
    """A new network of `ARCHITECTURES` or `DEEP`, and the shape of its images."""
    kind, own = {**ARCHITECTURES, **DEEP}[name]
    return network(kind, **{**own, **options}), own.get("shape", SHAPE)


def images(number=6, seed=1, shape=SHAPE):
    return torch.rand(number, *shape, generator=torch.Generator().manual_seed(seed))


def samples(number=24, shape=SHAPE):
    labels = np.arange(number) % 4
    return Samples(images(number, shape=shape).numpy(), labels, "noise")


def make_source(name="lenet", **options):
    """The source of a small network; equal arguments return the same source, for reading only."""
    return _source(name, json.dumps(options, sort_keys=True))


@functools.cache
def _source(name, options):
    options = json.loads(options)
    model = network(name, **{**options, "shape": tuple(options.get("shape", SHAPE))})
    return source_of(model, {"recipe": "test", "classes": list("abcd")})


def architecture_source(name, *, steps=2, coding="hybrid", norm="folded", **neuron_options):
    """The source of a network of `ARCHITECTURES` or `DEEP`, cached, and samples that fit it."""
    kind, own = {**ARCHITECTURES, **DEEP}[name]
    neuron_options = {**own.get("neuron_options", {}), **neuron_options}
    own = {**own, "neuron_options": neuron_options}
    if neuron_options.get("reset") == "zero":
        own["output_scale"] = False
    source = make_source(kind, steps=steps, coding=coding, norm=norm, **own)
    return source, samples(8, own.get("shape", SHAPE))


def spikes_of(trace, graph):
    """The number of spikes of every layer, all above 0: without spikes, a comparison is void."""
    counts = {node.name: int(trace.values[node.name].sum()) for node in graph.neurons}
    assert all(counts.values()), counts
    return counts
