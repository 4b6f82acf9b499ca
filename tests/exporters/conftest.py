"""Exports that several tests read, written once a session."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asnn.exporters import Exported, ExportSource, export_nir, export_onnx
from asnn.exporters.nir import export as nir_export


@dataclass(frozen=True)
class Export:
    """The files of an export in a folder, and the result."""

    source: ExportSource
    folder: Path
    result: Exported

    @property
    def parity(self) -> dict[str, Any]:
        """The content of the verification report."""
        return json.loads(self.result.parity.read_text())


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A function `exported(format, source, samples, **options)`; its exports are for reading only.

    Sources of `tests.support.exported_networks` are cached, so that equal calls share an export.
    """
    exports = {}

    def export(format, source, samples, **options):
        number = None if samples is None else len(samples)
        key = (format, id(source), number, nir_export.MAX_NODES, tuple(sorted(options.items())))
        if key not in exports:
            folder = tmp_path_factory.mktemp(format)
            write = {"onnx": export_onnx, "nir": export_nir}[format]
            result = write(source, folder, samples=samples, **options)
            exports[key] = Export(source, folder, result)
        return exports[key]

    return export


@pytest.fixture
def no_simulators(monkeypatch):
    """Verify NIR files in our interpreter alone: it names layers and steps, and imports fast."""
    monkeypatch.setattr(nir_export, "MAX_NODES", 0)
