"""Trainings of a study: what is finished is not done again, and what fails is told."""

import argparse
import json

import pytest

from studies.systems.one import Failed
from studies.systems.records import Work, chosen, finish


def test_what_is_finished_is_not_done_again(tmp_path, capsys):
    done = []

    def measure(run):
        done.append(run.name)
        if run.name == "b":
            raise Failed("no data")
        return {"seconds": 1.0}

    works = [Work(f"row {name}", tmp_path / f"{name}.json", measure) for name in "abc"]
    works[2].record.write_text("{}")
    (tmp_path / "a").mkdir()  # of a training that was killed
    assert finish(works, jobs=1) == ["row b: no data"]
    assert done == ["a", "b"] and not (tmp_path / "a").exists()
    assert json.loads(works[0].record.read_text()) == {"seconds": 1.0}
    assert "row a: 1 s" in capsys.readouterr().err
    assert finish(works, jobs=2) == ["row b: no data"] and done == ["a", "b", "b"]


def test_unknown_rows_are_refused(capsys):
    parser = argparse.ArgumentParser()
    assert chosen(parser, "", ["a", "b"]) == {"a", "b"}
    assert chosen(parser, "b,", ["a", "b"]) == {"b"}
    with pytest.raises(SystemExit):
        chosen(parser, "c", ["a", "b"])
    assert "unknown: c; choose from a, b" in capsys.readouterr().err
