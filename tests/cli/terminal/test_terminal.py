"""Tables fit the terminal; colours and live drawing appear on terminals only."""

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
from asnn.cli.terminal.tables import MAX_UNFOLDED, fit, shorten

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


@pytest.mark.slow
@given(tables())
def test_no_table_is_wider_than_80_columns_and_every_figure_is_shown(table):
    heads, rows = table
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        lines = _printed(heads, rows)
    assert max(map(cell_len, lines)) <= 80
    for _, *figures in rows:
        missing = [f for f in figures if not any(f in line for line in lines)]
        assert not missing
    # Folded names are complete: every letter is shown as often as it occurs.
    letters = "".join(lines)
    for name in [*heads, *(row[0] for row in rows)]:
        assert all(letters.count(c) >= name.count(c) for c in set(name) - {" "})


def _printed(heads, rows):
    """Print a table to a file instead of stderr and return its lines."""
    import io

    former, sys.stderr = sys.stderr, io.StringIO()
    try:
        console.table("title", heads, rows)
        return sys.stderr.getvalue().splitlines()
    finally:
        sys.stderr = former


@pytest.mark.slow
@given(tables(), st.integers(8, 120))
def test_the_parts_of_a_table_have_every_column_and_fit_any_width(table, room):
    heads, rows = table
    parts = fit(heads, rows, room)
    assert set().union(*(part.columns for part in parts)) == set(range(len(heads)))
    for part in parts:
        assert part.columns[0] == 0 and sorted(part.columns) == part.columns
        assert sum(part.widths) + 2 * len(part.widths) <= room
        assert min(part.widths) > 0


def test_long_names_are_folded_before_columns_are_moved(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    heads = ["", *(f"t={t}" for t in range(1, 8))]
    text = shown(heads, [["spike rate block3.main.spikes2", *["0.1234"] * 7]], capsys)
    (row,) = [line for line in text.splitlines() if "0.1234" in line]
    assert row.count("0.1234") == 7 and row.startswith(" spike rate")
    assert "block3.main.spikes2" in text


def test_surplus_columns_are_shown_below_with_the_columns_that_identify_a_row():
    heads = ["code", "neuron", *(f"figure {i}" for i in range(12))]
    rows = [[c, n, *["12345.67"] * 12] for c in ("direct", "hybrid") for n in ("fixed", "adaptive")]
    first, second = fit(heads, rows, 80)
    assert first.columns == [0, 1, *range(2, 8)] and second.columns == [0, 1, *range(8, 14)]
    assert fit(["a", "b"], [], 80)[0].columns == [0, 1]  # without rows


def test_figures_are_never_folded():
    (part,) = fit(["name", "figure"], [["x" * 200, "1" * MAX_UNFOLDED]], 80)
    assert part.widths == [80 - MAX_UNFOLDED - 4, MAX_UNFOLDED]


def test_COLUMNS_sets_the_width(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    text = shown(["name", "value"], [["x" * 200, "y" * 70]], capsys)
    assert max(map(len, text.splitlines())) == 50
    assert (text.count("x"), text.count("y")) == (200, 70)


def test_names_from_data_are_not_interpreted_as_markup(capsys):
    text = shown(["[bold]name"], [["[red]x[/]"], ["\x1b[31m"]], capsys)
    assert "[bold]name" in text and "[red]x[/]" in text and "\\x1b[31m" in text


@pytest.mark.parametrize("width", [3, 9, 16])
def test_both_ends_of_a_long_text_are_kept(width):
    text = "coding.name=hybrid,seed=0"
    short = shorten(text, width)
    head, tail = short.split("…")
    assert len(short) == width and text.startswith(head) and text.endswith(tail) and tail
    assert shorten("short", 5) == "short"


@pytest.mark.parametrize("width", range(2, 30))
def test_wide_characters_count_as_two(width):
    short = shorten("漢字かな交じり文a" * 2, width)
    assert width - 2 <= cell_len(short) <= width


def environment(**changes):
    kept = {"PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}
    return {k: v for k, v in os.environ.items() if k in kept} | {"TERM": "xterm"} | changes


@pytest.fixture
def runs(tmp_path, trained):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(trained)
    return tmp_path


def in_terminal(arguments, folder: Path, *, interrupt=False, **changes):
    """Run asnn with a terminal as stderr; return its exit code and what it wrote there."""
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
    except OSError:  # on Linux, when the other end of the terminal is closed
        pass
    finally:
        os.close(ours)
        process.communicate(timeout=60)
    return process.returncode, written.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7]m|\x1b\[3[0-7]")


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "escapes"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_no_escape_sequences_without_a_terminal(runs, changes, escapes):
    done = subprocess.run(
        [*ASNN, "runs"], cwd=runs, env=environment(**changes), capture_output=True, check=True
    )
    assert (b"\x1b" in done.stderr, done.stdout) == (escapes, b"")


@pytest.mark.slow
def test_a_terminal_without_blocks_gets_plain_characters(runs):
    done = subprocess.run(
        [*ASNN, "runs"], cwd=runs, env=environment(PYTHONIOENCODING="ascii"), capture_output=True,
        check=True,
    )  # fmt: skip
    text = done.stderr.decode("ascii")
    assert "\\u" not in text and re.search(r" (_#|#_|\.\.|~~) ", text)


@pytest.mark.slow
def test_watching_ends_with_ctrl_c(runs):
    code, written = in_terminal(["runs", "--watch"], runs, interrupt=True)
    assert code == 130 and "1 run in" in written and "Traceback" not in written


@pytest.mark.slow
def test_watching_draws_complete_lines_and_as_many_runs_as_fit(tmp_path):
    for i in range(30):
        folder = tmp_path / "runs" / f"r{i:02d}"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(
            '[data]\nname = "digits"\n[coding]\nname = "hybrid"\n[model]\nname = "lenet"\n'
        )
        os.utime(folder / "config.toml", (1e9 - i, 1e9 - i))
    size = {"COLUMNS": "34", "LINES": "14"}
    code, written = in_terminal(["runs", "--watch"], tmp_path, interrupt=True, **size)
    drawn = written.replace("\r", "").replace("\x1b[2K", "\n")  # at each redrawing
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn)
    *_, begin = re.finditer(r"^(\d+) of 30 runs", text, re.MULTILINE)
    last, count = text[begin.start() :], int(begin[1])
    assert code == 130 and 1 < count < 14
    assert re.findall(r"^ (r\d\d)", last, re.MULTILINE) == [f"r{i:02d}" for i in range(count)]
    assert "model lenet" in last and "to list all: --limit 30" in last  # the title is folded
    assert "..." not in text and len(last.rstrip().splitlines()) <= 14


@pytest.mark.slow
def test_watching_needs_a_terminal_that_can_be_drawn_on(runs):
    code, written = in_terminal(["runs", "--watch"], runs, TERM="dumb")
    assert code == 2 and "no terminal that can be drawn on" in written


@pytest.mark.slow
def test_a_difference_is_shown_in_ascii(runs):
    done = subprocess.run(
        [*ASNN, "runs", "diff", "runs/a", "runs/a"], cwd=runs, capture_output=True, check=True,
        env=environment(PYTHONIOENCODING="ascii"),
    )  # fmt: skip
    assert b"B - A" in done.stderr and b"\\u2212" not in done.stderr
