"""The structure that docs/architecture.md shows is that of the code, and no arrow runs back."""

from pathlib import Path

import pytest

from studies.architecture import (
    FOLDERS,
    MAX_FILES,
    ORDER,
    ROOT,
    folders,
    picture,
    read_structure,
    room,
)

BEGIN, END = "<!-- python -m studies.architecture -->\n", "<!-- end -->"
PAGE = ROOT / "docs" / "architecture.md"
# Files of these names may begin as a room does: they say what the file is about.
ROOM_PREFIXES = ("onnx_", "nir_", "foreign_", "reading_", "eval_", "sweep_", "triton_", "cpu_")


@pytest.fixture(scope="module")
def structure():
    return read_structure()


@pytest.mark.slow
def test_no_arrow_runs_back(structure):
    assert structure.backward() == []


def test_no_modules_import_each_other_in_a_circle(structure):
    assert structure.circles() == []


def test_the_page_shows_the_arrows_of_the_code(structure):
    shown = PAGE.read_text("utf-8").split(BEGIN, 1)[1].split(END, 1)[0].strip()
    assert shown == picture(structure), "write what `python -m studies.architecture` prints"


def test_folders_are_small_and_names_do_not_repeat_rooms():
    for folder, files in folders().items():
        assert len(files) <= MAX_FILES, f"{folder} has {len(files)} files"
        for path in files:
            assert not path.name.startswith(ROOM_PREFIXES), path


def test_every_file_belongs_to_a_room(structure):
    outside = {"studies", "tests", "docs"}
    for path in ROOT.glob("*/"):
        if any(path.glob("*.py")) and not path.name.startswith("."):
            known = {FOLDERS.get(name.split(".")[0], name.split(".")[0]) for name in ORDER}
            assert path.name in known | outside, f"{path.name} is in no room: add it to ORDER"


def test_tests_mirror_the_tree():
    rooms = set(folders())
    others = {"support", "fuzz", "survival", "old_runs", "studies"}
    for folder in sorted(p for p in (ROOT / "tests").rglob("*") if p.is_dir()):
        name = str(folder.relative_to(ROOT / "tests"))
        if not any(folder.glob("test_*.py")) or name.split("/")[0] in others:
            continue
        mirrored = name.replace("cli", FOLDERS["cli"], 1) if name.split("/")[0] == "cli" else name
        assert mirrored in rooms, f"tests/{name} mirrors no folder"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_an_arrow_that_runs_back_is_found(tmp_path):
    """Relative or absolute, at the top or within a function, of a name or of a module."""
    root = write(
        tmp_path,
        core__a="from ..models.network import Net\n",
        core__b="def f():\n    from asnn.models import network\n",
        coding__c="from ..core import a\n",
        models__network="from ..coding.c import x\n",
    )
    assert read_structure(root).backward() == [
        "core.a imports models.network",
        "core.b imports models.network",
    ]


def test_a_circle_is_found(tmp_path):
    root = write(
        tmp_path,
        core__a="from . import b\n",
        core__b="from .c import x\n",
        core__c="from .a import y\n",
        core__d="from .e import z\n",
        core__e="def f():\n    from . import d\n",
    )
    assert read_structure(root).circles() == [["core.a", "core.b", "core.c"]]


def test_a_part_of_a_room_stands_by_itself():
    assert room("learning.recipe.schema") == "learning.recipe"
    assert room("learning.recipes") == "learning"
    assert room("records.layout") == "records.layout"
