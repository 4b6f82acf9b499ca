"""The table of importers is made by running them; ours must be read exactly."""

import pytest

from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.verification.simulators import SIMULATORS
from studies.conformance import answer, questions

pytestmark = pytest.mark.slow  # all of it together; one of them takes a moment

ASKED = {question.name: question for question in questions()}


def simulator(name):
    found = SIMULATORS[name]
    if found.version is None:
        pytest.skip(f"{found.package} is not installed")
    return found


@pytest.mark.parametrize("importer", SIMULATORS)
@pytest.mark.parametrize("name", [name for name in ASKED if name.startswith("`asnn export")])
def test_files_of_asnn_are_exact_or_known_not_to_be(name, importer):
    question = ASKED[name]
    found = answer(simulator(importer), question)
    assert (found == "exact") == (not problems(question.graph, TARGETS[importer])), found


@pytest.mark.parametrize(
    ("name", "importer", "expected"),
    [
        ("LIF, hard reset, r = 1", "snntorch", "exact"),
        ("LIF, r = 1, a τ for each neuron", "snntorch", "**wrong**"),
        ("LIF, τ = dt", "spikingjelly", "refused (ValueError)"),
        ("Flatten, start_dim 0, end_dim 2", "snntorch", "wrong shape"),
        ("LIF exactly at its threshold stays silent", "spikingjelly", "**wrong**"),
    ],
)
def test_what_is_wrong_is_told(name, importer, expected):
    assert answer(simulator(importer), ASKED[name]).startswith(expected)
