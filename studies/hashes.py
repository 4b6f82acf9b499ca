"""Writes `constraints-hashes.txt`: the versions of `constraints.txt`, with SHA-256 of their files.

    pip install uv && python -m studies.hashes     # write it again, after a change of versions

`make LOCKED=1` installs by it. The other two uses print requirements for pip, before anything is
installed:

    python -m studies.hashes --of test dev         # what pyproject.toml requires, with two extras
    python -m studies.hashes --of test --as FILE   # and the versions in a report of pip
    python -m studies.hashes --lines pip loguru    # lines of the file, hashes included
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints-hashes.txt"
EXTRAS = ("test", "dev")
# Installed by `make` without their dependencies, and what installs a checkout.
ALONE = ("spikingjelly", "neurobench", "loguru", "pip", "setuptools")
# Files that the public registry does not have: the build of torch for CPUs. pip prefers files whose
# hashes the index states, so `make` first asks pip which build it takes without hashes (`--as`).
OTHER_FILES = {
    "torch": {
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": (
            "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
        )
    }
}
HEAD = """\
# The versions of constraints.txt, and of what they need on other platforms and Pythons, with the
# SHA-256 of each of their files. Written by `python -m studies.hashes`; see docs/ci.md.
"""
Pins = dict[str, list[str]]  # lines by package


def normalized(name: str) -> str:
    """Return the name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Return the normalized name of the package in a requirement."""
    found = re.match(r"[A-Za-z0-9][\w.-]*", requirement)
    if found is None:
        raise ValueError(f"{requirement!r} names no package")
    return normalized(found[0])


def read_pins(text: str) -> Pins:
    """Return the requirements in a file by name, each with its hashes in one line.

    A package has several where its version depends on the platform.
    """
    found: Pins = {}
    for line in text.replace("\\\n", " ").splitlines():
        line = " ".join(line.split("#")[0].split())
        if line:
            found.setdefault(name_of(line), []).append(line)
    return found


def required(extras: list[str]) -> list[str]:
    """Return what pyproject.toml requires with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(each for extra in extras for each in optional[extra])]


def chosen(report: Path) -> list[str]:
    """Return what pip says that it would install, in a file of `pip install --report`."""
    found = [each["metadata"] for each in json.loads(report.read_bytes())["install"]]
    return [f"{each['name']}=={each['version']}" for each in found]


def compile_pins() -> Pins:
    """Return the pins that uv finds for all platforms, with the hashes of the index."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    with tempfile.TemporaryDirectory() as folder:
        needs, alone = Path(folder, "needs.in"), Path(folder, "alone.in")
        needs.write_text("\n".join(required(list(EXTRAS))))
        alone.write_text("\n".join(ALONE))
        pins = read_pins(_uv(needs, *options, *constraints))
        pins |= read_pins(_uv(alone, *options, *constraints, "--no-deps"))
    for name, files in OTHER_FILES.items():
        hashes = "".join(f" --hash=sha256:{sha256}" for sha256 in files.values())
        pins[name] = [line + hashes for line in pins[name]]
    return pins


def _uv(source: Path, *options: str) -> str:
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    command = ["uv", "pip", "compile", *quiet, *options, str(source)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def written(pins: Pins) -> str:
    """Return the content of the file."""
    lines = [line for name in sorted(pins) for line in sorted(pins[name])]
    return HEAD + "".join(line.replace(" --hash", " \\\n    --hash") + "\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.hashes")
    parser.add_argument("--of", nargs="*", metavar="EXTRA", help="print what pyproject.toml needs")
    parser.add_argument("--as", dest="report", type=Path, metavar="FILE", help="a report of pip")
    parser.add_argument("--lines", nargs="+", metavar="NAME", help="print lines of the file")
    options = parser.parse_args()
    if options.of is not None:
        also = chosen(options.report) if options.report else []
        print("\n".join([*required(options.of), *also]))
    elif options.lines is not None:
        pins = read_pins(FILE.read_text("utf-8"))
        print("\n".join(line for name in options.lines for line in pins[normalized(name)]))
    else:
        FILE.write_text(written(compile_pins()), "utf-8")
        print(f"wrote {FILE.name}")


if __name__ == "__main__":
    main()
