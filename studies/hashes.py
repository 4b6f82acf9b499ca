"""Writes `constraints-hashes.txt`: the versions of `constraints.txt`, with SHA-256 of their files.

    pip install uv && python -m studies.hashes     # write it again, after a change of versions

`constraints-hashes-cpu.txt` has the lines that differ with the build of torch for CPUs. `make
LOCKED=1` installs by them; the other uses print what pip reads, before anything is installed:

    python -m studies.hashes --of test dev         # what pyproject.toml requires, with two extras
    python -m studies.hashes --lines pip loguru    # lines of the file, hashes included
    python -m studies.hashes --with REPORT         # all lines, for the torch in a report of pip
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints-hashes.txt"
CPU_FILE = ROOT / "constraints-hashes-cpu.txt"
EXTRAS = ("test", "dev", "tensorboard")
# Installed by `make` without their dependencies, and what installs a checkout.
ALONE = ("spikingjelly", "neurobench", "loguru", "pip", "setuptools")
# The build of torch for CPUs, which the public registry does not have, and the newest triton, which
# torch for CUDA does not allow: the tests run its interpreter.
CPU_FILES = {
    "torch==2.13.0+cpu": {
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl": (
            "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
        )
    }
}
CPU_TRITON = "triton==3.9.0"
HEAD = """\
# The versions of constraints.txt, and of what they need on other platforms and Pythons, with the
# SHA-256 of each of their files. Written by `python -m studies.hashes`; see docs/ci.md.
"""
CPU_HEAD = """\
# Lines that replace those of constraints-hashes.txt with the build of torch for CPUs.
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


def torch_version(report: Path) -> str:
    """Return the version of torch in a file of `pip install --report`, else the installed one."""
    for each in json.loads(report.read_bytes())["install"]:
        if each["metadata"]["name"] == "torch":
            return each["metadata"]["version"]
    return metadata.version("torch")


def pins_with(torch: str) -> Pins:
    """Return the pins of the files for a version of torch."""
    pins = read_pins(FILE.read_text("utf-8"))
    return pins | read_pins(CPU_FILE.read_text("utf-8")) if torch.endswith("+cpu") else pins


def compile_pins() -> tuple[Pins, Pins]:
    """Return the pins that uv finds for all platforms, and those with torch for CPUs."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    with tempfile.TemporaryDirectory() as folder:
        needs, alone, triton = (Path(folder, f"{name}.in") for name in ("needs", "alone", "triton"))
        needs.write_text("\n".join(required(list(EXTRAS))))
        alone.write_text("\n".join(ALONE))
        triton.write_text(CPU_TRITON)
        pins = read_pins(_uv(needs, *options, *constraints))
        pins |= read_pins(_uv(alone, *options, *constraints, "--no-deps"))
        cpu = read_pins(_uv(triton, *options, "--no-deps"))
    for requirement, files in CPU_FILES.items():
        hashes = "".join(f" --hash=sha256:{sha256}" for sha256 in files.values())
        cpu[name_of(requirement)] = [requirement + hashes]
    return pins, cpu


def _uv(source: Path, *options: str) -> str:
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    command = ["uv", "pip", "compile", *quiet, *options, str(source)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def written(pins: Pins, head: str = HEAD) -> str:
    """Return the content of a file."""
    lines = [line for name in sorted(pins) for line in sorted(pins[name])]
    return head + "".join(line.replace(" --hash", " \\\n    --hash") + "\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.hashes")
    parser.add_argument("--of", nargs="*", metavar="EXTRA", help="print what pyproject.toml needs")
    parser.add_argument("--lines", nargs="+", metavar="NAME", help="print lines of the file")
    parser.add_argument("--with", dest="report", type=Path, help="print the lines for this torch")
    options = parser.parse_args()
    if options.of is not None:
        print("\n".join(required(options.of)))
    elif options.lines is not None:
        pins = read_pins(FILE.read_text("utf-8"))
        print("\n".join(line for name in options.lines for line in pins[normalized(name)]))
    elif options.report is not None:
        print(written(pins_with(torch_version(options.report)), ""), end="")
    else:
        pins, cpu = compile_pins()
        FILE.write_text(written(pins), "utf-8")
        CPU_FILE.write_text(written(cpu, CPU_HEAD), "utf-8")
        print(f"wrote {FILE.name} and {CPU_FILE.name}")


if __name__ == "__main__":
    main()
