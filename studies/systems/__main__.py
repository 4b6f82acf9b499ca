"""All codes, neurons and methods beside each other: one network, one budget, several seeds.

    python -m studies.systems --data-dir DATA [--out systems] [--on fashion,nmnist] [--seeds 3]
        [--only NAME,...] [--jobs N] [--table]

trains every row of `studies/systems/rows.py` with each seed and evaluates it on test data, each on
one thread, and prints a table in Markdown for each data set. Each finished network has a file in
`--out`; the command goes on where it was stopped. `--table` prints what is finished, and trains
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .one import Failed, measure
from .rows import DATA, Data, System, systems_of
from .table import table


class Member(NamedTuple):
    """One network: a row with a seed."""

    data: Data
    system: System
    seed: int
    folder: Path

    @property
    def record(self) -> Path:
        """The file with its figures."""
        return self.folder / self.data.name / f"{self.system.name}-{self.seed}.json"


def main() -> None:
    """Train what is not finished, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of data sets")
    parser.add_argument("--out", type=Path, default=Path("systems"))
    parser.add_argument("--on", default=",".join(DATA), help="data sets, by their names")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows, by their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="print what is finished")
    options = parser.parse_args()
    data = [DATA[name] for name in options.on.split(",")]
    members = list(_members(data, options.seeds, options.only, options.out))
    failed = [] if options.table else _train(members, options.jobs, options.data_dir)
    for each in data:
        rows: dict[str, dict[int, dict]] = {}
        for member in members:
            if member.data is each and member.record.exists():
                found = rows.setdefault(member.system.title, {})
                found[member.seed] = json.loads(member.record.read_text())
        print(f"\n{each.title}\n\n{table(rows)}")
    if failed:
        print("\n".join(failed), file=sys.stderr)
        sys.exit(1)


def _members(data: list[Data], seeds: int, only: str, out: Path) -> Iterator[Member]:
    """Yield the networks, all rows with the first seed before the second."""
    names = {name for name in only.split(",") if name}
    for seed in range(seeds):
        for each in data:
            for system in systems_of(each):
                if not names or system.name in names:
                    yield Member(each, system, seed, out)


def _train(members: list[Member], jobs: int, data_dir: Path) -> list[str]:
    """Train and evaluate the members that are not finished; return what failed."""
    waiting = [member for member in members if not member.record.exists()]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda member: _one(member, data_dir.resolve()), waiting)
        return [line for line in found if line]


def _one(member: Member, data_dir: Path) -> str | None:
    """Train one member and write its record; return what failed."""
    name = f"{member.data.name} {member.system.name} {member.seed}"
    folder = member.record.parent
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / f"{member.data.name}.toml"
    recipe.write_text(member.data.recipe(data_dir))
    run = member.record.with_suffix("")
    shutil.rmtree(run, ignore_errors=True)  # of a training that was killed: its time is not known
    try:
        found = measure(recipe, member.system.changes(member.data), member.seed, run)
    except Failed as error:
        return f"{name}: {error}"
    member.record.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{name}: {100 * found['accuracy']:.2f} %, {found['seconds']:.0f} s", file=sys.stderr)
    return None


if __name__ == "__main__":
    main()
