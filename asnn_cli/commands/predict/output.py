"""Answers as data: lines of JSON on stdout, and a table in CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...terminal import console

if TYPE_CHECKING:
    from ....measure.prediction import Prediction
    from ....measure.prediction.answers import Answers


class Output(Protocol):
    """Takes answers one by one."""

    def add(self, prediction: Prediction) -> None: ...


class JsonLines:
    """Writes a line of JSON to stdout for each answer."""

    def add(self, prediction: Prediction) -> None:
        """Write an answer."""
        line = json.dumps(prediction.document(), allow_nan=False)
        console.emit(line + "\n")


class CsvTable:
    """Writes a row of CSV for each answer; lists are JSON within a cell.

    Args:
        answers: say which columns there are.
        emit: writes text.
    """

    def __init__(self, answers: Answers, emit: Callable[[str], Any]) -> None:
        self._emit = emit
        self._answers = answers
        self._columns = ["input", *answers.columns]
        self._columns += ["step", "decided", *(["time"] if answers.has_times else [])]
        self._columns += ["spikes", "picojoules", "expected", "error"]
        self._write({name: name for name in self._columns})

    def add(self, prediction: Prediction) -> None:
        """Write an answer."""
        if prediction.error is not None:
            self._write({"input": prediction.source, "error": str(prediction.error)})
            return
        for row in self._answers.rows(prediction.document()):
            self._write(row)

    def _write(self, row: dict[str, Any]) -> None:
        cells = [row.get(name) for name in self._columns]
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(
            json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell
            for cell in cells
        )
        # A name of a file may hold bytes that are no text.
        self._emit(line.getvalue().encode(errors="backslashreplace").decode())


@contextlib.contextmanager
def writers(answers: Answers, *, as_json: bool, csv: str | None) -> Iterator[list[Output]]:
    """Yield what writes answers; a file of CSV appears whole, when all are written.

    Args:
        answers: say which columns a table has.
        as_json: write lines of JSON to stdout.
        csv: a file, `-` for stdout, or None.

    Raises:
        AsnnError: the file cannot be written.
    """
    from ....core.files import atomic_file

    outputs: list[Output] = [JsonLines()] if as_json else []
    if csv == "-":
        yield [*outputs, CsvTable(answers, console.emit)]
    elif csv is None:
        yield outputs
    else:
        with (
            atomic_file(Path(csv)) as path,
            open(path, "w", encoding="utf-8", newline="") as file,
        ):
            yield [*outputs, CsvTable(answers, file.write)]
