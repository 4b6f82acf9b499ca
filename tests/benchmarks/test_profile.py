"""The profile tells every layer, and its parts add up."""

from asnn.benchmarks.case import Case
from asnn.benchmarks.profile import profile


def test_every_layer_is_told():
    case = Case(model="mlp", coding="hybrid", steps=2, batch=4, in_shape=(1, 4, 4), classes=3)
    found = profile(case)
    layers = ["linear1", "spikes1", "linear2", "spikes2"]
    assert list(found) == [*layers, "code, readout, loss", "optimiser", "all"]
    assert all(found[name][0] > 0 and found[name][1] > 0 for name in layers)
