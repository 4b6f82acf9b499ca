"""Batches of another type or shape are refused, with the line that makes them right."""

import numpy as np
import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.check import check_batch, check_range
from asnn.coding.samples import SampleSpec
from asnn.core.errors import DataError
from asnn.models import create_model
from tests.support.samples import batch_of

GREY, COLOUR = SampleSpec("image", (1, 8, 6)), SampleSpec("image", (3, 8, 6))
EVENTS = SampleSpec("events", (2, 8, 6), duration=1000)
SERIES = SampleSpec("series", (5,), steps=7)


@pytest.mark.parametrize("spec", [GREY, COLOUR, EVENTS, SERIES])
def test_batches_of_the_spec_are_taken(spec):
    check_batch(batch_of(spec, 3), spec)


@pytest.mark.parametrize(
    ("spec", "x", "remedy"),
    [
        (GREY, torch.rand(1, 8, 6), "x.unsqueeze(0)"),
        (GREY, torch.rand(8, 6), "x[None, None]"),
        (GREY, torch.rand(4, 8, 6), "x.unsqueeze(1)"),
        (COLOUR, torch.rand(4, 8, 6, 3), "x.permute(0, 3, 1, 2)"),
        (COLOUR, torch.rand(4, 3, 9, 6), "resize"),
        (SERIES, torch.rand(7, 5), "x.unsqueeze(0)"),
        (GREY, torch.zeros(4, 1, 8, 6, dtype=torch.uint8), "x.float() / 255"),
        (GREY, torch.zeros(4, 1, 8, 6, dtype=torch.bool), "x.float()"),
        (GREY, torch.zeros(4, 1, 8, 6, dtype=torch.int64), "divided by the largest"),
        (GREY, np.zeros((4, 1, 8, 6), np.float32), "torch.from_numpy(x)"),
        (GREY, [[0.5]], "torch.tensor(x)"),
        (EVENTS, torch.rand(4, 2, 8, 6), "EventBatch.of"),
    ],
)
def test_others_are_refused_with_what_to_do(spec, x, remedy):
    with pytest.raises(DataError) as caught:
        check_batch(x, spec)
    assert remedy in caught.value.remedy


def test_a_series_may_have_another_length_and_events_not_another_sensor():
    check_batch(torch.rand(4, 9, 5), SERIES)  # its code joins or cuts off steps, or refuses them
    with pytest.raises(DataError, match=r"series \[B, 7, 5\] are expected"):
        check_batch(torch.rand(4, 9, 6), SERIES)
    other = SampleSpec("events", (2, 4, 4), duration=1000)
    with pytest.raises(DataError, match=r"recordings of a sensor \[2, 8, 6\] are expected"):
        check_batch(batch_of(other, 3), EVENTS)


def test_there_are_no_values_to_check_on_the_meta_device():
    model = create_model("lenet", in_shape=(1, 8, 6), classes=3, coding="hybrid", steps=3)
    found = model.eval().to("meta").predict(torch.empty(4, 1, 8, 6, device="meta"))
    assert found.shape == (4, 3)


@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        (torch.rand(4, 8, 6), "x.unsqueeze(1)"),
        (torch.zeros(4, 1, 8, 6).numpy(), "torch.from_numpy(x)"),
        (torch.zeros(4, 1, 8, 6, dtype=torch.uint8), "x.float() / 255"),
        (torch.rand(4, 1, 9, 9), "resize"),
    ],
)
def test_a_network_and_its_prediction_refuse_them(x, remedy):
    model = create_model("lenet", in_shape=(1, 8, 6), classes=3, coding="hybrid", steps=3)
    for call in (model, model.mean_logits, model.predict, model.eval().predict):
        with pytest.raises(DataError) as caught:
            call(x)
        assert remedy in caught.value.remedy


def test_samples_of_numpys_precision():
    model = create_model("lenet", in_shape=(1, 8, 6), classes=3, coding="hybrid", steps=3).eval()
    x = torch.rand(4, 1, 8, 6).double()
    with pytest.raises(DataError, match="the samples are float64, the weights float32") as caught:
        model.predict(x)
    assert "x.float()" in caught.value.remedy
    model.predict(x.float()), model.double().predict(x)


def test_a_remedy_makes_it_right():
    """The negative control: what a remedy says is taken, and gives the same answer."""
    model = create_model("lenet", in_shape=(1, 8, 6), classes=3, coding="hybrid", steps=3).eval()
    x = torch.randint(0, 256, (4, 1, 8, 6), dtype=torch.uint8)
    expected = model.predict(x.float() / 255)
    assert torch.equal(model.predict((x.float() / 255)[:, 0].unsqueeze(1)), expected)
    assert torch.equal(model.predict((x.float() / 255)[0].unsqueeze(0)), expected[:1])


def test_a_prediction_refuses_images_outside_of_0_to_1():
    model = create_model("mlp", in_shape=(1, 8, 6), classes=3, coding="direct", steps=3).eval()
    x = torch.rand(4, 1, 8, 6)
    for scaled in (x * 255, x * 2 - 1):
        with pytest.raises(DataError, match=r"images have values in \[0, 1\]"):
            model.predict(scaled)
        model(scaled)  # noise may leave the range
    check_range(x * (1 + 5e-7))
    model.predict(x[:0])


@pytest.mark.parametrize("name", ["direct", "temporal", "hybrid", "embedding", "latency", "rate"])
def test_codes_refuse_what_is_no_tensor_of_floats(name):
    coding = create_coding(name, steps=3)
    for x in (np.zeros((2, 4)), [0.5], torch.zeros(2, 4, dtype=torch.uint8), torch.arange(4)):
        with pytest.raises(DataError, match="images are"):
            coding.encode(x)
