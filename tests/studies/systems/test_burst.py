"""The study of bursts: its controls change what they say, and the table has every row."""

import sys

import pytest
import torch

from asnn.models import create_model
from studies.systems import burst


def network():
    torch.manual_seed(0)
    return create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, coding="direct", neuron="integrate",
        neuron_options={"most": 5, "amplitude": 0.1}, features=[6],
    ).eval()  # fmt: skip


@torch.no_grad()
def test_neurons_are_changed():
    model, x = network(), torch.rand(5, 1, 4, 4)
    burst.change_neurons(model, 1, 3.0)
    neuron = model.body.spikes1.neuron
    assert neuron.most == 1 and float(neuron.amplitude) == pytest.approx(0.3)
    sent = []
    neuron.register_forward_hook(lambda _, inputs, out: sent.append(out))
    model(x)
    assert set((sent[0] / 0.3).round().unique().tolist()) == {0.0, 1.0}


def test_targets_are_those_of_the_next_sample():
    shifted = burst.rolled(lambda self, x: {"a": x})
    x = torch.arange(4.0)
    assert shifted(None, x)["a"].tolist() == [1, 2, 3, 0]


@pytest.mark.slow
def test_the_table_has_every_row(tmp_path, monkeypatch, capsys):
    keys = [
        "data.name=digits", "data.limit=60", "model.features=[8]", "coding.steps=2",
        "train.ann_epochs=1", "train.epochs=2", "method.readout_epochs=1", "train.batch_size=30",
    ]  # fmt: skip
    arguments = [word for key in keys for word in ("--set", key)]
    monkeypatch.setattr(sys, "argv", ["burst", str(tmp_path), "--seeds", "3", *arguments])
    burst.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    names = [row.split("|")[2].strip() for row in rows]
    assert names[:2] == ["ANN counterpart", "converted"] and len(names) == 10
    assert sum(name.startswith("control") for name in names) == 4
    assert all("undecided" in row for row in rows if "decide" in row)
    assert (tmp_path / "3" / "rolled" / "summary.json").is_file()
