"""Which importer of NIR runs which graph exactly, measured by running them.

    python -m studies.conformance --record

Every installed importer reads and runs files of asnn and the small graphs of
`exporters.importers.probes`. Their outputs are compared with our interpreter of NIR, which follows
the equations in NIR's documentation. `--record` writes docs/conformance.md and the facts that
`asnn export --target` goes by.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from asnn.exporters import source_of
from asnn.exporters.importers.facts import Facts, write_facts
from asnn.exporters.importers.measure import measure, outcomes
from asnn.exporters.importers.probes import BATCH, STEPS, Probe, chain, lif, probes
from asnn.exporters.nir.lif import build_lif
from asnn.exporters.nir.unrolled import input_of, unroll
from asnn.exporters.verification.simulators import SIMULATORS
from asnn.models import create_model

PAGE = Path("docs/conformance.md")
SIZES: dict[str, dict[str, Any]] = {
    "lenet": {"widths": [4, 8], "hidden": 16},
    "mlp": {"features": [16, 16]},
}


def rows() -> list[Probe]:
    """Return the graphs of the table: files of asnn, those of the features, and one more."""
    ones = np.ones((1, BATCH, 4), np.float32)
    name = "a LIF exactly at its threshold, which does not fire"
    return [*_exports(), *probes(), Probe(name, chain((4,), lif(r=2.0, v_threshold=1.0)), ones)]


def _exports() -> Iterator[Probe]:
    torch.manual_seed(0)
    constant: dict[str, Any] = {"schedule": "shared", "reset": "zero"}
    for name in ("lenet", "mlp"):
        for form in ("portable", "pure", "lif"):
            model = create_model(
                name,
                in_shape=(1, 8, 8),
                classes=4,
                coding="temporal" if form == "lif" else "hybrid",
                steps=4,
                neuron_options={"gain": 2.0, **(constant if form == "lif" else {})},
                output_scale=form != "lif",
                **SIZES[name],
            )
            model.train()
            with torch.no_grad():
                for _ in range(10):
                    model(torch.rand(32, 1, 8, 8))
            source = source_of(model)
            code = source.encode(np.random.default_rng(0).random((BATCH, 1, 8, 8), np.float32))
            if form == "lif":
                graph, steps = build_lif(source.graph, {}), code
            else:
                graph = unroll(source.graph, form, {})
                steps = input_of(source.graph, code)[None]
            yield Probe(f"`asnn export --form {form}`, {name}", graph, steps)


Measured = dict[str, dict[str, str]]  # by importer, then by the name of a row


def measure_all() -> Measured:
    """Return the outcomes of all installed importers."""
    installed = [each for each in SIMULATORS.values() if each.version is not None]
    return {
        each.name: outcomes((row.feature, measure(each, row)) for row in rows())
        for each in installed
    }


def facts_of(measured: Measured) -> dict[str, Facts]:
    """Return the outcomes of features, without those of files of asnn, with versions."""
    features = {probe.feature for probe in probes()}
    return {
        name: Facts(
            str(SIMULATORS[name].version),
            nir.version,
            {key: value for key, value in found.items() if key in features},
        )
        for name, found in measured.items()
    }


def page(measured: Measured) -> str:
    """Return the page of the documentation."""
    versions = [f"nir {nir.version}", f"nirtorch {version('nirtorch')}"]
    heads = [f"{name} {SIMULATORS[name].version}" for name in measured]
    lines = [
        "# Conformance",
        "",
        "Which importer of NIR runs which graph, each read from a file; `exact` is within 1e-5 of",
        f"NIR's equations over {STEPS} steps (unrolled files are run once), for every graph of the",
        "row. Measured by",
        "",
        "    python -m studies.conformance --record",
        "",
        f"with {', '.join(versions)}, asnn {version('asnn')}, torch {torch.__version__}. `asnn "
        "export` goes by these",
        "rows: it runs a file in the importers that are exact for all that the file has, and",
        "refuses a `--target` that is not.",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for name in dict.fromkeys(row.feature for row in rows()):
        cells = [found[name].replace("wrong", "**wrong**") for found in measured.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or write it with the facts."""
    parser = argparse.ArgumentParser(prog="python -m studies.conformance")
    parser.add_argument("--record", action="store_true", help="write the page and the facts")
    options = parser.parse_args()
    measured = measure_all()
    if options.record:
        PAGE.write_text(page(measured), "utf-8")
        write_facts(facts_of(measured))
    else:
        sys.stdout.write(page(measured))


if __name__ == "__main__":
    main()
