"""Which importer of NIR runs which graph exactly, measured by running them.

    python -m studies.conformance                     the page, as recorded
    python -m studies.conformance --record            measures the installed importers again
    python -m studies.conformance --record --pinned   and sinabs and rockpool, which pin another nir

Every importer reads and runs files of asnn and the small graphs of `exporters.importers.probes`.
Their outputs are compared with our interpreter of NIR, which follows the equations in NIR's
documentation. `--record` writes docs/conformance.md and the facts that `asnn export --target` goes
by. `--pinned` installs sinabs and rockpool into an environment of their own, in a temporary folder;
`--python PATH` takes one that has them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from asnn.exporters import source_of
from asnn.exporters.importers.facts import Facts, read_facts, write_facts
from asnn.exporters.importers.measure import measure, outcomes
from asnn.exporters.importers.probes import BATCH, STEPS, Probe, chain, lif, probes
from asnn.exporters.nir.lif import build_lif
from asnn.exporters.nir.unrolled import input_of, unroll
from asnn.exporters.verification.simulators import SIMULATORS
from asnn.models import create_model

from .pinned.environment import make_environment, measure_pinned

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


def measure_installed() -> dict[str, Facts]:
    """Return the outcomes of all installed importers."""
    return {
        name: Facts(
            str(each.version),
            nir.version,
            outcomes((row.feature, measure(each, row)) for row in rows()),
        )
        for name, each in SIMULATORS.items()
        if each.version is not None
    }


def measure_elsewhere(python: Path | None) -> dict[str, Facts]:
    """Return the outcomes of sinabs and rockpool, in a new environment if `python` is None."""
    with tempfile.TemporaryDirectory() as folder:
        python = python or make_environment(Path(folder, "environment"))
        graphs = rows()
        names = [row.feature for row in graphs]
        return {
            name: Facts(each.version, each.nir, outcomes(zip(names, each.outcomes, strict=True)))
            for name, each in measure_pinned(python, graphs).items()
        }


def page(facts: Mapping[str, Facts]) -> str:
    """Return the page of the documentation."""
    lines = [
        "# Conformance",
        "",
        "Which importer of NIR runs which graph, each read from a file; `exact` is within 1e-5 of",
        f"NIR's equations over {STEPS} steps (unrolled files are run once), for every graph of the",
        "row. Measured by",
        "",
        "    python -m studies.conformance --record --pinned",
        "",
        "`asnn export` goes by these rows: it runs a file in the importers that are exact for",
        "all that the file has, and refuses a `--target` that is not. sinabs and rockpool pin nir",
        "1.0.4: they ran in an environment of their own, with files of that version, which have no",
        "v_reset.",
        "",
        "| | " + " | ".join(f"{name} {each.version}" for name, each in facts.items()) + " |",
        "|---" * (len(facts) + 1) + "|",
        "| nir | " + " | ".join(each.nir for each in facts.values()) + " |",
    ]
    for name in dict.fromkeys(row.feature for row in rows()):
        cells = [each.outcomes[name].replace("wrong", "**wrong**") for each in facts.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or measure and write it with the facts."""
    parser = argparse.ArgumentParser(prog="python -m studies.conformance")
    parser.add_argument("--record", action="store_true", help="measure, write page and facts")
    parser.add_argument("--pinned", action="store_true", help="measure sinabs and rockpool too")
    parser.add_argument("--python", type=Path, help="of an environment that has them")
    options = parser.parse_args()
    facts = read_facts()
    if options.record:
        facts |= measure_installed()
        if options.pinned or options.python is not None:
            facts |= measure_elsewhere(options.python)
        write_facts(facts)
        PAGE.write_text(page(facts), "utf-8")
    else:
        sys.stdout.write(page(facts))


if __name__ == "__main__":
    main()
