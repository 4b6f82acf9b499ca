"""Small versions of the published architectures, in which all layers spike."""

import torch
from torch import nn

from asnn.measure.spikes import SpikeRates
from asnn.models import create_model

SMALL = {
    "ms-resnet18": ("ms-resnet", {"width": 4}),
    "ms-resnet19": ("ms-resnet", {"depth": 19, "width": 4}),
    "ms-resnet34-large": ("ms-resnet", {"depth": 34, "width": 4, "stem": "imagenet"}),
    "ms-resnet104": ("ms-resnet", {"depth": 104, "width": 2, "stem": "imagenet"}),
    "sew-add": ("sew-resnet", {"width": 4}),
    "sew-and": ("sew-resnet", {"width": 4, "connect": "and"}),
    "sew-iand": ("sew-resnet", {"width": 4, "connect": "iand", "depth": 34}),
    "sew-large": ("sew-resnet", {"width": 4, "stem": "imagenet"}),
    "vgg11": ("vgg", {"width": 8, "hidden": [10]}),
    "vggsnn": ("vgg", {"variant": "vggsnn", "width": 8}),
    "spikformer": ("spikformer", {"size": "2-32", "heads": 4}),
    "spikformer-large": ("spikformer", {"size": "1-16", "heads": 2, "stem": "imagenet"}),
}


def small(case, *, in_shape=(3, 16, 16), classes=5, steps=3, coding="direct", **options):
    """A small network of the case, as `create_model` returns it."""
    name, own = SMALL[case]
    torch.manual_seed(0)
    return create_model(
        name, in_shape=in_shape, classes=classes, steps=steps, coding=coding, **own, **options
    )


def calibrated(model, *, seed=1, bias=1.0):
    """The network in float64 and evaluation mode, with random parameters and statistics of data.

    The biases of norms are drawn up to `bias`: paths joined by `and` have to spike often. In
    float64 two orders of the same sums cannot decide a spike differently by rounding.
    """
    model = model.double().train()
    generator = torch.Generator().manual_seed(seed)

    def drawn(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator, dtype=like.dtype)

    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("leak", "gain")):
                value.copy_(drawn(value, 0.4, 0.8))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.copy_(drawn(module.weight, 1.0, 2.5))
                module.bias.copy_(drawn(module.bias, 0.0, bias))
                module.momentum = None  # the mean over the batches that follow
        for _ in range(4):
            model(images(8, model.config["in_shape"], generator))
    return model.eval()


def images(number, shape=(3, 16, 16), generator=None):
    generator = generator or torch.Generator().manual_seed(0)
    return torch.rand(number, *shape, generator=generator, dtype=torch.float64)


def rates(model, x):
    """The spike rate of each layer."""
    with SpikeRates(model) as counted, torch.no_grad():
        model(x)
    return {name: sum(values) / len(values) for name, values in counted.by_layer().items()}
