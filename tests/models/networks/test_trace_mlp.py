"""The network of traces, against loops over steps."""

import math

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.stepwise import stepper

STEPS, TAUS, RHO = 15, [2.0, 6.0], 0.65
SERIES = {"kind": "series", "shape": [4], "steps": STEPS, "binary": True}


def network(**options):
    torch.manual_seed(0)
    return create_model(
        "trace-mlp",
        **{
            "in_shape": (4,), "classes": 3, "sample": SERIES, "coding": "given", "steps": STEPS,
            "neuron": "iir", "features": [6, 5], "synapse": "traces",
            "synapse_options": {"tau": TAUS}, "output_scale": False,
            "neuron_options": {"tau": -1 / math.log(RHO), "threshold": 1 - RHO},
            **options,
        },
    )  # fmt: skip


def series(batch=3):
    g = torch.Generator().manual_seed(1)
    return (torch.rand(batch, STEPS, 4, generator=g) < 0.4).float()


@pytest.mark.parametrize("readout_synapse", [True, False])
def test_outputs_are_those_of_a_loop(readout_synapse):
    """With the refractory trace of DECOLLE: R_t = ρ R_{t-1} - (1 - ρ) s_{t-1},
    u_t = W P_t + b + R_t, s_t = H(u_t - (1 - ρ))."""
    model = network(readout_synapse=readout_synapse, bias=0.35)
    x = series()
    found = model(x).detach().numpy()
    w = {k: v.detach().double().numpy() for k, v in model.named_parameters()}
    poles = [math.exp(-1 / tau) for tau in TAUS]
    total = 0
    for b in range(len(x)):
        sizes = [4, 6, 5]
        p = [[np.zeros(n) for _ in TAUS] for n in sizes]
        r, s = [np.zeros(6), np.zeros(5)], [np.zeros(6), np.zeros(5)]
        for t in range(STEPS):
            value = x[b, t].double().numpy()
            for i in range(3):
                p[i] = [a * f + (1 - a) * value for a, f in zip(poles, p[i], strict=True)]
                features = np.concatenate(p[i])
                if i == 2:
                    features = features if readout_synapse else value
                    logits = w["body.readout.linear.weight"] @ features
                    logits = logits + w["body.readout.linear.bias"]
                    break
                r[i] = RHO * r[i] - (1 - RHO) * s[i]
                u = w[f"body.linear{i + 1}.layer.weight"] @ features
                u = u + w[f"body.linear{i + 1}.layer.bias"] + r[i]
                value = s[i] = (u > 1 - RHO).astype(float)
                total += value.sum()
            np.testing.assert_allclose(found[t, b], logits, rtol=1e-4, atol=1e-5)
    assert total > 20  # spikes, or nothing is compared


def test_steps_one_after_another():
    model, x = network().eval(), series()
    step = stepper(model.body)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.stack([step(each) for each in x.transpose(0, 1)]), model(x)
        )


def test_images_are_flattened_and_no_layer_is_needed():
    model = create_model(
        "trace-mlp", in_shape=(1, 3, 3), classes=2, coding="rate", steps=4, features=[],
        synapse="traces", neuron="fixed",
    )  # fmt: skip
    assert model(torch.rand(5, 1, 3, 3)).shape == (4, 5, 2)
    assert model.readout.linear.in_features == 4 * 9


def test_without_a_synapse_weights_read_spikes():
    model = network(synapse="none", synapse_options={}, features=[6])
    assert [name for name, _ in model.body.named_children()] == ["linear1", "spikes1", "readout"]


def test_refusals():
    with pytest.raises(ConfigError, match=r"features must be positive, not \[0\]"):
        network(features=[0])
