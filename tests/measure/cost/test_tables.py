"""Energy tables of strangers: what is not a table is refused within limits."""

import os

import pytest

from asnn.core import AsnnError, DataError
from asnn.measure.cost.tables import DEFAULT, TABLES, read_cost_table


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "nested too deeply"),
        ("#" + " " * (1 << 20), "at most 1,048,576 are read"),
        ("x = 1", "Extra inputs|required"),
        ("x = ", "Invalid value"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, content, why):
    path = tmp_path / "mine.toml"
    path.write_bytes((TABLES / f"{DEFAULT}.toml").read_bytes())
    assert read_cost_table(str(path)) == read_cost_table(DEFAULT)
    path.write_text(content)
    with pytest.raises(DataError, match=f"is not an energy table: .*({why})"):
        read_cost_table(str(path))


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "mine.toml")
    with pytest.raises(AsnnError, match="unknown energy table"):
        read_cost_table(str(tmp_path / "mine.toml"))
