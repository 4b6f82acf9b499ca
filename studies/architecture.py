"""The structure of the package, read from its imports: rooms, arrows, files and their lines.

    python -m studies.architecture              # what docs/architecture.md shows
    python -m studies.architecture --files      # and each file with its lines

A room is a folder at the root, or a part of one that others stand on by itself (see `ORDER`). An
arrow leads from the room that imports to the room that is imported, wherever in a file the import
stands. Rooms are ordered: an arrow may only lead to a room further up in `ORDER`.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# From what everything stands on to what stands on everything. A dotted name is a part of a folder
# that stands lower than the rest of it.
ORDER = (
    "core",
    "formats",
    "records.layout",
    "coding",
    "datasets",
    "kernels",
    "models",
    "tasks",
    "measure",
    "learning.device",
    "learning.methods",
    "learning.recipe",
    "records",
    "learning",
    "exporters",
    "inspection",
    "sweeps",
    "reports",
    "benchmarks",
    "cli",
    "asnn",
)
FOLDERS = {"cli": "asnn_cli"}  # rooms whose folder has another name
MAX_FILES = 16  # in a folder


@dataclass
class Structure:
    """What imports what.

    Attributes:
        modules: names of all modules, relative to `asnn`.
        imports: the modules that each module imports when it is loaded, or within a function.
        at_load: those of them that it imports when it is loaded.
    """

    modules: list[str] = field(default_factory=list)
    imports: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    at_load: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def arrows(self) -> dict[str, Counter[str]]:
        """Return the number of imports from room to room."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for module, targets in self.imports.items():
            for target in targets:
                if room(module) != room(target):
                    found[room(module)][room(target)] += 1
        return found

    def backward(self) -> list[str]:
        """Return the imports that lead from a room to one that stands above it."""
        return sorted(
            f"{module} imports {target}"
            for module, targets in self.imports.items()
            for target in targets
            if ORDER.index(room(module)) < ORDER.index(room(target))
        )

    def circles(self) -> list[list[str]]:
        """Return the groups of modules that import each other when they are loaded."""
        return [sorted(group) for group in _components(self.at_load) if len(group) > 1]


def room(module: str) -> str:
    """Return the room of a module: the longest name in `ORDER` that it begins with."""
    names = [name for name in ORDER if module == name or module.startswith(f"{name}.")]
    return max(names, key=len)


def read_structure(root: Path = ROOT) -> Structure:
    """Read the imports of all files below `root`."""
    found = Structure()
    paths = {}
    for name in dict.fromkeys(each.split(".")[0] for each in ORDER):
        folder = root / FOLDERS.get(name, name)
        for path in sorted(folder.rglob("*.py")):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    for module, path in paths.items():
        found.modules.append(module)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for target, at_load in _imports(ast.parse(path.read_text("utf-8")), package, paths):
            if target != module:
                found.imports[module].add(target)
                if at_load:
                    found.at_load[module].add(target)
    return found


def _imports(
    tree: ast.AST, package: str, known: dict[str, Path], at_load: bool = True
) -> Iterator[tuple[str, bool]]:
    """Yield the modules of the package that a file imports, and whether it does when loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom):
            name = _absolute(node, package)
            if name is not None:
                for alias in node.names:
                    inner = f"{name}.{alias.name}".lstrip(".")
                    if inner in known or name in known:
                        yield (inner if inner in known else name), at_load
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(node, package, known, False)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from ((name, False) for name, _ in _imports(node, package, known, False))
        else:
            yield from _imports(node, package, known, at_load)


def _absolute(node: ast.ImportFrom, package: str) -> str | None:
    """Return the module that is imported from, relative to `asnn`; None if it is another's."""
    module = node.module or ""
    if not node.level:
        return module.removeprefix("asnn").lstrip(".") if module.split(".")[0] == "asnn" else None
    # The front is `asnn` itself: its siblings are the rooms.
    parts = [] if package == "asnn" else package.split(".")
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([module] if module else [])])


def _components(edges: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of a graph (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.append(group)

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def folders(root: Path = ROOT) -> dict[str, list[Path]]:
    """Return the Python files of each folder of the package, by its path."""
    found = {}
    for name in dict.fromkeys(each.split(".")[0] for each in ORDER):
        top = root / FOLDERS.get(name, name)
        for folder in [top, *sorted(p for p in top.rglob("*") if p.is_dir())]:
            files = sorted(p for p in folder.glob("*.py") if p.name != "__init__.py")
            if files:
                found[str(folder.relative_to(root))] = files
    return found


def picture(structure: Structure) -> str:
    """Return the rooms with their arrows, as docs/architecture.md shows them."""
    arrows = structure.arrows()
    rows = ["| room | imports |", "|---|---|"]
    for name in ORDER:
        targets = ", ".join(target for target in ORDER if target in arrows[name])
        rows.append(f"| `{name}` | {targets or '—'} |")
    return "\n".join(rows)


def tree() -> Iterator[str]:
    """Yield each folder with its files, and the lines of each."""
    for folder, files in folders().items():
        lines = {path.name: path.read_text("utf-8").count("\n") for path in files}
        yield f"{folder}/  {len(files)} files, {sum(lines.values()):,} lines"
        yield from (f"  {count:5}  {name}" for name, count in lines.items())


def main() -> None:
    """Print the structure."""
    parser = argparse.ArgumentParser(prog="python -m studies.architecture")
    parser.add_argument("--files", action="store_true", help="list folders and files with lines")
    options = parser.parse_args()
    structure = read_structure()
    print(picture(structure))
    for backward in structure.backward():
        print(f"an arrow runs back: {backward}")
    for circle in structure.circles():
        print(f"a circle: {' → '.join(circle)}")
    if options.files:
        print()
        print("\n".join(tree()))


if __name__ == "__main__":
    main()
