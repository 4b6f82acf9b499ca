"""The rows of the comparison: what is changed in one recipe for each data set.

The network is a LeNet with two convolutions and mean pools (what an ANN computes goes over to
spikes through them), T = 8, adaptive neurons, Adam, one budget of epochs. What starts from an ANN
trains that for half of the budget, so that all rows see the training data equally often.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

STEPS = 8


@dataclass(frozen=True)
class Data:
    """A data set with its budget.

    Attributes:
        name: in the options and the names of files.
        title: of its table.
        epochs: the budget, an even number.
        batch_size: of all rows.
        coding: the name of the code of the first row.
        source: the section `[data]`; paths are in the folder of the data.
    """

    name: str
    title: str
    epochs: int
    batch_size: int
    coding: dict[str, Any]
    source: dict[str, Any]

    def recipe(self, data_dir: Path) -> str:
        """Return the recipe of the first row as TOML."""
        source = {
            key: str(data_dir / value) if key.endswith(("path", "dir")) else value
            for key, value in self.source.items()
        }
        document = {
            "name": self.name,
            "data": source,
            "coding": {"steps": STEPS, **self.coding},
            "model": {
                "name": "lenet",
                "widths": [16, 32],
                "hidden": 128,
                "pool": "mean",
                "neuron": "adaptive",
            },
            "train": {"epochs": self.epochs, "batch_size": self.batch_size, "lr": 0.002},
        }
        return tomli_w.dumps(document)


DATA = {
    each.name: each
    for each in (
        Data(
            "fashion",
            "Fashion-MNIST, 6,000 training images, all 10,000 test images; 6 epochs",
            epochs=6,
            batch_size=64,
            coding={"name": "direct"},
            source={"name": "fashion-mnist", "dir": ".", "limit": 6000},
        ),
        Data(
            "nmnist",
            "N-MNIST of 17 × 17 pixels, 900 training and 100 test recordings; 20 epochs",
            epochs=20,
            batch_size=32,
            coding={"name": "frames", "downsample": 2},
            source={
                "name": "events-npz",
                "path": "nmnist_small/nmnist_small_train.npz",
                "test_path": "nmnist_small/nmnist_small_test.npz",
                "duration": 340.0,
            },
        ),
    )
}

Changes = dict[str, Any]


@dataclass(frozen=True)
class System:
    """A row.

    Attributes:
        name: in the options and the names of files.
        title: in the table.
        keys: changes of the recipe, or a function of the data set that returns them.
        only: the data set that it is for; empty for all.
    """

    name: str
    title: str
    keys: Changes | Callable[[Data], Changes] = field(default_factory=dict)
    only: str = ""

    def changes(self, data: Data) -> list[str]:
        """Return the changes as `--set` takes them."""
        keys = self.keys(data) if callable(self.keys) else self.keys
        return [f"{key}={_text(value)}" for key, value in keys.items()]


def systems_of(data: Data) -> list[System]:
    """Return the rows of a data set, the one that others are compared with first."""
    codes = CODES_OF_IMAGES if data.name == "fashion" else CODES_OF_EVENTS
    return [each for each in (*codes, *NEURONS, *METHODS) if each.only in ("", data.name)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _code(name: str, **options: Any) -> System:
    given = {f"coding.{key}": value for key, value in options.items()}
    about = ", ".join(f"{key} {value}" for key, value in options.items())
    title = f"code `{name}`" + (f", {about}" if about else "")
    return System(
        "-".join([name, *map(str, options.values())]), title, {"coding.name": name, **given}
    )


CODES_OF_IMAGES = [
    _code("direct"),
    *map(_code, ("rate", "latency", "delta", "phase", "burst", "temporal", "embedding")),
    _code("bins", background="last"),  # with another background it is `temporal`
    *map(_code, ("hybrid", "hybrid-embedding", "impulse")),
]
CODES_OF_EVENTS = [
    _code("frames"),
    _code("frames", value="count"),
    _code("voxel"),
    _code("time-surface"),
]

FIRST_CROSSING: Changes = {"readout.name": "first-crossing", "model.output_scale": False}
INTEGRATE: Changes = {"model.neuron": "integrate", "model.output_scale": False}


def _from_ann(**methods: Any) -> Callable[[Data], Changes]:
    """Return the changes of what starts from an ANN: half of the budget is the ANN's."""

    def keys(data: Data) -> Changes:
        half = data.epochs // 2
        found: Changes = {**INTEGRATE, "train.init": "ann", "train.ann_epochs": half}
        found["train.epochs"] = half
        for key, value in methods.items():
            key = key.replace("__", ".")
            found[key] = value(data) if callable(value) else value
        return found

    return keys


def _stages(data: Data) -> list[int]:
    """Return the epochs of the stages of tandem learning, one for each layer of neurons."""
    third = data.epochs // 2 // 3
    return [third, third, data.epochs // 2 - 2 * third]


NEURONS = [
    System("relu", "ANN: `relu`", {"model.neuron": "relu", "model.output_scale": False}),
    System("fixed", "neuron `fixed`", {"model.neuron": "fixed"}),
    System("exp", "synapse `exp`", {"synapse.name": "exp"}),
    System("dual-exp", "synapse `dual-exp`", {"synapse.name": "dual-exp"}),
    System(
        "single-spike",
        "`neuron.once`, code `hybrid`",
        {"neuron.once": True, "coding.name": "hybrid"},
        only="fashion",
    ),
    System("single-spike", "`neuron.once`", {"neuron.once": True}, only="nmnist"),
]

METHODS = [
    System("tet", "loss `tet`", {"train.loss": "tet"}),
    System(
        "first-spike",
        "loss `first-spike`",
        {**FIRST_CROSSING, "readout.quantity": "drawn", "train.loss": "first-spike"},
    ),
    System(
        "first-spike-noise",
        "loss `first-spike`, neurons with noise",
        {
            **FIRST_CROSSING,
            "readout.quantity": "drawn",
            "train.loss": "first-spike",
            "neuron.noise": "logistic",
        },
    ),
    System(
        "rank",
        "loss `rank`",
        {
            **FIRST_CROSSING,
            "readout.quantity": "probability",
            "readout.level": 0.9,
            "train.loss": "rank",
        },
    ),
    System(
        "dsr",
        "gradient `representation` (DSR)",
        {
            **INTEGRATE,
            "neuron.gradient": "representation",
            "neuron.fraction": 0.5,
            "neuron.amplitude": 2.0,
            "neuron.learn_amplitude": True,
        },
    ),
    System(
        "distillation",
        "method `distillation` from an ANN",
        lambda data: {
            "method.name": "distillation",
            "train.epochs": data.epochs // 2,
            "train.ann_epochs": data.epochs // 2,
        },
    ),
    System(
        "conversion",
        "conversion, no training after",
        lambda data: {
            **INTEGRATE,
            "train.init": "ann",
            "train.ann_epochs": data.epochs,
            "train.epochs": 0,
        },
    ),
    System(
        "conversion-burst",
        "conversion, bursts of 5",
        lambda data: {
            **INTEGRATE,
            "neuron.most": 5,
            "train.init": "ann",
            "train.ann_epochs": data.epochs,
            "train.epochs": 0,
        },
    ),
    System(
        "ltl",
        "method `ltl`, bursts of 5, first crossing",
        _from_ann(
            neuron__most=5,
            neuron__gradient="straight-through",
            readout__name="first-crossing",
            readout__quantity="potential",
            readout__psp=[2.0, 0.5],
            readout__level=3.0,
            method__name="ltl",
            method__readout_epochs=lambda data: data.epochs // 6,
            method__readout_lr=0.002,
            train__lr=0.0003,
            train__ann_lr=0.002,
        ),
    ),
    System(
        "tandem",
        "method `tandem`",
        _from_ann(
            neuron__gradient="none",
            method__name="tandem",
            method__stage_epochs=_stages,
            train__calibrate="quantile",
        ),
    ),
    System(
        "hsd",
        "step-wise distillation from `qcfs` (HSD)",
        _from_ann(
            neuron__fraction=0.5,
            neuron__gradient="triangle",
            method__name="distillation",
            method__mode="add",
            method__weight=1.0,
            train__ann_neuron="qcfs",
            train__ann_levels=8,
            train__lr=0.001,
            train__ann_lr=0.002,
        ),
    ),
]
