"""Outputs of cells: a 1×1 convolution of each step, over one or several grids."""

import pytest
import torch
from torch import nn

from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.time import OverTime
from asnn.models.readouts.detection import DetectionReadout, Grid

STEPS, BATCH, CHANNELS, OUTPUTS = 3, 2, 4, 7


def _readout(scaled: bool = True, scales: int = 1) -> DetectionReadout:
    torch.manual_seed(0)
    further = then = None
    if scales == 2:
        further = nn.Sequential(OverTime(SpikeConv2d(CHANNELS, 8, 3, stride=2, padding=1)))
        then = DetectionReadout(8, OUTPUTS, grid=Grid(16, 3, 2), steps=STEPS, scaled=scaled)
    made = DetectionReadout(
        CHANNELS,
        OUTPUTS,
        grid=Grid(8, 5, 4),
        steps=STEPS,
        scaled=scaled,
        further=further,
        then=then,
    )
    for part in made.modules():
        if isinstance(part, DetectionReadout) and part.scale is not None:
            nn.init.uniform_(part.scale, 0.5, 2)
    return made


def _features() -> torch.Tensor:
    drawn = torch.rand(STEPS, BATCH, CHANNELS, 5, 4, generator=torch.Generator().manual_seed(1))
    return (drawn < 0.4).float()


def _by_torch(readout: DetectionReadout, x: torch.Tensor) -> torch.Tensor:
    """Each step alone, by `nn.functional.conv2d`."""
    weight = readout.linear.weight[:, :, None, None]
    steps = [nn.functional.conv2d(step, weight, readout.linear.bias).flatten(2) for step in x]
    scale = torch.ones(len(x)) if readout.scale is None else readout.scale
    return torch.stack([step * factor for step, factor in zip(steps, scale, strict=True)])


@pytest.mark.parametrize("scaled", [False, True])
def test_each_cell_is_a_1x1_convolution_of_its_step(scaled: bool) -> None:
    readout, x = _readout(scaled), _features()
    out = readout(x)
    assert out.shape == (STEPS, BATCH, OUTPUTS, 20)
    torch.testing.assert_close(out, _by_torch(readout, x))
    # Row by row: the cell of row 2 and column 1 reads that pixel alone.
    moved = x.clone()
    moved[:, :, :, 2, 1] += 1
    changed = (readout(moved) - out).abs().amax((0, 1, 2)) > 0
    assert changed.nonzero().flatten().tolist() == [2 * 4 + 1]


def test_cells_of_further_grids_follow() -> None:
    readout, x = _readout(scales=2), _features()
    assert readout.further is not None and readout.then is not None
    out = readout(x)
    assert readout.grids == (Grid(8, 5, 4), Grid(16, 3, 2))
    assert out.shape[-1] == sum(grid.height * grid.width for grid in readout.grids)
    torch.testing.assert_close(out[..., :20], _by_torch(readout, x))
    torch.testing.assert_close(out[..., 20:], _by_torch(readout.then, readout.further(x)))


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_mean_is_that_of_the_steps(scaled: bool, scales: int) -> None:
    readout, x = _readout(scaled, scales), _features()
    out = readout(x)
    torch.testing.assert_close(readout.mean(x), out.mean(0))
    torch.testing.assert_close(readout.answer(out), out.mean(0))
    so_far = readout.so_far(out)
    torch.testing.assert_close(so_far[1], out[:2].mean(0))
    assert not torch.allclose(so_far[1], so_far[2])
