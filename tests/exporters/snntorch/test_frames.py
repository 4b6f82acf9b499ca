"""Forwards of one step that are given another frame at each step."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.nir.export import export_nir
from asnn.exporters.onnx.export import export_onnx
from asnn.exporters.samples import has_frames
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.source import Samples

STEPS = 6


def net() -> nn.Sequential:
    torch.manual_seed(0)
    lif = [snn.Leaky(beta=0.8, threshold=0.2, init_hidden=True) for _ in range(2)]
    return nn.Sequential(nn.Linear(12, 9), lif[0], nn.Linear(9, 4), lif[1]).eval()


def frames(number: int = 8) -> np.ndarray:
    """Samples `[N, T, F]` that differ from step to step."""
    return (np.random.default_rng(0).random((number, STEPS, 12)) < 0.4).astype(np.float32)


class Explicit(nn.Module):
    """The same network with its membranes as arguments."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2 = nn.Linear(12, 9), nn.Linear(9, 4)
        self.lif1, self.lif2 = (snn.Leaky(beta=0.8, threshold=0.2) for _ in range(2))

    def forward(self, x, mem1, mem2):
        spk, mem1 = self.lif1(self.fc1(x), mem1)
        spk, mem2 = self.lif2(self.fc2(spk), mem2)
        return spk, mem1, mem2


@pytest.mark.parametrize("make", [net, Explicit])
def test_every_step_has_its_own_frame(make) -> None:
    source = source_of_module(make(), in_shape=(12,), steps=STEPS, frames=True)
    assert not source.takes_images and not source.graph.static
    assert source.sample_shape == (STEPS, 12)
    x, network = frames(), net()
    utils.reset(network)
    with torch.no_grad():
        expected = torch.stack([network(torch.from_numpy(x[:, t])) for t in range(STEPS)])
    found = source.eager(torch.from_numpy(source.encode(x))).logits
    assert torch.equal(found, expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize(("export", "name"), [(export_onnx, "m.onnx"), (export_nir, "m.nir")])
def test_files_take_frames(export, name, tmp_path) -> None:
    source = source_of_module(net(), in_shape=(12,), steps=STEPS, frames=True)
    samples = Samples(frames(), None, "frames")
    report = export(source, tmp_path / name, samples=samples).report
    assert report.verified
    file = report.parities[1]
    assert len(file.spikes) == 2 and all(own == found > 0 for own, found in file.spikes.values())


def test_without_frames_a_network_has_an_image() -> None:
    source = source_of_module(net(), in_shape=(12,), steps=STEPS)
    assert source.takes_images and source.graph.static


def test_a_loop_over_one_image_has_no_frames() -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(12, 4), snn.Leaky(beta=0.8)

        def forward(self, x):
            mem, spikes = self.lif.reset_mem(), []
            for _ in range(STEPS):
                spk, mem = self.lif(self.fc(x), mem)
                spikes.append(spk)
            return torch.stack(spikes)

    with pytest.raises(ConfigError, match="makes all steps of one image") as found:
        source_of_module(Looped(), in_shape=(12,), frames=True)
    assert "read x[step] in its loop" in found.value.remedy


def test_files_of_frames_are_known_by_their_axes(tmp_path) -> None:
    np.save(tmp_path / "x.npy", frames())
    np.savez(tmp_path / "x.npz", images=frames(), labels=np.zeros(8, int))
    for name in ("x.npy", "x.npz"):
        assert has_frames(tmp_path / name, (12,))
        assert not has_frames(tmp_path / name, (STEPS, 12))


@pytest.mark.parametrize(
    "form, note",
    [
        ("sequence", "its input has a frame for each step: [4, N, 6]"),
        ("stream", "it takes one frame [6] a call, 4 for a sample"),
        ("portable", "its input has all 4 frames of a sample, one behind the other: [24]"),
    ],
)
def test_a_note_says_how_frames_are_given(tmp_path, form, note):
    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 3), snn.Leaky(0.9, threshold=0.1)

        def forward(self, x):
            mem, found = self.lif.reset_mem(), []
            for t in range(4):
                spk, mem = self.lif(self.fc(x[t]), mem)
                found.append(spk)
            return torch.stack(found)

    source = source_of_module(Frames(), in_shape=(6,))
    export = export_nir if form == "portable" else export_onnx
    assert note in export(source, tmp_path, samples=None, form=form).notes
    image = source_of_module(
        nn.Sequential(nn.Linear(6, 3), snn.Leaky(0.9, init_hidden=True)), in_shape=(6,), steps=4
    )
    assert export(image, tmp_path / "image", samples=None, form=form).notes == [
        "not verified, as requested"
    ]
