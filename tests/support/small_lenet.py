"""A small lenet with running statistics, its images, and the corruptions that apply to images."""

import torch

from asnn.datasets.base import Split
from asnn.measure.robustness.corruptions import corruption_registry
from asnn.models import create_model
from tests.support.sparse_layers import images

CLASSES, SAMPLES, STEPS = 3, 24, 4
NAMES = [
    name
    for name in corruption_registry.builtin
    if (each := corruption_registry.get(name)).takes in (None, {"image"}) and not each.of_times
]
HARDEST = {name: corruption_registry.get(name).severities[-1] for name in NAMES}
OPTIONS = {"classes": CLASSES, "full_scale": 1.0}


def network(name="lenet", **options):
    torch.manual_seed(0)
    sizes = {"widths": [4, 8], "hidden": 12} if name == "lenet" else {}
    model = create_model(
        name,
        **{
            "in_shape": (1, 8, 8),
            "classes": CLASSES,
            "steps": STEPS,
            "coding": "hybrid",
            "neuron_options": {"gain": 1.5},
            **sizes,
            **options,
        },
    )
    for _ in range(10):
        model(images(16, *model.config["in_shape"]))
    return model.eval()


def samples():
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(1))
    return Split(images(SAMPLES, 1, 8, 8), labels)
