"""The table of importers is measured by running them; files of asnn are exact where promised."""

import pytest

from asnn.exporters.importers.facts import read_facts
from asnn.exporters.importers.measure import measure, outcomes
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.verification.simulators import SIMULATORS
from studies.conformance import PAGE, page, rows

ROWS = {row.feature: row for row in rows()}


def simulator(name):
    found = SIMULATORS[name]
    if found.version is None:
        pytest.skip(f"{found.package} is not installed")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("importer", SIMULATORS)
def test_the_recorded_facts_are_those_of_the_installed_importer(importer):
    installed, recorded = simulator(importer), read_facts()[importer]
    found = outcomes((row.feature, measure(installed, row)) for row in rows())
    differ = {k: v for k, v in found.items() if recorded.outcomes.get(k) != v}
    again = f"{importer} {installed.version}: run python -m studies.conformance --record"
    assert not differ and recorded.outcomes.keys() == found.keys(), again
    assert recorded.version == installed.version, again


@pytest.mark.slow
@pytest.mark.parametrize("importer", SIMULATORS)
@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("`asnn export")])
def test_files_of_asnn_are_exact_as_their_targets_promise(name, importer):
    row = ROWS[name]
    found = measure(simulator(importer), row)
    assert (found == "exact") == (not problems(row.graph, TARGETS[importer])), found


@pytest.mark.parametrize(
    ("name", "importer", "expected"),
    [
        ("LIF", "snntorch", "exact"),
        ("LIF with several τ", "snntorch", "wrong by 1"),
        ("LIF with τ = dt", "spikingjelly", "refused (ValueError)"),
        ("Flatten with axes from the front", "snntorch", "wrong shape"),
        ("a LIF exactly at its threshold, which does not fire", "spikingjelly", "wrong by 1"),
    ],
)
def test_misread_graphs_are_reported(name, importer, expected):
    assert measure(simulator(importer), ROWS[name]).startswith(expected)


def test_the_page_shows_the_facts():
    assert PAGE.read_text("utf-8") == page(read_facts())
    assert {"snntorch", "spikingjelly", "norse", "sinabs", "rockpool"} == set(read_facts())
