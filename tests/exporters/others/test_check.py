"""Files of other tools compared with a network: differences are those that the tools count."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import nir
import numpy as np
import onnx
import pytest
import snntorch as snn
import torch
from snntorch import utils
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir
from torch import nn

import asnn
from asnn.core.errors import ConfigError, DataError
from asnn.exporters import export_nir, source_of
from asnn.exporters.export import verify
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.source import Samples, random_samples
from asnn.records.import_nir import import_nir

STEPS = 12


def lif(number: int, reset: str, **more) -> snn.Leaky:
    beta, threshold = torch.full((number,), 0.9), torch.full((number,), 0.5)
    return snn.Leaky(
        beta=beta, threshold=threshold, init_hidden=True, reset_mechanism=reset, **more
    )


def net(reset: str) -> nn.Sequential:
    torch.manual_seed(0)
    ends = lif(16, reset), lif(4, reset, output=True)
    return nn.Sequential(nn.Linear(20, 16), ends[0], nn.Linear(16, 4), ends[1]).eval()


def written_by_snntorch(network: nn.Module, path: Path) -> Path:
    with contextlib.redirect_stdout(io.StringIO()):
        nir.write(path, export_to_nir(network, torch.rand(20)))
    return path


def in_snntorch(path: Path, images: torch.Tensor) -> torch.Tensor:
    """Return the spikes of the last layer of a NIR file in snnTorch, `[T, N, K]`."""
    with contextlib.redirect_stdout(io.StringIO()):
        back, state, found = import_from_nir(nir.read(path)), None, []
    for _ in range(STEPS):
        spikes, state = back(images, state)
        found.append(spikes.detach())
    return torch.stack(found)


def test_the_lost_reset_of_a_nir_file_is_counted(tmp_path) -> None:
    """snnTorch writes a reset by subtraction as one to zero."""
    network, samples = net("subtract"), random_samples((20,), 16)
    source = source_of_module(network, in_shape=(20,), steps=STEPS)
    path = written_by_snntorch(network, tmp_path / "theirs.nir")
    images = torch.from_numpy(samples.images)
    utils.reset(network)
    with torch.no_grad():
        own = torch.stack([network(images)[0] for _ in range(STEPS)])
    theirs = in_snntorch(path, images)

    report = verify(source, path, samples)
    parity = report.parities[1]
    assert not report.verified
    first, last = parity.spikes
    assert parity.spikes[last] == (own.sum(), theirs.sum())
    assert parity.spike_mismatches[last].tolist() == (own != theirs).sum((1, 2)).tolist()
    assert own.sum() > theirs.sum() > 0
    assert parity.first_mismatch is not None
    assert (parity.first_mismatch.layer, parity.first_mismatch.step) == (first, 1)
    assert [*parity.about["layers"].values()] == ["1", "3"]
    assert parity.about["dt"] == 1e-4
    assert "does not state the length of a step: 0.0001 s" in report.notes[0]


def test_62_spikes_become_45(tmp_path) -> None:
    """On frames of random spikes: the numbers that snnTorch counts in its own file, read back."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(40, 1, 20, generator=generator) < 0.4).float()
    network = net("subtract")
    path = written_by_snntorch(network, tmp_path / "theirs.nir")
    source = source_of_module(network, in_shape=(20,), steps=40, frames=True)
    report = verify(source, path, Samples(x.transpose(0, 1).numpy(), None, "spikes"))
    parity = report.parities[1]
    last = source.graph.neurons[-1].name
    assert parity.spikes[last] == (62, 45)
    assert parity.spike_mismatches[last].sum() == 43


def recurrent(reset: str) -> nn.Sequential:
    torch.manual_seed(0)
    options = {"beta": torch.full((16,), 0.9), "threshold": torch.full((16,), 0.5)}
    options |= {"init_hidden": True, "reset_mechanism": reset}
    hidden = snn.RLeaky(linear_features=16, **options)
    ends = nn.Linear(16, 4), lif(4, reset, output=True)
    return nn.Sequential(nn.Linear(20, 16), hidden, *ends).eval()


@pytest.mark.parametrize(
    ("reset", "semantics"), [("subtract", "snntorch"), ("zero", "snntorch-zero")]
)
def test_a_file_as_the_simulator_computes_it_that_wrote_it(reset, semantics, tmp_path) -> None:
    """What the file leaves out, the semantics of snnTorch say: no spike differs."""
    network = recurrent(reset)
    path = written_by_snntorch(network, tmp_path / "theirs.nir")
    source = source_of_module(network, in_shape=(20,), steps=STEPS, frames=True)
    spikes = (np.random.default_rng(0).random((8, STEPS, 20)) < 0.4).astype(np.float32)
    samples = Samples(spikes, None, "spikes")
    assert not verify(source, path, samples).verified
    report = verify(source, path, samples, semantics=semantics)
    assert report.verified
    counted = report.parities[1].spikes
    assert len(counted) == 2 and all(own == found > 0 for own, found in counted.values())
    assert report.parities[1].about["semantics"] == semantics


def test_the_nodes_of_an_imported_network_are_compared_with_the_module(tmp_path) -> None:
    """Their metadata name the semantics, which are taken."""
    network = recurrent("subtract")
    path = written_by_snntorch(network, tmp_path / "theirs.nir")
    imported = import_nir(path, steps=STEPS, semantics="snntorch").model
    given = tmp_path / "given.nir"
    export_nir(source_of(imported), given, samples=None, form="given")
    source = source_of_module(network, in_shape=(20,), steps=STEPS, frames=True)
    samples = random_samples(source.sample_shape, 8)
    report = verify(source, given, samples)
    assert report.verified and report.parities[1].about["semantics"] == "snntorch"
    assert "semantics are those of snntorch" in report.notes[0]
    assert not verify(source, given, samples, semantics="nir").verified


def test_semantics_and_steps_are_of_nir_files(unrolled, tmp_path) -> None:
    path = written_by_torch(Unrolled(), tmp_path / "theirs.onnx")
    with pytest.raises(ConfigError, match=r"semantics are for \.nir files"):
        verify(unrolled, path, random_samples((12,), 2), semantics="snntorch")
    with pytest.raises(ConfigError, match=r"dt, is for \.nir files"):
        verify(unrolled, path, random_samples((12,), 2), dt=1e-4)
    path = written_by_snntorch(net("zero"), tmp_path / "theirs.nir")
    source = source_of_module(net("zero"), in_shape=(20,), steps=STEPS)
    with pytest.raises(ConfigError, match="unknown semantics 'brian'"):
        verify(source, path, random_samples((20,), 2), semantics="brian")
    for dt in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="--dt is "):
            verify(source, path, random_samples((20,), 2), dt=dt, semantics="nir")


def test_a_nir_file_that_computes_the_same_agrees(tmp_path) -> None:
    network = net("zero")
    source = source_of_module(network, in_shape=(20,), steps=STEPS)
    path = written_by_snntorch(network, tmp_path / "theirs.nir")
    report = verify(source, path, random_samples((20,), 16))
    assert report.verified
    spikes = report.parities[1].spikes
    assert all(own == found > 0 for own, found in spikes.values())
    assert report.parities[1].as_dict()["spikes"] == {
        name: {"network": own, "file": own} for name, (own, _) in spikes.items()
    }


def written(path: Path, change) -> Path:
    """Write a graph of one layer, or another."""
    ones = np.ones(4, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([20])}),
        "fc": nir.Linear(np.full((4, 20), 0.1, np.float32)),
        "lif": nir.LIF(tau=1e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    nodes, edges = change(nodes, edges)
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return path


def test_what_does_not_match_is_refused(tmp_path) -> None:
    source = source_of_module(net("zero"), in_shape=(20,), steps=STEPS)
    samples = random_samples((20,), 4)

    def check(change, **more):
        return verify(source, written(tmp_path / "x.nir", change), samples, **more)

    with pytest.raises(ConfigError, match="the length of a step of .* is missing") as missing:
        check(lambda nodes, edges: (nodes, edges))
    assert missing.value.remedy.startswith("give --dt in seconds")

    check(lambda nodes, edges: (nodes, edges), dt=1e-4)
    report = asnn.verify(source, tmp_path / "x.nir", samples=samples, dt=1e-4)  # of one layer
    assert report.notes == [
        f"{tmp_path / 'x.nir'}: its layers are not compared: they have [4] neurons, "
        "the network [16, 4]"
    ]
    assert [*report.parities[1].spikes] == [source.graph.neurons[-1].name]

    def of_size(kind, size):
        ends = {"input": nir.Input, "output": nir.Output}
        return lambda nodes, edges: (nodes | {kind: ends[kind]({kind: np.array([size])})}, edges)

    with pytest.raises(DataError) as refused:
        check(of_size("input", 21), dt=1e-4)
    assert refused.value.why == "its input is [21], that of the network [20]"

    def of_values(nodes, edges):
        kept = {name: node for name, node in nodes.items() if name != "lif"}
        return kept, [("input", "fc"), ("fc", "output")]

    with pytest.raises(DataError) as refused:
        check(of_values, dt=1e-4)
    assert refused.value.why == "it ends with values, the network with spikes"


class Unrolled(nn.Module):
    """A network that loops over its steps, as for `torch.onnx.export`."""

    def __init__(self, scale: float = 1.0, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(12, 8), snn.Leaky(beta=0.9, threshold=0.3)
        self.fc2, self.lif2 = nn.Linear(8, 4), snn.Leaky(beta=0.9, threshold=0.3)
        self.fc1.weight.data *= scale
        self.both = both

    def forward(self, x):
        m1, m2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for _ in range(STEPS):
            s, m1 = self.lif1(self.fc1(x), m1)
            s, m2 = self.lif2(self.fc2(s), m2)
            spikes.append(s)
            membranes.append(m2)
        if self.both:
            return torch.stack(membranes), torch.stack(spikes)
        return torch.stack(spikes)


def written_by_torch(network: nn.Module, path: Path, **options) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.rand(2, 12),), path, dynamo=False, **options)
    return path


@pytest.fixture(scope="module")
def unrolled():
    return source_of_module(Unrolled(), in_shape=(12,))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_an_onnx_file_of_a_fixed_batch(number, unrolled, tmp_path) -> None:
    path = written_by_torch(Unrolled(), tmp_path / "theirs.onnx")
    report = verify(unrolled, path, random_samples((12,), number))
    assert report.verified
    assert report.parities[1].samples == number
    own, found = report.parities[1].spikes[unrolled.graph.neurons[-1].name]
    assert own == found
    assert number < 5 or own > 0


def test_an_onnx_file_of_other_weights(unrolled, tmp_path) -> None:
    path = written_by_torch(Unrolled(scale=1.1), tmp_path / "theirs.onnx")
    samples = random_samples((12,), 6)
    report = verify(unrolled, path, samples)
    images = torch.from_numpy(samples.images)
    with torch.no_grad():
        own, theirs = Unrolled()(images), Unrolled(scale=1.1)(images)
    parity = report.parities[1]
    assert not report.verified
    name = unrolled.graph.neurons[-1].name
    assert parity.spikes[name] == (own.sum(), theirs.sum())
    assert parity.spike_mismatches[name].tolist() == (own != theirs).sum((1, 2)).tolist()
    assert parity.first_mismatch.layer == name
    assert parity.first_mismatch.step == int((own != theirs).any(2).any(1).int().argmax())


def test_the_output_of_spikes_is_chosen(unrolled, tmp_path) -> None:
    """Membranes have the shape of spikes."""
    axes = {"x": {0: "n"}, "mem": {1: "n"}, "spk": {1: "n"}}
    path = written_by_torch(
        Unrolled(both=True),
        tmp_path / "theirs.onnx",
        input_names=["x"],
        output_names=["mem", "spk"],
        dynamic_axes=axes,
    )
    report = verify(unrolled, path, random_samples((12,), 6))
    assert report.verified
    assert report.notes == [f"{path}: its output spk is compared, not mem"]


def test_the_answer_of_an_onnx_file(unrolled, tmp_path) -> None:
    class Mean(Unrolled):
        def forward(self, x):
            return super().forward(x).mean(0)

    path = written_by_torch(Mean(), tmp_path / "theirs.onnx")
    report = verify(unrolled, path, random_samples((12,), 6))
    assert report.verified
    assert not report.parities[1].spikes
    path = written_by_torch(Mean(scale=1.1), tmp_path / "theirs.onnx")
    assert "the logits differ" in verify(unrolled, path, random_samples((12,), 6)).fault


def test_frames_of_a_sequence(tmp_path) -> None:
    class Events(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.lif = nn.Linear(6, 4), snn.Leaky(beta=0.9, threshold=0.3)

        def forward(self, x):
            mem, spikes = self.lif.reset_mem(), []
            for t in range(STEPS):
                s, mem = self.lif(self.fc(x[t]), mem)
                spikes.append(s)
            return torch.stack(spikes)

    class BatchFirst(Events):
        def forward(self, x):
            return super().forward(x.swapaxes(0, 1)).swapaxes(0, 1)

    source = source_of_module(Events(), in_shape=(6,))
    rng = np.random.default_rng(0)
    samples = Samples(rng.random((5, *source.sample_shape), np.float32), None, "noise")
    for network, shape in ((Events(), (STEPS, 2, 6)), (BatchFirst(), (2, STEPS, 6))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (torch.rand(shape),), tmp_path / "e.onnx", dynamo=False)
        report = verify(source, tmp_path / "e.onnx", samples)
        assert report.verified
        assert sum(report.parities[1].spikes[source.graph.neurons[-1].name]) > 0


def test_inputs_and_outputs_of_an_onnx_file_that_do_not_match(unrolled, tmp_path) -> None:
    samples = random_samples((12,), 4)

    def refusal(**changes) -> str:
        path = written_by_torch(Unrolled(), tmp_path / "x.onnx")
        model = onnx.load(path)
        if "extra" in changes:
            model.graph.input.add().CopyFrom(model.graph.input[0])
            model.graph.input[1].name = "mem"
        if "output" in changes:
            del model.graph.output[:]
            info = onnx.helper.make_tensor_value_info("y", 1, [2, 12])
            model.graph.node.add(op_type="Relu", input=[model.graph.input[0].name], output=["y"])
            model.graph.output.append(info)
        if "domain" in changes:
            model.graph.node[0].domain = "com.example"
            model.opset_import.add(domain="com.example", version=1)
        onnx.save(model, path)
        with pytest.raises(DataError) as found:
            verify(unrolled, path, samples)
        return f"{found.value.what}: {found.value.why}"

    assert "it has 2 inputs" in refusal(extra=1)
    assert "its outputs are y [2, 12]; the network gives spikes [T, N, 4]" in refusal(output=1)
    assert "has operators of 'com.example'" in refusal(domain=1)

    path = written_by_torch(Unrolled(), tmp_path / "x.onnx")
    wide = source_of_module(net("zero"), in_shape=(20,), steps=STEPS)
    with pytest.raises(DataError) as found:
        verify(wide, path, random_samples((20,), 4))
    assert found.value.why.endswith(
        "is [2, 12]; the network takes [N, 20] or [T, N, 20] or [N, T, 20], T = 12"
    )


def test_a_file_with_its_weights_in_another(unrolled, tmp_path) -> None:
    path = written_by_torch(Unrolled(), tmp_path / "one.onnx")
    two = tmp_path / "two.onnx"
    onnx.save(
        onnx.load(path), two, save_as_external_data=True, location="two.data", size_threshold=0
    )
    assert verify(unrolled, two, random_samples((12,), 4)).verified
    (tmp_path / "two.data").unlink()
    with pytest.raises(DataError, match="is one of two files"):
        verify(unrolled, two, random_samples((12,), 4))


def test_an_export_of_asnn_with_its_weights_in_another_file(unrolled, tmp_path) -> None:
    samples = random_samples((12,), 4)
    asnn.export_onnx(unrolled, tmp_path / "m.onnx", samples=samples)
    model = onnx.load(tmp_path / "m.onnx")
    onnx.save(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=200,
    )
    report = verify(unrolled, tmp_path / "m.onnx", samples)
    assert report.verified and report.structure == []
