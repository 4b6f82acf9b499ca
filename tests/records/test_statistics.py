"""`statistics.jsonl` in the record of a run: read, and named where it is damaged."""

import json

import pytest

from asnn.records.layout import Run
from asnn.records.record import read_record

LINE = {"epoch": 1, "layers": {"conv1": {"gradient": 1.0, "weight": 2.0, "update": None}}}


def record_with(tmp_path, text):
    (tmp_path / "config.toml").write_text('format = 2\nname = "a"\n')
    if text is not None:
        (tmp_path / "statistics.jsonl").write_text(text)
    return read_record(Run(tmp_path))


def test_statistics_are_read_and_need_not_be_there(tmp_path):
    assert record_with(tmp_path, None).statistics == []
    record = record_with(tmp_path, json.dumps(LINE) + "\n")
    assert record.statistics == [LINE] and record.faults == []


@pytest.mark.parametrize("damage", ["{", '{"epoch": 1}', '{"layers": []}', '{"layers": {"a": 1}}'])
def test_damage_is_a_fault(tmp_path, damage):
    record = record_with(tmp_path, damage + "\n")
    assert record.statistics == []
    assert [fault.split(":")[0] for fault in record.faults] == ["statistics.jsonl"]
