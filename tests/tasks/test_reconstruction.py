"""Reconstruction: losses and metrics by formula, targets that are the samples or fields."""

import math

import numpy as np
import pytest
import torch

from asnn.coding.factory import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets.base import DataSet, Split
from asnn.datasets.batches import Batches
from asnn.datasets.transforms.by_kind import make_augment
from asnn.datasets.transforms.mixing import Targets
from asnn.models import create_model
from asnn.models.saved import save_model
from asnn.tasks import create_task
from asnn.tasks.classification import Classification

SHAPE, N, CLASSES = (1, 4, 3), 7, 5
PIXELS = math.prod(SHAPE)


def data_of(targets, *, spec=None, inputs=None, classes=CLASSES):
    g = torch.Generator().manual_seed(0)
    inputs = torch.rand(N, *SHAPE, generator=g) if inputs is None else inputs
    split = Split(inputs, targets)
    spec = spec or SampleSpec("image", SHAPE)
    names = [str(k) for k in range(classes)]
    return DataSet("own", split, split, split, names, 1.0, "", spec)


LABELS = torch.arange(N) % CLASSES
OUTPUTS = 2 * torch.randn(1, N, PIXELS, generator=torch.Generator().manual_seed(1))


def bound(data=None, **options):
    task = create_task("reconstruction", **options)
    task.bind(data or data_of(LABELS), create_coding("direct", steps=1))
    return task


def batch(data):
    y = data.train.targets
    return Targets(y, y, 1.0, inputs=data.train.inputs)


def values_of(task, targets, parts=(slice(0, 4), slice(4, N))):
    meter = task.meter(1)
    for part in parts:
        inputs = None if targets.inputs is None else targets.inputs[part]
        y = targets.first[part]
        meter.take(OUTPUTS[:, part], Targets(y, y, 1.0, inputs=inputs))
    found = meter.result(lambda t: t, lambda t: t)
    assert found.samples == N
    return found.values


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_the_sample_is_the_target(loss):
    data = data_of(LABELS)
    task, targets = bound(data, loss=loss), batch(data)
    x, o = data.train.inputs.flatten(1).double().numpy(), OUTPUTS[0].double().numpy()
    p = 1 / (1 + np.exp(-o))
    image = p if loss == "bce" else o
    each = -(x * np.log(p) + (1 - x) * np.log(1 - p)) if loss == "bce" else (x - o) ** 2
    mse = ((image - x) ** 2).mean()
    assert task.outputs == PIXELS and task.classes == []
    np.testing.assert_allclose(task.losses(OUTPUTS, targets), each.mean(1), rtol=1e-5)
    assert float(task.loss(OUTPUTS, targets)) == pytest.approx(each.mean(), rel=1e-5)
    assert task.score(OUTPUTS, targets) / N == pytest.approx(mse, rel=1e-5)
    values = values_of(task, targets)
    assert values == {
        "mse": pytest.approx(mse, rel=1e-5),
        "psnr": pytest.approx(10 * math.log10(1 / mse), rel=1e-5),
        "loss": pytest.approx(each.mean(), rel=1e-5),
    }


def test_an_exact_image_has_no_psnr():
    data = data_of(LABELS)
    task = bound(data, loss="mse")
    meter = task.meter(1)
    meter.take(data.train.inputs.flatten(1).unsqueeze(0), batch(data))
    values = meter.result(lambda t: t, lambda t: t).values
    assert values["mse"] == 0 and values["psnr"] is None


def test_fields_are_targets_where_they_are_known():
    fields = torch.rand(N, 2, 5, 5)
    fields[2, :, 1:3] = float("nan")
    fields[5] = float("nan")  # nothing is known
    data = data_of(fields)
    task, outputs = bound(data), torch.randn(1, N, 50)
    y = fields.flatten(1).double()
    known = ~y.isnan()
    error = (outputs[0].double().sigmoid() - y)[known].square()
    meter = task.meter(1)
    meter.take(outputs, Targets(fields, fields, 1.0))
    values = meter.result(lambda t: t, lambda t: t).values
    assert task.outputs == 50 and values["mse"] == pytest.approx(float(error.mean()), rel=1e-5)
    losses = task.losses(outputs, Targets(fields, fields, 1.0))
    assert float(losses[5]) == 0 and losses.isfinite().all()
    outputs.requires_grad_()
    task.loss(outputs, Targets(fields, fields, 1.0)).backward()
    assert outputs.grad.isfinite().all() and not outputs.grad[0, 5].any()
    with pytest.raises(ConfigError, match="cannot train on mixed samples"):
        task.loss(outputs, Targets(fields, fields, 0.5))


def test_augmented_samples_are_their_own_targets():
    data = data_of(LABELS)
    augment = make_augment(data.spec, {"flip": True, "mixup": True})
    batches = Batches(
        data.train, batch_size=N, full_scale=1.0, shuffle=True, augment=augment,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    ((x, targets),) = batches
    assert targets.inputs is x and targets.weight != 1
    perfect = torch.logit(x.flatten(1).clamp(1e-6, 1 - 1e-6)).unsqueeze(0)
    assert bound(data).score(perfect, targets) < 1e-9
    order = targets.samples % N
    assert (x - data.train.inputs[order]).abs().max() > 0.1  # it is not the stored one


def test_a_classifier_judges_the_images(tmp_path):
    torch.manual_seed(0)
    classifier = create_model("mlp", in_shape=SHAPE, classes=CLASSES, features=[8]).eval()
    path = tmp_path / "model.safetensors"
    save_model(path, classifier)
    data = data_of(LABELS)
    values = values_of(bound(data, classifier=str(path)), batch(data))
    images = OUTPUTS[0].sigmoid().unflatten(1, SHAPE)
    expected = (classifier.predict(images).argmax(1) == LABELS).double().mean()
    assert values["classifier_accuracy"] == pytest.approx(float(expected))
    other = create_model("mlp", in_shape=SHAPE, classes=3, features=[8])
    save_model(path, other)
    with pytest.raises(DataError, match="does not fit these data") as caught:
        bound(data, classifier=str(path))
    assert "has 3 outputs" in caught.value.why
    with pytest.raises(DataError, match="is missing"):
        bound(data, classifier=str(tmp_path / "nothing.safetensors"))


class Brightest:
    """A classifier whose class is the brightest pixel."""

    def to(self, device):
        return self

    def predict(self, images):
        return images.flatten(1)


def test_a_classifier_compares_images_with_fields(tmp_path):
    """The class of a field is the one that the classifier assigns to it."""
    save_model(
        tmp_path / "model.safetensors",
        create_model("mlp", in_shape=SHAPE, classes=3, features=[8]),
    )
    fields = torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(2))
    fields[:3] = OUTPUTS[0, :3].sigmoid().unflatten(1, SHAPE)
    task = bound(data_of(fields, classes=0), classifier=str(tmp_path / "model.safetensors"))
    task.classifier = Brightest()
    values = values_of(task, Targets(fields, fields, 1.0))
    same = OUTPUTS[0].argmax(1) == fields.flatten(1).argmax(1)
    assert values["classifier_accuracy"] == pytest.approx(float(same.double().mean()))
    assert 0 < values["classifier_accuracy"] < 1
    with pytest.raises(DataError, match="does not fit these data") as caught:
        other = data_of(torch.rand(N, 1, 2, 2), classes=0)
        bound(other, classifier=str(tmp_path / "model.safetensors"))
    assert caught.value.why.endswith("has 3 outputs, the images are (1, 2, 2)")


def test_refusals():
    with pytest.raises(ConfigError, match="unknown loss 'l1'"):
        create_task("reconstruction", loss="l1")
    series = data_of(
        LABELS, spec=SampleSpec("series", (3,), steps=6), inputs=torch.rand(N, 6, 3)
    )  # fmt: skip
    with pytest.raises(DataError, match="nothing to reconstruct") as caught:
        bound(series)
    assert "give real targets [N, C, H, W]" in caught.value.remedy
    dark = data_of(torch.full((N, 1, 2, 2), -0.5))
    with pytest.raises(DataError, match="are not all from 0 to 1") as caught:
        bound(dark)
    assert "task.loss=mse" in caught.value.remedy
    assert bound(dark, loss="mse").outputs == 4
    with pytest.raises(DataError, match="needs one class a sample") as caught:
        Classification().bind(dark, create_coding("direct", steps=1))
    assert caught.value.remedy == "set task.name=reconstruction"


def test_losses_of_single_samples_are_those_of_the_batch():
    """What `Task` does for tasks without a method of their own."""
    task = Classification.of(CLASSES)
    outputs = torch.randn(3, N, CLASSES)
    targets = Targets(LABELS, LABELS, 1.0)
    losses = task.losses(outputs, targets)
    each = torch.nn.functional.cross_entropy(outputs.mean(0), LABELS, reduction="none")
    torch.testing.assert_close(losses, each)
    torch.testing.assert_close(losses.mean(), task.loss(outputs, targets))
