"""ReLU instead of spiking neurons: the ANN counterpart of a network."""

import pytest
import torch
from torch.nn import functional as F

from asnn.core import ConfigError
from asnn.measure import SpikeRates
from asnn.models import create_model, use_kernels
from asnn.models.neurons.relu import Relu


def ann(**options):
    return create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, coding="direct", steps=1, neuron="relu",
        output_scale=False, widths=[4, 16], hidden=8, **options,
    )  # fmt: skip


def test_it_is_the_maximum_of_x_and_0():
    x = torch.randn(3, 2, 4, 5, 5)
    found = Relu(3, 4)(x)
    assert torch.equal(found, torch.where(x > 0, x, torch.zeros(())))
    assert not list(Relu(3).parameters()) and not Relu(3).state_dict()


@pytest.mark.parametrize("training", [False, True])
def test_a_network_with_relu_is_an_ann(training):
    """conv → batch norm → ReLU → max-pool twice, linear → batch norm → ReLU, linear."""
    torch.manual_seed(0)
    model = ann().train(training)
    x = torch.rand(6, 1, 8, 8)
    w = model.state_dict()
    out = x
    for i, conv in ((1, "conv1.analog"), (2, "conv2.layer")):
        out = F.conv2d(out, w[f"body.{conv}.weight"], padding=1)
        out = F.max_pool2d(F.relu(norm(out, w, f"body.spikes{i}", training)), 2)
    out = F.linear(out.flatten(1), w["body.linear.layer.weight"])
    out = F.relu(norm(out, w, "body.spikes3", training))
    out = F.linear(out, w["body.readout.linear.weight"], w["body.readout.linear.bias"])
    with torch.no_grad():
        found = model(x)
    torch.testing.assert_close(found, out.unsqueeze(0), atol=1e-5, rtol=1e-5)


def norm(x, w, layer, training):
    """Batch norm written out: by the statistics of the batch, or by the running ones (0 and 1)."""
    axes = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    mean, var = (x.mean(axes), x.var(axes, unbiased=False)) if training else (
        torch.zeros(x.shape[1]), torch.ones(x.shape[1]))  # fmt: skip
    (prefix,) = {k.rpartition(".")[0] for k in w if k.startswith(layer) and k.endswith("bias")}
    scaled = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
    return scaled * w[f"{prefix}.weight"].view(shape) + w[f"{prefix}.bias"].view(shape)


def test_spike_rates_leave_it_out():
    model = ann()
    with SpikeRates(model) as rates:
        model(torch.rand(4, 1, 8, 8))
    assert rates.by_layer() == {} and rates.mean() == 0 and rates.total() == 0
    spiking = create_model("lenet", in_shape=(1, 8, 8), classes=3, steps=2, widths=[4], hidden=8)
    with SpikeRates(spiking) as rates:
        spiking(torch.rand(4, 1, 8, 8))
    assert len(rates.by_layer()) == 2


def test_fused_kernels_do_not_compute_it():
    model = ann()
    use_kernels(model, "fused")
    with pytest.raises(ConfigError, match="fused kernel for Relu"):
        model(torch.rand(4, 1, 8, 8))
