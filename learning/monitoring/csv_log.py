"""`metrics.csv`: the metrics of all epochs as a table."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from ...core.files import write_text
from .log import Log

if TYPE_CHECKING:
    from ..training import Training

FILE = "metrics.csv"


class CsvLog(Log):
    """A row for each epoch, written whole after each: the columns of `metrics.jsonl` and `seconds`.

    A value that an epoch does not have is empty; one that is no number or text is JSON.
    """

    def started(self, training: Training) -> None:
        if training.progress.history:
            self._write(training)
        else:
            (training.run.path / FILE).unlink(missing_ok=True)

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        self._write(training)

    def _write(self, training: Training) -> None:
        progress = training.progress
        seconds = {times["epoch"]: times.get("seconds") for times in progress.times}
        rows = [{**row, "seconds": seconds.get(row["epoch"])} for row in progress.history]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
        write_text(training.run.path / FILE, text.getvalue())


def _cell(value: Any) -> Any:
    return "" if value is None else json.dumps(value) if isinstance(value, list | dict) else value
