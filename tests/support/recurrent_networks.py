"""Small recurrent networks for the tests of exporters, and samples that fit them."""

import numpy as np
import torch

from asnn.exporters import Samples, source_of
from asnn.models import create_model
from tests.support.samples import batch_of, spec_for

STEPS, CLASSES = 5, 3
# Images with a static code, images with two stems, series, events.
CODINGS = ["direct", "hybrid", "given", "frames"]
SIZES = {"rsnn": [9, 7], "lstm": [6, 5]}


def recurrent_network(name="rsnn", coding="given", *, steps=STEPS, seed=0, **options):
    """A network in evaluation mode with random weights and schedules and fitting statistics."""
    spec = spec_for(coding, (2, 3, 4), steps)
    torch.manual_seed(seed)
    model = create_model(
        name, in_shape=spec.shape, classes=CLASSES, sample=spec, coding=coding, steps=steps,
        **{"features": SIZES[name], **options},
    )  # fmt: skip
    with torch.no_grad():
        for key, value in model.named_parameters():
            value += 0.1 * torch.randn_like(value)
            if key.endswith("gain"):
                value += 1.5
        for seed in range(4):
            model(batch_of(spec, 16, seed))
    return model.eval(), spec


def recurrent_source(name="rsnn", coding="given", number=24, **options):
    """The source of such a network, and samples."""
    model, spec = recurrent_network(name, coding, **options)
    source = source_of(model, {"recipe": "test"})
    batch = batch_of(spec, number, 9)
    if not source.takes_images:  # samples are encoded steps
        batch = model.coding.encode(batch).swapaxes(0, 1)
    return source, Samples(
        np.ascontiguousarray(batch.numpy()), np.arange(number) % CLASSES, "noise"
    )
