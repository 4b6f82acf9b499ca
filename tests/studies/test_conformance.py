"""The table of importers is measured by running them; files of asnn are exact where promised."""

import pytest

from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.verification.simulators import SIMULATORS
from studies.conformance import cases, measure

CASES = {case.name: case for case in cases()}


def simulator(name):
    found = SIMULATORS[name]
    if found.version is None:
        pytest.skip(f"{found.package} is not installed")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("importer", SIMULATORS)
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("`asnn export")])
def test_files_of_asnn_are_exact_as_their_targets_promise(name, importer):
    case = CASES[name]
    found = measure(simulator(importer), case)
    assert (found == "exact") == (not problems(case.graph, TARGETS[importer])), found


@pytest.mark.parametrize(
    ("name", "importer", "expected"),
    [
        ("LIF, hard reset, r = 1", "snntorch", "exact"),
        ("LIF, r = 1, a τ for each neuron", "snntorch", "**wrong**"),
        ("LIF, τ = dt", "spikingjelly", "refused (ValueError)"),
        ("Flatten, start_dim 0, end_dim 2", "snntorch", "wrong shape"),
        ("LIF exactly at its threshold does not fire", "spikingjelly", "**wrong**"),
    ],
)
def test_misread_graphs_are_reported(name, importer, expected):
    assert measure(simulator(importer), CASES[name]).startswith(expected)
