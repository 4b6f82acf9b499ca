"""What the figure of cost says: plain milliseconds, and bars for one T."""

import re

import pytest

from asnn.benchmarks.figure import draw_costs
from asnn.core import ConfigError


def result(steps: int, **ms: float) -> dict:
    spread = {
        name: {
            "train": {"seconds": {"median": v / 1e3, "low": 0.9 * v / 1e3, "high": 1.2 * v / 1e3}}
        }
        for name, v in ms.items()
    }
    case = {"model": "lenet", "coding": "direct", "batch": 4, "steps": steps}
    return {"case": case, "contestants": spread}


def texts(path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_several_steps_are_lines_with_plain_ticks_and_a_legend_in_their_order(tmp_path):
    path = tmp_path / "cost.svg"
    rows = [result(t, asnn=4.0 * t, relu=2.0, norse=30.0 * t) for t in (1, 2, 4)]
    draw_costs(path, rows)
    said = texts(path)
    for tick in ("2", "5", "10", "20", "50", "100"):
        assert tick in said
    assert not any("10^" in each or "×" in each for each in said)
    assert [each for each in said if each in ("asnn", "relu", "norse")] == ["norse", "asnn", "relu"]
    assert "steps T" in said


def test_close_lines_have_ticks_too(tmp_path):
    draw_costs(tmp_path / "a.svg", [result(t, asnn=6.1 + 0.1 * t, relu=7.9) for t in (1, 2)])
    assert {"6", "7", "8"} & set(texts(tmp_path / "a.svg"))


@pytest.mark.slow
@pytest.mark.parametrize("most", [1e3, 1e5, 1e9])
def test_times_of_many_powers_of_ten_have_ticks(tmp_path, most):
    draw_costs(tmp_path / "a.svg", [result(t, asnn=1e-3 * t, relu=most * t) for t in (1, 4)])
    shown = {f"{10.0**power:g}" for power in range(-3, 10)} & set(texts(tmp_path / "a.svg"))
    assert 3 <= len(shown) <= 8


def test_a_case_that_was_timed_twice(tmp_path):
    draw_costs(tmp_path / "a.svg", [result(4, asnn=9.0), result(4, asnn=7.0)])
    assert [each for each in texts(tmp_path / "a.svg") if each == "asnn"] == ["asnn"]
    assert "7" in texts(tmp_path / "a.svg")


def test_one_number_of_steps_is_bars_the_shortest_on_top(tmp_path):
    path = tmp_path / "cost.svg"
    draw_costs(path, [result(4, asnn=12.34, relu=3.0)])
    said = texts(path)
    assert "T = 4" in said
    assert "12.3" in said
    assert "3" in said
    assert "steps T" not in said
    assert [each for each in said if each in ("asnn", "relu")] == ["relu", "asnn"]


@pytest.mark.slow
def test_pdf_by_suffix_and_others_refused(tmp_path):
    draw_costs(tmp_path / "a.pdf", [result(4, asnn=1.0)])
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(ConfigError, match="its name must end in .png, .svg or .pdf"):
        draw_costs(tmp_path / "a.jpg", [result(4, asnn=1.0)])
