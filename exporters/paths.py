"""The files of an export: their folder, and their names before and after verification."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigError, VerificationError
from ..core.files import cannot_write

ENDINGS = {
    ".onnx": (".onnx", "-init.onnx", "-step.onnx", "-backbone.onnx", "-head.onnx"),
    ".nir": (".nir", ".golden.nir"),
}
UNVERIFIED = ".unverified"


def is_nir(path: Path) -> bool:
    """Return whether a file is one of NIR, by its name."""
    return path.name.removesuffix(UNVERIFIED).endswith(".nir")


def is_onnx(path: Path) -> bool:
    """Return whether a file is one of ONNX, by its name."""
    return path.name.removesuffix(UNVERIFIED).endswith(".onnx")


def folder_name(
    format: str,
    *,
    form: str = "",
    input: str = "",
    weights: str = "",
    opset: str = "",
    target: str = "",
    compat: str = "",
    approximate: bool = False,
    noise: bool = False,
    nms: bool = False,
    dt: float | None = None,
) -> str:
    """Return the name of the folder of an export: the format and each option, in this order.

    Options that have their default are empty, so that the usual export is in `onnx` or `nir`, and
    others, such as `onnx-stream-int8`, beside it.
    """
    parts = (format, form, input, weights, opset and f"opset{opset}", target)
    parts += (compat and f"nir{compat}", "approximate" * approximate, "noise" * noise, "nms" * nms)
    parts += (f"dt{dt:g}" if dt else "",)
    return "-".join(part for part in parts if part)


@dataclass(frozen=True)
class ExportPaths:
    """The paths of an export.

    Attributes:
        folder: of all its files.
        suffix: of the format.
        stem: the common beginning of the file names.
    """

    folder: Path
    suffix: str
    stem: str = "model"

    @classmethod
    def at(cls, path: Path, suffix: str) -> ExportPaths:
        """Return the paths of an export to a file with that suffix, or to a folder.

        Raises:
            ConfigError: the path names a file of another format.
        """
        if str(path) == "-":
            raise ConfigError("an export cannot go to stdout", why="it is several files")
        if path.suffix.lower() == suffix:
            return cls(path.parent, suffix, path.stem)
        if path.suffix.lower() in ENDINGS:
            raise ConfigError(
                f"{path} would be a file of another format",
                why=f"this one ends with {suffix}",
                remedy=f"name a {suffix} file or a folder",
            )
        return cls(path, suffix)

    def file(self, ending: str) -> Path:
        """Return the path of the file with that ending."""
        return self.folder / f"{self.stem}{ending}"

    @property
    def parity(self) -> Path:
        """The path of the verification report."""
        format, *others = self.folder.name.split("-")
        above = self.folder.absolute().parent
        by_default = self.stem == "model" and "export" in (above.name, above.parent.name)
        if format == self.suffix[1:] and (by_default or not others):
            return self.folder / "parity.json"
        return self.file(f"{self.suffix}.parity.json")

    def earlier(self) -> list[Path]:
        """Return the files of an earlier export with these names."""
        paths = (self.file(ending) for ending in ENDINGS[self.suffix])
        return [path for path in paths if path.is_file()]

    def check(self, paths: Iterable[Path]) -> None:
        """Refuse names that folders have.

        Raises:
            ConfigError: there is a folder of one of these names.
        """
        for path in (*paths, self.parity):
            name = path.with_suffix("") if path.suffix == UNVERIFIED else path
            if name.is_dir():
                raise ConfigError(f"{name} is a folder", remedy="choose another name with -o")

    def clear(self, written: Iterable[Path]) -> None:
        """Remove the files of an earlier export with these names that were not written again."""
        for ending in ENDINGS[self.suffix]:
            if self.file(ending) not in written:
                self.file(ending).unlink(missing_ok=True)

    def make(self) -> None:
        """Create the folder.

        Raises:
            AsnnError: the operating system refuses.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error


@contextlib.contextmanager
def discarded_on_failure(files: Mapping[str, Path]) -> Iterator[None]:
    """Remove files that are not yet verified if the block fails, as on a full disk.

    A file whose verification failed is kept, so that it can be looked at.
    """
    try:
        yield
    except VerificationError:
        raise
    except BaseException:
        for path in files.values():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def unverified_path(path: Path) -> Path:
    """Return the path of a file until it is verified."""
    return path.with_name(f"{path.name}{UNVERIFIED}")
