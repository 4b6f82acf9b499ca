"""What importers do with each feature of a NIR graph, measured by `studies.conformance`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.files import write_bytes

EXACT = "exact"
FILE = Path(__file__).with_name("facts.json")


@dataclass(frozen=True)
class Facts:
    """The measured outcomes of an importer.

    Attributes:
        version: of the importer.
        nir: the version of nir that it ran with.
        outcomes: by the name of a feature, or of a file of asnn: `exact`, `wrong`, ….
    """

    version: str
    nir: str
    outcomes: Mapping[str, str]

    def runs(self, feature: str) -> bool:
        """Return whether it computes what the format says; False for what was not measured."""
        return self.outcomes.get(feature) == EXACT


def read_facts(path: Path = FILE) -> dict[str, Facts]:
    """Return the facts of each importer, by its name."""
    content = json.loads(path.read_text("utf-8"))
    return {name: Facts(**each) for name, each in content.items()}


def write_facts(facts: Mapping[str, Facts], path: Path = FILE) -> None:
    """Write the facts of importers."""
    content = {name: vars(each) for name, each in facts.items()}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())
