"""The environment of sinabs and rockpool, and what they do with graphs there."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asnn.exporters.importers.measure import compared
from asnn.exporters.importers.probes import Probe
from asnn.exporters.nir.file import write_nir
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.unrolled import OUTPUT

COMPAT = "1.0.4"  # of nir, which both pin
PACKAGES = ("sinabs==3.1.3", "rockpool==3.1.0", f"nir=={COMPAT}", "nirtorch==1.0", "pbr")
RUNNER = Path(__file__).with_name("run.py")


@dataclass(frozen=True)
class Pinned:
    """What an importer did.

    Attributes:
        version: of the importer.
        nir: the version of nir that it ran with.
        outcomes: for each probe, as of `measure`.
    """

    version: str
    nir: str
    outcomes: list[str]


def make_environment(folder: Path) -> Path:
    """Make a virtual environment with sinabs, rockpool and their nir; return its Python.

    What they need beside these, torch above all, is that of the Python that runs this.

    Raises:
        subprocess.CalledProcessError: a package could not be installed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    own = [sysconfig.get_path("purelib"), *(p for p in sys.path if p.endswith("site-packages"))]
    # Behind the packages of the environment itself, which come first.
    Path(site, "zz_shared.pth").write_text("\n".join(dict.fromkeys(own)) + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*command, "--no-deps", *PACKAGES], check=True)
    return python


def measure_pinned(python: Path, probes: Sequence[Probe]) -> dict[str, Pinned]:
    """Return what sinabs and rockpool do with graphs, by name.

    Args:
        python: of an environment that has them.
        probes: graphs with inputs; each is written as a file of nir 1.0.4.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, probe in enumerate(probes):
            write_nir(folder / f"{i}.nir", probe.graph, compat=COMPAT)
            np.save(folder / f"{i}.npy", probe.steps)
        subprocess.run([str(python), str(RUNNER), name], check=True, stdout=sys.stderr)
        done = json.loads((folder / "done.json").read_text())
        versions = done["versions"]
        return {
            importer: Pinned(
                versions[importer],
                versions["nir"],
                [
                    failed.get(str(i)) or _outcome(folder / f"{importer}-{i}.npy", probe)
                    for i, probe in enumerate(probes)
                ],
            )
            for importer, failed in done["failed"].items()
        }


def _outcome(output: Path, probe: Probe) -> str:
    return compared(np.load(output), run_nir(probe.graph, probe.steps)[OUTPUT])
