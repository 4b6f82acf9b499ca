"""The output of an `asnn` command, and options of a small training."""

from dataclasses import dataclass

TINY = [
    *("--set", "train.epochs=2", "--set", "data.limit=200"),
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
]


@dataclass
class Result:
    code: int
    out: str
    err: str
