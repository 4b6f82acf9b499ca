"""Energy: the formula term by term, and invalid tables."""

import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.cost.ann import dense_ann_counts
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.tables import CostTable, cost_table_names, read_cost_table
from asnn.models import create_model

ODD = CostTable(
    name="odd",
    source="made up",
    picojoules={"mac": 7, "ac": 3, "neuron_update": 11, "memory_byte": 0.5},
    bytes={"weight": 2, "value": 8, "event": 5},
)


@pytest.fixture(scope="module")
def counts():
    torch.manual_seed(0)
    model = create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[3, 4], hidden=6).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.constant_(module.bias, 0.7)
    split = Split(torch.rand(9, 1, 8, 8), torch.arange(9) % 3)
    return evaluate(model, split, classes=3, full_scale=1.0, count=True).counts


def test_published_costs():
    table = read_cost_table().picojoules
    assert (table.mac, table.ac) == (4.6, 0.9)  # Horowitz, ISSCC 2014: 3.7 + 0.9, and 0.9
    assert (table.neuron_update, table.memory_byte) == (0, 0)
    memory = read_cost_table("45nm-fp32-memory").picojoules
    assert memory.neuron_update == pytest.approx(2 * 3.7 + 2 * 0.9)
    assert memory.memory_byte == 20 / 8
    int8 = read_cost_table("45nm-int8").picojoules
    assert (int8.mac, int8.ac) == (pytest.approx(0.2 + 0.1), 0.1)
    for name in cost_table_names():
        table = read_cost_table(name)
        assert table.name == name and "Horowitz" in table.source


def test_default_table_is_the_formula_of_the_papers(counts):
    mac = sum(float(c.effective.sum()) for c in counts.layers if c.operation == "mac")
    ac = sum(float(c.effective.sum()) for c in counts.layers if c.operation == "ac")
    found = energy_report(counts, read_cost_table())
    assert found["picojoules_per_sample"] == pytest.approx((4.6 * mac + 0.9 * ac) / 9, rel=1e-12)
    assert mac > 0 and ac > 0


def test_each_term_by_hand(counts):
    total = 0.0
    for layer in counts.layers:
        operations = float(layer.effective.sum())
        moved = (2 + 2 * 8) * operations  # a weight of 2 bytes, and a sum of 8 read and written
        if layer.spikes:
            moved += 2 * 5 * float(layer.events.sum())
        else:
            moved += 2 * 8 * float(layer.inputs.sum())
        total += (3 if layer.operation == "ac" else 7) * operations + 0.5 * moved
    for neurons in counts.neurons:
        updates = neurons.neurons * 9 * 4
        total += 11 * updates + 0.5 * 2 * 8 * updates
    found = energy_report(counts, ODD)
    assert found["picojoules_per_sample"] == pytest.approx(total / 9, rel=1e-12)
    parts = [sum(part["picojoules"]) for part in (*found["layers"], *found["neurons"])]
    assert sum(parts) == pytest.approx(total / 9, rel=1e-12)
    assert sum(found["picojoules_by_step"]) == pytest.approx(total / 9, rel=1e-12)
    assert sum(found["picojoules_by_part"].values()) == pytest.approx(total / 9, rel=1e-12)
    assert all(value > 0 for value in found["picojoules_by_part"].values())


@pytest.mark.parametrize("table", [ODD, *map(read_cost_table, cost_table_names())])
def test_energies_of_samples_sum_to_the_total(counts, table):
    each = energy_of_samples(counts, table)
    assert each.shape == (4, 9)
    total = sum(total_cost(counts, table).picojoules(table).values())
    torch.testing.assert_close(each.sum(1), total, rtol=1e-12, atol=0)
    assert len({round(value, 6) for value in each.sum(0).tolist()}) > 1  # images differ


def test_synaptic_operations_are_those_of_layers_with_weights(counts):
    found = energy_report(counts, ODD)["synaptic_operations"]
    layers = [c for c in counts.layers if c.kind in ("conv", "linear")]
    assert found["dense"] == sum(float(c.dense.sum()) for c in layers) / 9
    assert 0 < found["effective_acs"] + found["effective_macs"] < found["dense"]


def test_dense_ann_counts_follow_from_shapes():
    model = create_model(
        "lenet", in_shape=(2, 8, 8), classes=3, coding="temporal", steps=4, widths=[3, 4], hidden=6
    )
    ann = dense_ann_counts(model)

    def same_padding(size, inputs, outputs):  # 3×3 kernels: pixels on the border meet 2 of 3
        return inputs * outputs * (3 * size - 2) ** 2

    expected = same_padding(8, 2, 3) + same_padding(4, 3, 4) + 4 * 2 * 2 * 6 + 6 * 3
    dense = total_cost(ann, read_cost_table(), dense=True)
    assert float(dense.mac.sum()) == expected
    assert float(dense.ac.sum()) == 0


def test_dense_ann_counts_keep_the_random_state():
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2)
    state = torch.random.get_rng_state()
    dense_ann_counts(model)
    assert torch.equal(state, torch.random.get_rng_state())


def test_table_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nsource = "me"\n[picojoules]\nmac = 1\nac = 0.5\n')
    table = read_cost_table(str(path))
    assert (table.picojoules.mac, table.picojoules.ac, table.bytes.weight) == (1, 0.5, 4)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "name"),
        ("name = 3", "source"),
        ('name="a"\nsource="b"\n[picojoules]\nmac=-1\nac=1', "picojoules.mac"),
        ('name="a"\nsource="b"\n[picojoules]\nmac=1', "picojoules.ac"),
        ('name="a"\nsource="b"\n[picojoules]\nmac=nan\nac=1', "picojoules.mac"),
        ('name="a"\nsource="b"\n[picojoules]\nmac=1\nac=1\nmul=2', "picojoules.mul"),
        ('name="a"\nsource="b"\n[picojoules]\nmac=1\nac=1\n[bytes]\nweight=0', "bytes.weight"),
        ("[[[", "line 1"),
        ("\udcff", "utf-8"),
    ],
)
def test_invalid_table_is_refused(tmp_path, text, fault):
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as error:
        read_cost_table(str(path))
    assert fault in error.value.why
    assert "45nm-fp32.toml" in error.value.remedy


def test_unknown_table_names_the_nearest():
    with pytest.raises(ConfigError) as error:
        read_cost_table("45nm-fp23")
    assert "45nm-fp32" in error.value.remedy
