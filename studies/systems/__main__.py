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
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .one import measure
from .records import Work, chosen, finish
from .rows import DATA, Data, System, systems_of
from .table import table


class Member(NamedTuple):
    """One network: a row with a seed."""

    data: Data
    system: System
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """In what is printed."""
        return f"{self.data.name} {self.system.name} {self.seed}"

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
    on = chosen(parser, options.on, DATA)
    data = [each for name, each in DATA.items() if name in on]
    names = chosen(parser, options.only, [row.name for each in data for row in systems_of(each)])
    members = list(_members(data, options.seeds, names, options.out))
    data_dir = options.data_dir.resolve()
    works = [Work(each.name, each.record, partial(_measured, each, data_dir)) for each in members]
    failed = [] if options.table else finish(works, options.jobs)
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


def _members(data: list[Data], seeds: int, names: set[str], out: Path) -> Iterator[Member]:
    """Yield the networks, all rows with the first seed before the second."""
    for seed in range(seeds):
        for each in data:
            for system in systems_of(each):
                if system.name in names:
                    yield Member(each, system, seed, out)


def _measured(member: Member, data_dir: Path, run: Path) -> dict[str, Any]:
    """Train and evaluate one member into a folder."""
    recipe = run.parent / f"{member.data.name}.toml"
    recipe.write_text(member.data.recipe(data_dir))
    return measure(recipe, member.system.changes(member.data), member.seed, run)


if __name__ == "__main__":
    main()
