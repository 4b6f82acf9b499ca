"""`asnn inspect RUN` of differential equations: their right sides, and what was learned."""

import math

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.inspection import inspect
from asnn.models import create_model
from asnn.models.saved import save_model

SPEC = SampleSpec("series", (2,), steps=3)


def inspected(folder, name, **options):
    torch.manual_seed(0)
    model = create_model(
        name, in_shape=(2,), sample=SPEC, classes=2, coding="given", steps=3, output_scale=False,
        **options,
    )  # fmt: skip
    save_model(folder / "model.safetensors", model)
    (folder / "config.toml").write_text('name = "test"\n[coding]\n')
    return model, inspect(folder)


def test_right_sides_are_those_of_the_terms_themselves(tmp_path):
    model, about = inspected(
        tmp_path, "ode", terms=["x0", "x0*x1"], mean=[3.0, 0.0], std=[4.0, 0.5], order=2,
        answer="variables", learn_coefficients=False,
    )  # fmt: skip
    equation = model.body.equation.linear
    weight, bias = equation.weight.detach(), equation.bias.detach()
    for d, terms in enumerate(about["equations"].values()):
        expected = {"x0": float(weight[d, 0]) / 5, "x0*x1": float(weight[d, 1]) / 2.5}
        assert terms == pytest.approx({**expected, "1": float(bias[d])}, rel=1e-6)
    assert list(about["equations"]) == ["z0", "z1"]
    assert about["parameters"] == 6  # weights and biases of the terms alone


def test_time_constants_are_shown_not_their_logarithms(tmp_path):
    _, about = inspected(tmp_path, "mlp", features=[4], neuron="lsq-leaky")
    assert about["schedules"]["spikes1"] == {"tau": [pytest.approx(2.0)]}
    assert about["equations"] == {}
    _, about = inspected(
        tmp_path, "mlp", features=[4], neuron="lsq-leaky", neuron_options={"learn": False}
    )
    weights = sum(math.prod(shape) for shape in ((4, 2), (4,), (4,), (2, 4), (2,)))
    assert about["parameters"] == weights
