"""How much of what a network computes turns, flips and moves with its input.

A layer f is equivariant under a transform g if f(g x) = g f(x). Both sides are computed of each
sample, and the transform of the left one is undone before spikes are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..coding.draws import drawing, sample_keys
from ..core.errors import ConfigError
from ..core.registry import unknown
from ..datasets.base import Split
from ..datasets.batches import Batches
from ..models.layers.spiking import SpikingLayer, layer_outputs
from ..models.layers.time import is_static
from ..models.network import SpikingNetwork
from ..tasks.base import Meter, Task

ROWS, COLUMNS = 3, 4
"""The axes of an image in a code or an output `[T, B, C, H, W]`."""
QUARTERS = (1, 2, 3)
NAMES = ("rot90", "flip", "shift")


@dataclass(frozen=True)
class Transform:
    """A transform of images.

    Attributes:
        name: `rot90`, counter-clockwise; `flip`, left to right; `shift`, to the right and down,
            where what leaves the image enters it on the other side.
        amount: degrees of `rot90`, pixels of `shift`.
    """

    name: str
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.amount}" if self.amount else self.name

    def of(self, code: Tensor) -> Tensor:
        """Return the transform of a code `[T, B, C, H, W, ...]`."""
        if is_static(code):
            return self.of(code[:1]).expand(code.shape)
        if self.name == "rot90":
            return torch.rot90(code, self.amount // 90, (ROWS, COLUMNS))
        if self.name == "flip":
            return code.flip(COLUMNS)
        return code.roll((self.amount, self.amount), (ROWS, COLUMNS))

    def undone(self, y: Tensor, rotations: int, side: int) -> Tensor | None:
        """Return the output of a layer for a transformed code as that for the code.

        Args:
            y: `[T, B, C, H', W']`, or features `[T, B, F]`, which stay.
            rotations: of how many rotations by 90° the channels are, the slower axis of them.
            side: of the image of the code.

        Returns:
            The output; None if a pixel of the layer is not a whole number of shifts.
        """
        if y.dim() != 5:
            return y
        if self.name == "rot90":
            quarters = self.amount // 90
            y = torch.rot90(y, -quarters, (ROWS, COLUMNS))
            if rotations == 1:
                return y
            return y.unflatten(2, (rotations, -1)).roll(-quarters, 2).flatten(2, 3)
        if self.name == "flip":
            return y.flip(COLUMNS)
        pixels, rest = divmod(self.amount * y.shape[ROWS], side)
        return None if rest else y.roll((-pixels, -pixels), (ROWS, COLUMNS))


def read_transforms(text: str, model: SpikingNetwork) -> list[Transform]:
    """Return the transforms that a text such as `rot90,flip,shift=2` names.

    Raises:
        ConfigError: an unknown name, a shift that is no number of pixels, or a network whose steps
            are no images, or for rot90 no square ones.
    """
    shape = model.step_shape
    if shape is None or len(shape) < 3:
        raise ConfigError(
            "--equivariance is for networks of images and events",
            why="the steps of this network have no rows and columns",
            remedy="leave --equivariance out",
        )
    found: list[Transform] = []
    for each in text.split(","):
        name, _, amount = each.strip().partition("=")
        if name not in NAMES:
            raise unknown("transform of --equivariance", name, list(NAMES))
        if amount and name != "shift":
            raise ConfigError(f"{name} takes no amount, not {each}", remedy=f"give {name}")
        if name == "rot90":
            if shape[1] != shape[2]:
                raise ConfigError(
                    f"rot90 turns images by 90°, those of {shape[1]}×{shape[2]} are not square",
                    remedy="choose from flip, shift",
                )
            found += [Transform(name, 90 * quarters) for quarters in QUARTERS]
        elif name == "flip":
            found.append(Transform(name))
        else:
            found.append(Transform(name, _pixels(amount or "1", shape)))
    return list(dict.fromkeys(found))


def _pixels(text: str, shape: tuple[int, ...]) -> int:
    most = min(shape[1:3]) - 1
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ConfigError(
            f"shift={text} is no number of pixels from 1 to {most}",
            why=f"the images have {shape[1]}×{shape[2]} pixels",
        )
    return int(text)


@dataclass
class _Spikes:
    """Spikes of a layer for samples and for transformed ones.

    Attributes:
        equal: outputs above 0 that are equal in both.
        either: outputs above 0 in one or both.
        differing: outputs that are not equal.
        aligned: whether the transform could be undone.
    """

    equal: int = 0
    either: int = 0
    differing: int = 0
    aligned: bool = True

    def add(self, y: Tensor, other: Tensor | None) -> None:
        if other is None:
            self.aligned = False
            return
        same, active = y == other, (y != 0) | (other != 0)
        self.equal += int((same & active).sum())
        self.either += int(active.sum())
        self.differing += int((~same).sum())

    def document(self) -> dict[str, Any]:
        if not self.aligned:
            return {"equal_spikes": None, "spikes": None, "differing": None}
        share = self.equal / self.either if self.either else None
        return {"equal_spikes": share, "spikes": self.either, "differing": self.differing}


@dataclass
class _Comparison:
    """One transform, over all batches."""

    meter: Meter
    layers: dict[str, _Spikes] = field(default_factory=dict)
    answers: int = 0
    equal_answers: int = 0
    change: float = 0.0
    norm: float = 0.0


def require_unmoved(task: Task) -> None:
    """Refuse a task whose answers move with what a sample shows.

    Raises:
        ConfigError: it is one.
    """
    if task.has_places:
        raise ConfigError(
            f"--equivariance is not for the task {task.name}",
            why="its answers have places in the sample, which would move too",
            remedy="leave --equivariance out",
        )


@torch.no_grad()
def equivariance(
    model: SpikingNetwork,
    split: Split,
    transforms: list[Transform],
    *,
    task: Task,
    full_scale: float,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    steps: int | None = None,
    each_batch: Callable[[], None] = lambda: None,
    part: tuple[int, int] = (0, 1),
) -> list[dict[str, Any]]:
    """Return how much of the answers and of the spikes of each layer a transform leaves as it is.

    The code of a sample is transformed, so that a random code is the same one. The frozen network
    computes it.

    Args:
        model: network on `device`.
        split: samples and targets.
        transforms: of the samples.
        task: what the network is asked.
        full_scale, batch_size, device, steps, each_batch: as of `evaluate`.
        part: ignored: one process computes all samples.

    Returns:
        For each transform `transform`, `amount`, the primary metric of the task for transformed
        samples by its name, `equal_answers` (share of the samples, or of the samples and steps,
        with the same class; None of a task without classes), `output_change` (root of the mean
        square of f(g x) - f(x) over that of the answers f(x)), and by layer in `layers`
        `equal_spikes` (share with the same output, of neurons and steps with a spike in either),
        `spikes` (their number) and `differing` (outputs that differ). The three are None where a
        shift is not a whole number of pixels of a layer.

    Raises:
        ConfigError: answers that move with what a sample shows.
    """
    require_unmoved(task)
    batches = Batches(split, batch_size=batch_size, full_scale=full_scale, device=device)
    network = model.frozen()
    layers = _rotations(network.body)
    length = model.outputs_within(steps)
    found = {transform: _Comparison(task.meter(length)) for transform in transforms}
    generators = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(generators))
        torch.manual_seed(0)
        outputs_of = stack.enter_context(layer_outputs(network))
        for x, targets in batches:
            each_batch()
            assert targets.samples is not None, "batches say which samples they hold"
            keys = sample_keys(targets.samples, 0)
            with drawing(keys):
                code = network.coding.encode(x)[:steps]  # type: ignore[arg-type]
            with drawing(keys):
                outputs = network.run(code)
            spikes = {name: outputs_of[name] for name in layers if name in outputs_of}
            for transform, comparison in found.items():
                with drawing(keys):
                    other = network.run(transform.of(code))
                comparison.meter.take(other, targets)
                _compare_answers(comparison, network, task, outputs, other)
                for name, y in spikes.items():
                    undone = transform.undone(outputs_of[name], layers[name], code.shape[ROWS])
                    comparison.layers.setdefault(name, _Spikes()).add(y, undone)
    return [_row(transform, comparison, task) for transform, comparison in found.items()]


def _rotations(body: nn.Module) -> dict[str, int]:
    """Return of how many rotations the channels of each spiking layer are, by its name."""
    return {
        name: part.rotations
        for name, part in body.named_modules()
        if isinstance(part, SpikingLayer) and getattr(part.neuron, "spiking", True)
    }


def _compare_answers(
    found: _Comparison, network: SpikingNetwork, task: Task, outputs: Tensor, other: Tensor
) -> None:
    answers, changed = (task.answer(each).double() for each in (outputs, other))
    found.change += float((changed - answers).square().sum())
    found.norm += float(answers.square().sum())
    if task.one_class:
        decided = [network.readout.decide(each).scores.argmax(1) for each in (outputs, other)]
    elif task.classes:
        decided = [each.argmax(2) for each in (outputs, other)]
    else:
        return
    found.answers += decided[0].numel()
    found.equal_answers += int((decided[0] == decided[1]).sum())


def _row(transform: Transform, found: _Comparison, task: Task) -> dict[str, Any]:
    def alone(value: Tensor) -> Tensor:
        return value

    name = task.primary.name
    return {
        "transform": transform.name,
        "amount": transform.amount,
        name: found.meter.result(alone, alone).values[name],
        "equal_answers": found.equal_answers / found.answers if found.answers else None,
        "output_change": (found.change / found.norm) ** 0.5 if found.norm else None,
        "layers": {name: spikes.document() for name, spikes in found.layers.items()},
    }
