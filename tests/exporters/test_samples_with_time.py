"""Every kind of network trains on frames of events and is exported with T different frames."""

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.models import create_model
from tests.support.samples import batch_of

EVENTS = SampleSpec("events", (2, 16, 16), duration=900)
SERIES = SampleSpec("series", (5,), steps=3)
NETWORKS = {
    "lenet": {"widths": [3, 4], "hidden": 6},
    "mlp": {"features": [6]},
    "rsnn": {"features": [6]},
    "lstm": {"features": [6]},
    "ms-resnet": {"depth": 18, "width": 4},
    "sew-resnet": {"width": 4},
    "vgg": {"width": 8, "hidden": [10]},
    "spikformer": {"size": "2-32", "heads": 4},
}
NOT_IN_NIR = {"lstm": "multiplies its gates", "spikformer": "queries"}
SLOW = ("ms-resnet", "sew-resnet", "vgg", "spikformer")


def network(name, spec, **options):
    torch.manual_seed(0)
    code = "frames" if spec.kind == "events" else "given"
    model = create_model(
        name,
        in_shape=spec.shape,
        sample=spec,
        classes=3,
        coding=code,
        steps=3,
        coding_options=options,
        **NETWORKS[name],
    )
    model(batch_of(spec, 4)).square().sum().backward()
    return model.eval()


def agrees(exported):
    parities = exported.report.parities
    return len(parities) > 1 and all(each.agrees and each.samples == 6 for each in parities)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETWORKS]
)
def test_frames_of_events(name, tmp_path):
    source = source_of(network(name, EVENTS, value="log-count"))
    assert source.sample_shape == (3, 2, 16, 16)
    samples = random_samples(source.sample_shape, 6)
    assert agrees(export_onnx(source, tmp_path / "a.onnx", samples=samples))
    if name in NOT_IN_NIR:
        with pytest.raises(ConfigError, match=NOT_IN_NIR[name]):
            export_nir(source, tmp_path / "a.nir", samples=samples)
        return
    assert agrees(export_nir(source, tmp_path / "a.nir", samples=samples))


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("name", ["mlp", "rsnn"])
def test_series_in_every_form(name, form, tmp_path):
    source = source_of(network(name, SERIES))
    samples = random_samples(source.sample_shape, 6)
    assert agrees(export_onnx(source, tmp_path / "a.onnx", samples=samples, form=form))


def test_a_network_of_convolutions_refuses_a_series_of_features():
    with pytest.raises(ConfigError, match="convolves steps of shape") as refused:
        network("lenet", SERIES)
    assert refused.value.remedy == "choose model.name=mlp"


def test_an_encoder_of_events_cannot_be_in_the_file(tmp_path):
    source = source_of(network("mlp", EVENTS))
    with pytest.raises(ConfigError, match="cannot be part of an ONNX file") as refused:
        export_onnx(source, tmp_path / "a.onnx", samples=None, input="image")
    assert "its samples are not images" in refused.value.why
