"""Tables fit the width, and colours come where they are wanted."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from rich.cells import cell_len

from asnn.cli.terminal import console
from asnn.cli.terminal.tables import FOLDED, fit, shorten

ASNN = [sys.executable, "-c", "from asnn.cli.app import main; main()"]
NAMES = st.text("abc.=,1_ 漢", max_size=90)
FIGURES = st.one_of(
    st.integers(-(10**9), 10**9).map("{:,}".format),
    st.floats(0, 1e4).map("{:.4f}".format),
    st.sampled_from(["–", "97.50 ± 0.31", "<0.001", "yes", ""]),
)


@st.composite
def tables(draw):
    count = draw(st.integers(0, 14))
    heads = [draw(NAMES) for _ in range(count + 1)]
    rows = draw(st.lists(st.tuples(NAMES, *[FIGURES] * count), max_size=5))
    return heads, rows


def shown(heads, rows, capsys):
    capsys.readouterr()
    console.table("title", heads, rows)
    return capsys.readouterr().err


@given(tables())
def test_no_table_is_wider_than_80_columns_and_no_figure_is_lost(table):
    heads, rows = table
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        lines = _printed(heads, rows)
    assert max(map(cell_len, lines)) <= 80
    for _, *figures in rows:
        missing = [f for f in figures if not any(f in line for line in lines)]
        assert not missing
    # What is folded is whole as well: no letter of a name is lost, those of repeated ones apart.
    letters = "".join(lines)
    for name in [*heads, *(row[0] for row in rows)]:
        assert all(letters.count(c) >= name.count(c) for c in set(name) - {" "})


def _printed(heads, rows):
    """Print a table to a file in the place of stderr; its lines."""
    import io

    former, sys.stderr = sys.stderr, io.StringIO()
    try:
        console.table("title", heads, rows)
        return sys.stderr.getvalue().splitlines()
    finally:
        sys.stderr = former


@given(tables(), st.integers(8, 120))
def test_the_parts_of_a_table_hold_every_column_and_fit_any_room(table, room):
    heads, rows = table
    parts = fit(heads, rows, room)
    assert set().union(*(part.columns for part in parts)) == set(range(len(heads)))
    for part in parts:
        assert part.columns[0] == 0 and sorted(part.columns) == part.columns
        assert sum(part.widths) + 2 * len(part.widths) <= room
        assert min(part.widths) > 0


def test_long_names_are_folded_before_anything_is_moved(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    heads = ["", *(f"t={t}" for t in range(1, 8))]
    text = shown(heads, [["spike rate block3.main.spikes2", *["0.1234"] * 7]], capsys)
    (row,) = [line for line in text.splitlines() if "0.1234" in line]
    assert row.count("0.1234") == 7 and row.startswith(" spike rate")
    assert "block3.main.spikes2" in text


def test_a_table_of_many_columns_goes_on_below_with_what_tells_its_rows_apart():
    heads = ["code", "neuron", *(f"figure {i}" for i in range(12))]
    rows = [[c, n, *["12345.67"] * 12] for c in ("direct", "hybrid") for n in ("fixed", "adaptive")]
    first, second = fit(heads, rows, 80)
    assert first.columns == [0, 1, *range(2, 8)] and second.columns == [0, 1, *range(8, 14)]
    assert fit(["a", "b"], [], 80)[0].columns == [0, 1]  # no rows, nothing to tell apart


def test_figures_are_never_folded():
    (part,) = fit(["name", "figure"], [["x" * 200, "1" * FOLDED]], 80)
    assert part.widths == [80 - FOLDED - 4, FOLDED]


def test_the_width_is_that_of_COLUMNS_where_it_is_set(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    text = shown(["name", "value"], [["x" * 200, "y" * 70]], capsys)
    assert max(map(len, text.splitlines())) == 50
    assert (text.count("x"), text.count("y")) == (200, 70)


def test_names_from_data_are_text_and_no_markup(capsys):
    text = shown(["[bold]name"], [["[red]x[/]"], ["\x1b[31m"]], capsys)
    assert "[bold]name" in text and "[red]x[/]" in text and "\\x1b[31m" in text


@pytest.mark.parametrize("most", [3, 9, 16])
def test_both_ends_of_a_long_text_are_kept(most):
    text = "coding.name=hybrid,seed=0"
    short = shorten(text, most)
    head, tail = short.split("…")
    assert len(short) == most and text.startswith(head) and text.endswith(tail) and tail
    assert shorten("short", 5) == "short"


@pytest.mark.parametrize("most", range(2, 30))
def test_wide_letters_are_shortened_to_the_width_they_take(most):
    short = shorten("漢字かな交じり文a" * 2, most)
    assert most - 2 <= cell_len(short) <= most


def environment(**changes):
    kept = {"PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}
    return {k: v for k, v in os.environ.items() if k in kept} | {"TERM": "xterm"} | changes


@pytest.fixture
def runs(tmp_path, trained):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(trained)
    return tmp_path


def in_terminal(arguments, folder: Path, *, interrupt=False, **changes):
    """Run asnn with a terminal for stderr; its exit code and what it wrote there."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*ASNN, *arguments], cwd=folder, env=environment(**changes),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
        # The tests may run in the background of a script, where SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 60
    try:
        while True:
            if not select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
                process.kill()
                pytest.fail(f"it did not end: {written.decode()}")
            piece = os.read(ours, 4096)
            if not piece:
                break
            written += piece
            if interrupt and b"run" in written:
                process.send_signal(signal.SIGINT)
                interrupt = False
    except OSError:  # Linux says so of a terminal whose other end is closed
        pass
    finally:
        os.close(ours)
        process.communicate(timeout=60)
    return process.returncode, written.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7]m|\x1b\[3[0-7]")


@pytest.mark.parametrize(
    ("changes", "coloured", "escapes"),
    [
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),  # no-color.org: when present and not an empty string
        ({"NO_COLOR": "1"}, False, True),  # bold is no colour
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colour_on_a_terminal(tmp_path, changes, coloured, escapes):
    code, written = in_terminal(["runs"], tmp_path, **changes)
    assert code == 4 and "there is no run in runs/" in written
    assert (bool(COLOUR.search(written)), "\x1b" in written) == (coloured, escapes)


@pytest.mark.parametrize(("changes", "escapes"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_no_escape_sequences_where_there_is_no_terminal(runs, changes, escapes):
    done = subprocess.run(
        [*ASNN, "runs"], cwd=runs, env=environment(**changes), capture_output=True, check=True
    )
    assert (b"\x1b" in done.stderr, done.stdout) == (escapes, b"")


def test_a_terminal_without_blocks_gets_plain_characters(runs):
    done = subprocess.run(
        [*ASNN, "runs"], cwd=runs, env=environment(PYTHONIOENCODING="ascii"), capture_output=True,
        check=True,
    )  # fmt: skip
    text = done.stderr.decode("ascii")
    assert "\\u" not in text and re.search(r" (_#|#_|\.\.|~~) ", text)


def test_watching_ends_with_ctrl_c(runs):
    code, written = in_terminal(["runs", "--watch"], runs, interrupt=True)
    assert code == 130 and "1 run in" in written and "Traceback" not in written


def test_watching_draws_whole_lines_and_as_many_runs_as_there_are_lines(tmp_path):
    for i in range(30):
        folder = tmp_path / "runs" / f"r{i:02d}"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(
            '[data]\nname = "digits"\n[coding]\nname = "hybrid"\n[model]\nname = "lenet"\n'
        )
        os.utime(folder / "config.toml", (1e9 - i, 1e9 - i))
    size = {"COLUMNS": "34", "LINES": "14"}
    code, written = in_terminal(["runs", "--watch"], tmp_path, interrupt=True, **size)
    drawn = written.replace("\r", "").replace("\x1b[2K", "\n")  # where it is drawn anew
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn)
    *_, begin = re.finditer(r"^(\d+) of 30 runs", text, re.MULTILINE)
    last, count = text[begin.start() :], int(begin[1])
    assert code == 130 and 1 < count < 14
    assert re.findall(r"^ (r\d\d)", last, re.MULTILINE) == [f"r{i:02d}" for i in range(count)]
    assert "model lenet" in last and "all of them: --limit 30" in last  # the title is folded
    assert "..." not in text and len(last.rstrip().splitlines()) <= 14


def test_a_terminal_that_cannot_be_drawn_on_is_not_watched(runs):
    code, written = in_terminal(["runs", "--watch"], runs, TERM="dumb")
    assert code == 2 and "there is none that can be drawn on" in written


def test_a_difference_on_a_terminal_without_signs(runs):
    done = subprocess.run(
        [*ASNN, "runs", "diff", "runs/a", "runs/a"], cwd=runs, capture_output=True, check=True,
        env=environment(PYTHONIOENCODING="ascii"),
    )  # fmt: skip
    assert b"B - A" in done.stderr and b"\\u2212" not in done.stderr
