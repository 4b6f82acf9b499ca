"""Networks that create_model did not build: exported, or refused with what to do."""

import json

import nir
import onnx
import pytest

import asnn
from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of, verify
from asnn.models import SpikingNetwork
from tests.support.exported_networks import SHAPE, images, network


def built_by_hand(**options):
    """A network without `config`, of the layers of a model that spikes."""
    model = network("mlp", **options)
    return SpikingNetwork(model.coding, model.body).eval()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "nir"])
def test_it_is_exported_and_verified(tmp_path, no_simulators, format):
    model = built_by_hand()
    assert not model.has_config
    source = source_of(model, in_shape=SHAPE)
    some = random_samples(SHAPE, 24)
    export = {"onnx": export_onnx, "nir": export_nir}[format]
    result = export(source, tmp_path, samples=some)
    assert result.report.verified
    assert all(result.report.spikes.values())
    path = tmp_path / f"model.{format}"
    assert verify(source, path, some).verified
    # The control: the file of another network.
    other = source_of(built_by_hand(seed=5), in_shape=SHAPE)
    assert not verify(other, path, some).verified
    if format == "onnx":
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        about = metadata["network"]
    else:
        about = nir.read(path).metadata["network"]
    about = json.loads(about)
    assert about == {"from": "SpikingNetwork", "coding": "hybrid", "steps": 3}
    assert source.graph.classes == 4


def test_its_graph_is_that_of_the_built_network():
    model = network("mlp")
    by_hand = SpikingNetwork(model.coding, model.body).eval()
    expected, found = source_of(model), source_of(by_hand, in_shape=SHAPE)
    assert [node.name for node in found.graph.nodes] == [n.name for n in expected.graph.nodes]
    code = expected.coding.encode(images())
    assert (found.eager(code).logits == expected.eager(code).logits).all()


def test_an_unknown_shape_is_refused():
    with pytest.raises(ConfigError) as refused:
        source_of(built_by_hand())
    assert refused.value.what == "the shape of the input is unknown"
    assert "was not built by create_model" in refused.value.why
    assert "pass in_shape=(C, H, W) of one image" in refused.value.remedy


@pytest.mark.parametrize("in_shape", [(72,), (2, 0, 6)])
def test_what_is_no_shape_of_an_image_is_refused(in_shape):
    with pytest.raises(ConfigError) as refused:
        source_of(built_by_hand(), in_shape=in_shape)
    assert refused.value.what == f"in_shape is {in_shape}"
    assert refused.value.remedy == "give (C, H, W) of one image, without the batch"


def test_a_shape_that_the_layers_do_not_accept_is_refused():
    with pytest.raises(ConfigError, match="expects 72 features, not \\(60,\\)"):
        source_of(built_by_hand(), in_shape=(2, 6, 5))


def test_a_shape_that_contradicts_the_configuration_is_refused():
    with pytest.raises(ConfigError) as refused:
        source_of(network("mlp"), in_shape=(2, 12, 3))
    assert refused.value.why == "the network was built for (2, 6, 6)"


def test_samples_give_the_shape(tmp_path):
    result = asnn.export_onnx(built_by_hand(), tmp_path, samples=random_samples(SHAPE, 8))
    assert result.report.verified
    with pytest.raises(ConfigError, match="the shape of the input is unknown"):
        asnn.export_onnx(built_by_hand(), tmp_path)
