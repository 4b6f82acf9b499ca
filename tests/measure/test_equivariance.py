"""Shares of answers and spikes that a transform of the samples leaves as they are."""

import pytest
import torch
from torch import nn

from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.equivariance import Transform, equivariance, read_transforms
from asnn.models import SpikingNetwork, create_model
from asnn.models.layers.spiking import SpikingLayer, layer_outputs
from asnn.models.layers.time import OverTime
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout
from asnn.tasks.classification import Classification

ALL = "rot90,flip,shift=2"


def samples(count=6, side=8):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, side, side, generator=generator)
    return Split(images, torch.arange(count) % 3)


def lenet(**options):
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, steps=3, widths=[4, 5], hidden=6,
        neuron_options={"gain": 1.5}, **{"coding": "direct", **options},
    )  # fmt: skip
    for _ in range(3):
        model(torch.rand(8, 1, 8, 8))
    return model.eval()


def pointwise(weight=1.0):
    """A network that computes each pixel by itself, and reads their mean: equivariant under every
    transform."""
    coding = create_coding("direct", steps=3)
    coding.bind(SampleSpec("image", (1, 8, 8)))
    conv = nn.Conv2d(1, 2, 1, bias=False)
    nn.init.constant_(conv.weight, weight)
    body = nn.Sequential(
        OverTime(conv),
        SpikingLayer(None, FixedLeaky(3, 2, threshold=0.5), nn.MaxPool2d(2)),
        OverTime(nn.AvgPool2d(4)),
        nn.Flatten(2),
        Readout(2, 3, steps=3, scaled=False),
    )
    return SpikingNetwork(coding, body).eval()


def measured(model, text=ALL, **options):
    task = Classification.of(3)
    task.use_readout(model.readout)
    rows = equivariance(
        model, samples(), read_transforms(text, model), task=task, full_scale=1.0, **options
    )
    return {f"{row['transform']} {row['amount']}": row for row in rows}


@pytest.mark.parametrize(
    "transform",
    [
        *(Transform("rot90", each) for each in (90, 180, 270)),
        Transform("flip"),
        Transform("shift", 3),
    ],
)
def test_what_is_undone_is_what_there_was(transform):
    x = torch.randn(2, 1, 4, 6, 6)
    assert not torch.equal(transform.of(x), x)
    assert torch.equal(transform.undone(transform.of(x), 1, 6), x)
    static = x[:1].expand(2, 1, 4, 6, 6)
    assert torch.equal(transform.of(static), transform.of(static.contiguous()))
    assert transform.of(static).stride(0) == 0  # as one step, for stems of static codes
    features = torch.randn(2, 1, 4)
    assert transform.undone(features, 1, 6) is features


def test_rotations_are_those_of_numpy_and_shifts_go_to_the_right_and_down():
    x = torch.zeros(1, 1, 1, 4, 4)
    x[..., 0, 1] = 1
    assert Transform("rot90", 90).of(x)[0, 0, 0].nonzero().tolist() == [[2, 0]]
    assert Transform("flip").of(x)[0, 0, 0].nonzero().tolist() == [[0, 2]]
    assert Transform("shift", 1).of(x)[0, 0, 0].nonzero().tolist() == [[1, 2]]
    assert Transform("shift", 3).of(x)[0, 0, 0].nonzero().tolist() == [[3, 0]]


def test_a_network_of_single_pixels_is_equivariant_under_everything():
    for row in measured(pointwise()).values():
        assert row["equal_answers"] == 1 and row["output_change"] < 1e-6
        (layer,) = row["layers"].values()
        assert layer["equal_spikes"] == 1 and layer["differing"] == 0 and layer["spikes"] > 100


def test_shares_are_those_counted_by_hand():
    """Turned images are compared here; a shift of one pixel is half a pixel behind a pool of 2."""
    model = lenet()
    rows = measured(model, "rot90,shift")
    x = samples().inputs
    with torch.no_grad(), layer_outputs(model.frozen()) as kept:
        logits = model.frozen()(x)
        first = kept["spikes1"]
        turned = model.frozen()(torch.rot90(x, 1, (2, 3)))
        second = torch.rot90(kept["spikes1"], -1, (3, 4))
    row = rows["rot90 90"]
    either = (first + second) > 0
    share = float(((first == second) & either).sum() / either.sum())
    layer = row["layers"]["spikes1"]
    assert layer["equal_spikes"] == pytest.approx(share) and 0 < share < 1
    assert layer["differing"] == int((first != second).sum()) and layer["spikes"] == either.sum()
    same = logits.mean(0).argmax(1) == turned.mean(0).argmax(1)
    assert row["equal_answers"] == pytest.approx(float(same.float().mean()))
    change = (turned.mean(0) - logits.mean(0)).square().sum() / logits.mean(0).square().sum()
    assert row["output_change"] == pytest.approx(float(change) ** 0.5, rel=1e-5)
    nothing = {"equal_spikes": None, "spikes": None, "differing": None}
    assert rows["shift 1"]["layers"]["spikes1"] == nothing
    assert rows["shift 1"]["layers"]["spikes3"]["spikes"] is not None  # features stay


def test_the_metric_is_that_of_the_transformed_images():
    model, split = lenet(), samples()
    turned = Split(torch.rot90(split.inputs, 2, (2, 3)), split.targets)
    wanted = evaluate(model, turned, classes=3, full_scale=1.0)
    assert measured(model)["rot90 180"]["accuracy"] == wanted.accuracy


def test_rotations_of_p4_channels_are_moved_on():
    rows = measured(lenet(group="p4"))
    for quarters in (90, 180, 270):
        row = rows[f"rot90 {quarters}"]
        assert row["equal_answers"] == 1 and row["output_change"] < 1e-5
        assert all(layer["equal_spikes"] > 0.999 for layer in row["layers"].values())
    assert rows["flip 0"]["layers"]["spikes1"]["equal_spikes"] < 0.9


def test_a_random_code_is_the_same_one_for_both():
    model = lenet(coding="rate", group="p4")
    row = measured(model)["rot90 90"]
    assert row["layers"]["spikes1"]["equal_spikes"] > 0.999


def test_all_transforms_of_a_text():
    model = lenet()
    assert [str(each) for each in read_transforms("flip,shift=2, rot90,flip", model)] == [
        "flip", "shift 2", "rot90 90", "rot90 180", "rot90 270",
    ]  # fmt: skip


FAULTS = [
    ("rot45", "transform of --equivariance"),
    ("flip=2", "flip takes no amount"),
    ("shift=8", "shift=8 is no number of pixels from 1 to 7"),
    ("shift=-1", "shift=-1 is no number of pixels from 1 to 7"),
]


@pytest.mark.parametrize(("text", "what"), FAULTS)
def test_other_texts_are_refused(text, what):
    with pytest.raises(ConfigError) as error:
        read_transforms(text, lenet())
    assert what in str(error.value)


def test_images_that_are_not_square_are_not_turned():
    model = create_model("mlp", in_shape=(1, 4, 6), classes=2, features=[3])
    assert read_transforms("flip", model) == [Transform("flip")]
    with pytest.raises(ConfigError, match="those of 4×6 are not square"):
        read_transforms("rot90", model)


def test_series_have_nothing_to_turn():
    spec = SampleSpec("series", (5,), steps=4)
    model = create_model(
        "mlp", in_shape=(5,), classes=2, features=[3], coding="given", steps=4, sample=spec
    )
    with pytest.raises(ConfigError) as error:
        read_transforms("flip", model)
    assert error.value.why == "the steps of this network have no rows and columns"
