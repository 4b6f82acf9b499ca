"""Where the files of an export lie, and what they are called until they are verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError
from ..core.files import cannot_write

ENDS = {".onnx": (".onnx", "-init.onnx", "-step.onnx"), ".nir": (".nir", ".golden.nir")}
UNVERIFIED = ".unverified"


@dataclass(frozen=True)
class ExportPaths:
    """Where an export goes.

    Attributes:
        folder: of all its files.
        suffix: of the format.
        stem: what their names begin with.
    """

    folder: Path
    suffix: str
    stem: str = "model"

    @classmethod
    def at(cls, path: Path, suffix: str) -> ExportPaths:
        """Return the place of a file with that suffix, or in a folder.

        Raises:
            ConfigError: the path names a file of another format.
        """
        if str(path) == "-":
            raise ConfigError("an export cannot go to stdout", why="it is several files")
        if path.suffix.lower() == suffix:
            return cls(path.parent, suffix, path.stem)
        if path.suffix.lower() in ENDS:
            raise ConfigError(
                f"{path} would be a file of another format",
                why=f"this one ends with {suffix}",
                remedy=f"name a {suffix} file or a folder",
            )
        return cls(path, suffix)

    def file(self, end: str) -> Path:
        """Return the path of a file whose name ends so."""
        return self.folder / f"{self.stem}{end}"

    @property
    def parity(self) -> Path:
        """Where the verification is told."""
        if self.folder.name == self.suffix.removeprefix("."):  # RUN/export/FORMAT
            return self.folder / "parity.json"
        return self.file(f"{self.suffix}.parity.json")

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse names that are taken by folders.

        Raises:
            ConfigError: one of them is.
        """
        for path in (*paths, self.parity):
            name = path.with_suffix("") if path.suffix == UNVERIFIED else path
            if name.is_dir():
                raise ConfigError(f"{name} is a folder", remedy="choose another name with -o")

    def clear(self, written: Iterable[Path]) -> None:
        """Remove what an earlier export of this format has left under these names."""
        for end in ENDS[self.suffix]:
            if self.file(end) not in written:
                self.file(end).unlink(missing_ok=True)

    def make(self) -> None:
        """Make the folder.

        Raises:
            AsnnError: the operating system refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error


def unverified_path(path: Path) -> Path:
    """Return the name of a file that is not verified yet."""
    return path.with_name(f"{path.name}{UNVERIFIED}")
