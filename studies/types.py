"""Checks the types of the package as it is installed, and of the studies, by basedpyright.

    python -m studies.types

In a checkout `asnn/models` is `models/`, which a type checker cannot know. So the rooms are linked
to their installed places in `build/types/` and checked there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / "build" / "types"


def link_package() -> dict[Path, Path]:
    """Link every room to its installed name, and return the folder behind each link."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    shutil.rmtree(TREE, ignore_errors=True)
    (TREE / "asnn").mkdir(parents=True)
    for file in (ROOT / "asnn").glob("*.py"):
        (TREE / "asnn" / file.name).symlink_to(file)
    links = {TREE / "studies": ROOT / "studies"}
    for name, folder in project["setuptools"]["package-dir"].items():
        if name != "asnn":
            links[TREE / name.replace(".", "/")] = ROOT / folder
    for link, folder in links.items():
        link.symlink_to(folder)
    # Each link by its name: basedpyright does not look for files behind the links that it finds.
    included = ["asnn", *(str(link.relative_to(TREE)) for link in links)]
    settings = project["basedpyright"] | {"include": included, "venvPath": str(ROOT)}
    (TREE / "pyrightconfig.json").write_text(json.dumps(settings))
    return links


def main() -> int:
    """Return the exit code of the check."""
    links = link_package() | {TREE / "asnn": ROOT / "asnn"}
    checker = Path(sys.executable).with_name("basedpyright")
    done = subprocess.run([checker, "-p", TREE], stdout=subprocess.PIPE, text=True)
    report = done.stdout
    for link, folder in links.items():  # files as the reader knows them; `asnn/` is the last
        report = report.replace(f"{link}/", f"{folder.relative_to(ROOT)}/")
    print(report, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
