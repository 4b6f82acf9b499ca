"""The output of `asnn encode`: a file, stdout, or none."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...terminal import console

if TYPE_CHECKING:
    import numpy as np

    from ....coding.stored import StoredSteps
    from ....coding.stored_times import StoredTimes

FORMATS = ("npz", "npy")


@dataclass(frozen=True)
class Output:
    """Where the code goes.

    Attributes:
        source: a file, `-` for stdin, or None for a data set.
        output: a file, or `-` for stdout; by default a file, or stdout if the source is stdin.
        format: npz (packed bits) or npy (dense); by default that of the output, else npz.
        as_json: stdout is taken by a JSON object.

    Raises:
        ConfigError: the code cannot be written there.
    """

    source: str | None
    output: str | None
    format: str | None
    as_json: bool

    def __post_init__(self) -> None:
        from ....core.errors import ConfigError

        output, suffix = self.output, f".{self.suffix}"
        to_stdout = output == "-" or (output is None and self.source == "-" and not self.as_json)
        if to_stdout and self.as_json:
            raise ConfigError("--json and -o - both want stdout", remedy="write the code to a file")
        if to_stdout and sys.stdout is not None and sys.stdout.isatty():
            raise ConfigError(
                "the code is binary and stdout is a terminal",
                remedy="redirect it, or use -o FILE.npz",
            )
        if self.suffix not in FORMATS:
            raise ConfigError(f"--format must be npz or npy, not {self.suffix!r}")
        if output not in (None, "-") and Path(output).suffix != suffix:
            raise ConfigError(
                f"-o {output} does not end in {suffix}",
                remedy="name the file .npz (packed bits) or .npy (dense array)",
            )

    @property
    def suffix(self) -> str:
        """The format: npz or npy."""
        return self.format or ("npy" if (self.output or "").endswith(".npy") else "npz")

    def target(self, stem: str) -> str | None:
        """Return the path of a file, by default `stem` with a suffix; `-` for stdout; or None."""
        if self.output is None and self.source == "-":
            return None if self.as_json else "-"
        return self.output or f"{stem}.{self.suffix}"

    def write(
        self,
        target: str,
        code: StoredSteps | StoredTimes,
        meta: dict[str, Any],
        targets: dict[str, np.ndarray],
    ) -> None:
        """Write a code to a target.

        Args:
            target: a file, or `-` for stdout.
            code: its steps, or its exact times.
            meta: of a spike file.
            targets: of a spike file, by name.

        Raises:
            DataError: packed bits cannot hold it.
            AsnnError: the file cannot be written.
        """
        from ....coding.spikefile import save_code
        from ....core.files import atomic_file

        def write(stream: BinaryIO) -> None:
            if self.suffix == "npy":
                code.write_npy(stream)
            else:
                save_code(stream, code, meta, targets)

        if target == "-":
            with console.binary_stdout() as stream:
                write(stream)
        else:
            with atomic_file(Path(target)) as path, open(path, "wb") as file:
                write(file)
