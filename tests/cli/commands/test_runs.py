"""`asnn runs`: the list, damaged runs in it, and the differences of two runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asnn.cli.commands.runs.table import fitting, min_name_room
from asnn.cli.terminal.sparkline import BLOCKS, PLAIN, sparkline
from asnn.cli.terminal.tables import shorten
from asnn.records import sorting
from asnn.records.layout import list_runs
from asnn.records.sorting import BY_PATH, ORDERS
from tests.support.command_line import TINY

ACCURACIES = [0.5, 0.9, 0.8]


def metrics(accuracy, epoch):
    return {
        "epoch": epoch,
        "validation_accuracy": accuracy,
        "validation_loss": 1 - accuracy,
        "spike_rate": 0.125,
    }


@pytest.fixture
def make(tmp_path):
    """Make a run by hand, `age` seconds old."""

    def call(name, *, age=0.0, accuracies=ACCURACIES, epochs=3, coding="hybrid", **train) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        settings = {"epochs": epochs, "seed": 0, **train}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (folder / "config.toml").write_text(
            f'name = "toy"\n[coding]\nname = "{coding}"\nsteps = 4\n'
            '[data]\nname = "digits"\n[model]\nname = "lenet"\nneuron = "adaptive"\n[train]\n'
            + "\n".join(lines)
        )
        os.utime(folder / "config.toml", (1.7e9 - age, 1.7e9 - age))
        history = [metrics(accuracy, i) for i, accuracy in enumerate(accuracies, 1)]
        if history:
            best = max(history, key=lambda each: each["validation_accuracy"])
            summary = {"finished": len(history) == epochs, "best": best, "last": history[-1]}
            summary |= {"parameters": 87_910, "seconds": 12.5}
            (folder / "summary.json").write_text(json.dumps(summary))
            (folder / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in history))
            (folder / "model.safetensors").touch()
        environment = {"packages": {"torch": "2.6"}, "data": {"fingerprint": "abc"}}
        (folder / "environment.json").write_text(json.dumps(environment))
        return folder

    return call


def listed(cli, *arguments):
    result = cli("runs", *arguments, "--json")
    assert result.code == 0
    return json.loads(result.out)["runs"]


def test_the_newest_runs_come_first_those_of_sweeps_too(cli, make):
    make("old", age=30)
    make("sweep-toy/seed=0", age=10)
    make("mine/sweep/seed=1", age=20)
    teacher = make("new")
    make("new/teacher")
    make("new/checkpoints/step-6", age=-5)
    make(".hidden.part", age=-9)
    assert [run["run"] for run in listed(cli)] == [
        "runs/new", "runs/sweep-toy/seed=0", "runs/mine/sweep/seed=1", "runs/old",
    ]  # fmt: skip
    assert [run.path for run in list_runs(teacher)] == [teacher]
    assert [each["run"] for each in listed(cli, "runs/sweep-toy", "runs/sweep-toy/seed=0")] == [
        "runs/sweep-toy/seed=0"
    ]


def test_the_shortest_path_to_a_run_is_listed(cli, make, tmp_path):
    make("a")
    make("z", age=1)
    for name in ("loop", "zz"):
        (tmp_path / "runs" / name).symlink_to(tmp_path / "runs")
    assert [run["run"] for run in listed(cli)] == ["runs/a", "runs/z"]


def test_json_has_everything_about_a_run(cli, make):
    make("a", seed=7)
    (run,) = listed(cli)
    assert run["best"] == {
        "validation_accuracy": 0.9, "validation_loss": 1 - 0.9, "epoch": 2, "spike_rate": 0.125,
    }  # fmt: skip
    assert run["validation_accuracy"] == ACCURACIES
    assert run["began"] == "2023-11-14T22:13:20+00:00"  # 1.7e9 s after 1970
    expected = {"coding": "hybrid", "steps": 4, "neuron": "adaptive", "model": "lenet"}
    expected |= {"seed": 7, "parameters": 87_910, "seconds": 12.5, "epoch": 3, "epochs": 3}
    expected |= {"state": "finished", "faults": []}
    assert expected.items() <= run.items()


def test_columns_show_what_differs_and_the_title_what_is_shared(cli, make):
    make("a")
    make("b", coding="direct", accuracies=[0.25], age=5)
    make("c", accuracies=[], age=9)
    result = cli("runs")
    assert result.out == ""
    title, _, head, _, a, b, c, *_ = result.err.splitlines()
    assert title == "3 runs in runs; all: data digits, T 4, neuron adaptive, model lenet"
    columns = "run state best % by epoch code rate age at parameters"
    assert head.split() == columns.split()
    assert a.split()[:6] == ["a", "done", "90.00", "▁█▆", "hybrid", "0.125"]
    assert b.split()[:6] == ["b", "1/3", "25.00", "▄", "direct", "0.125"]
    assert c.split()[:4] == ["c", "0/3", "–", "hybrid"]
    assert "87.9 k" in a


def test_different_data_sets_have_a_column(cli, make):
    make("a")
    config = make("b") / "config.toml"
    config.write_text(config.read_text().replace("digits", "fashion-mnist"))
    title, head, rows = re.split(r"\n *\n|\n ─+", cli("runs").err)[:3]
    assert "data" not in title and " by epoch " in head and " data " in head
    assert "digits" in rows and "fashion-mnist" in rows


def test_unknown_values_are_not_in_the_title(cli, make, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # for a title of one line
    make("a", accuracies=[])
    make("b", accuracies=[])
    title = cli("runs").err.splitlines()[0]
    assert "state 0/3" in title and "parameters" not in title


def test_the_title_of_a_shortened_list_says_which_runs_it_describes(cli, make):
    make("new/a")
    make("new/b", age=1)
    make("old/c", age=2, coding="direct")
    one, two, three = (cli("runs", "--limit", n).err.splitlines()[0] for n in "123")
    assert one == "1 of 3 runs in runs"
    assert two.startswith("2 of 3 runs in runs; those shown: state done, data digits, code hybrid")
    assert three.startswith("3 runs in runs; all: state done, data digits, T 4")


@pytest.mark.parametrize("order", ORDERS)
def test_only_an_order_by_figures_reads_runs_beyond_the_limit(cli, make, monkeypatch, order):
    for i in range(5):
        make(f"r{i}", age=i)
    read = []
    monkeypatch.setattr(
        sorting,
        "read_record",
        lambda run, real=sorting.read_record: read.append(run) or real(run),
    )
    assert "2 of 5 runs" in cli("runs", "--limit", "2", "--sort", order).err
    assert len(read) == (2 if order in BY_PATH else 5)


def test_shortened_names_differ(cli, make):
    names = [f"coding.name={code},model.neuron=adaptive,coding.steps=4,seed=2"
             for code in ("hybrid", "hybrid-embedding", "embedding")]  # fmt: skip
    for name in names:
        make(name)
    shown = re.findall(r"^ (coding\S+)", cli("runs").err, re.MULTILINE)
    assert len(set(shown)) == 3 and all("…" in name for name in shown)
    room = min_name_room(names)
    assert len({shorten(name, room) for name in names}) == 3
    assert len({shorten(name, room - 1) for name in names}) < 3
    assert min_name_room(["a" * 90]) == 22 and min_name_room(["a"]) == 1


def test_names_of_control_characters_and_wide_letters_keep_their_column(cli, make):
    from rich.cells import cell_len

    for name in ("\x1b[31m" * 9, "漢字" * 30, "plain"):
        make(name)
    lines = cli("runs").err.splitlines()
    assert "\\x1b[31m" in "".join(lines) and "\x1b" not in "".join(lines)
    (rule,) = [i for i, line in enumerate(lines) if "──" in line]
    rows = lines[rule + 1 :]
    rows = rows[: [row.strip() for row in rows].index("")]
    assert len(rows) == 3 and max(map(cell_len, lines)) <= 80
    assert len({cell_len(line[: line.index("▁█▆")]) for line in rows}) == 1


def test_order_and_limit(cli, make):
    make("b", accuracies=[0.4])
    make("a", accuracies=[], age=1)
    make("c", accuracies=[0.6], age=2)

    def names(*arguments):
        return "".join(each["run"][-1] for each in listed(cli, *arguments))

    assert (names(), names("--sort", "name"), names("--sort", "accuracy")) == ("bac", "abc", "cba")
    assert names("list", "runs", "--limit", "2") == "ba"
    assert names("--sort", "parameters") == "bca"  # of equal ones the newest comes first
    short = cli("runs", "--limit", "1").err
    assert "1 of 3 runs in runs" in short and "to list all: --limit 3" in short
    unknown = cli("runs", "--sort", "acuracy")
    assert unknown.code == 2 and "did you mean 'accuracy'?" in unknown.err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.toml", None, "config.toml: it is missing"),
        ("config.toml", b"[train", "config.toml: "),
        ("config.toml", b"\xff", "config.toml: "),
        ("summary.json", b"{", "summary.json: "),
        ("summary.json", b"[]", "summary.json: it is not a JSON object"),
        ("summary.json", b'{"finished": true}', "summary.json: it has no best epoch"),
        ("summary.json", b'{"best": {"validation_accuracy": NaN}}', "has the number NaN"),
        ("metrics.jsonl", None, "metrics.jsonl: it is missing"),
        ("metrics.jsonl", b'{"validation_accuracy": 0.5}\n{"va', "metrics.jsonl: "),
        ("metrics.jsonl", b'{"validation_accuracy": "x"}\n', "line 1 has no validation"),
        (
            "metrics.jsonl",
            b'{"validation_accuracy": 1' + b"0" * 400 + b"}\n",
            "has the number 1000",
        ),
        ("environment.json", b"", "environment.json: "),
        ("model.safetensors", None, "model.safetensors: it is missing"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason_and_affects_no_other(
    cli, make, name, content, reason
):
    intact = make("intact", age=5)
    path = make("hurt") / name
    path.unlink() if content is None else path.write_bytes(content)
    hurt, other = sorted(listed(cli), key=lambda run: run["run"])
    assert hurt["state"] == "damaged" and reason in hurt["faults"][0]
    assert (other["run"], other["state"]) == (f"runs/{intact.name}", "finished")
    shown = cli("runs")
    assert shown.code == 0 and "damaged: hurt: " in shown.err and reason in shown.err


def test_a_run_that_was_killed_before_its_first_summary_is_unfinished(cli, make):
    (make("a") / "summary.json").unlink()  # metrics are written before
    (run,) = listed(cli)
    assert (run["state"], run["faults"], run["epoch"]) == ("unfinished", [], 3)


def test_values_of_any_kind_in_a_configuration_are_listed(cli, make):
    config = make("a") / "config.toml"
    config.write_text("train = 3\n[coding]\nname = 1979-05-27\nsteps = inf\n[model]\nname = []\n")
    (run,) = listed(cli)
    assert (run["coding"], run["steps"], run["model"]) == ("1979-05-27", "inf", [])
    assert run["epochs"] == 0
    assert cli("runs").code == 0
    assert cli("runs", "diff", "runs/a", "runs/a", "--json").code == 0


def test_no_run_at_all(cli, tmp_path):
    missing = cli("runs")
    assert missing.code == 4
    assert "there is no run in runs/" in missing.err and "asnn train" in missing.err
    (tmp_path / "runs").mkdir()
    assert cli("runs", "--json").code == 4


def test_an_argument_that_is_neither_a_folder_nor_a_command(cli, make):
    make("a")
    refused = cli("runs", "dif", "runs/a", "runs/b")
    assert refused.code == 4
    assert "there is no folder dif/" in refused.err and "list or diff" in refused.err
    assert "list or diff" not in cli("runs", "list", "dif").err
    assert cli("runs", "runs").code == 0
    assert "asnn runs list -h" in cli("runs", "-h").out


def test_watching_needs_a_terminal(cli, make):
    make("a")
    refused = cli("runs", "--watch")
    assert refused.code == 2 and "--watch needs a terminal" in refused.err
    assert cli("runs", "--watch", "--json").code == 2


def test_a_run_that_was_trained(cli, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs" / "tiny")
    (run,) = listed(cli)
    summary = json.loads((trained / "summary.json").read_text())
    assert run["best"].items() <= summary["best"].items()
    assert (run["state"], run["parameters"]) == ("finished", summary["parameters"])
    assert (run["epoch"], run["epochs"], run["model"]) == (2, 2, "lenet")


@pytest.mark.slow
def test_training_draws_a_curve_of_more_than_one_epoch(cli):
    short = [*TINY, "--set", "data.limit=64"]
    once = cli("train", *short, "--set", "train.epochs=1", "--out", "one")
    assert once.code == 0 and "by epoch" not in once.err
    twice = cli("train", "--resume", "one", "--set", "train.epochs=2")
    assert re.search(r"validation accuracy by epoch: [▁▄█]{2}\n", twice.err)


def test_differences_of_two_runs(cli, make):
    make("a", lr=0.1, clip_norm=1.0)
    make("b", lr=0.2, accuracies=[0.5, 0.95, 0.8])
    (Path("runs/b/environment.json")).write_text(
        json.dumps({"packages": {"torch": "2.7"}, "data": {"fingerprint": "abc"}})
    )
    found = json.loads(cli("runs", "diff", "runs/a", "runs/b", "--json").out)
    assert (found["a"], found["b"]) == ("runs/a", "runs/b")
    assert found["configuration"] == {
        "train.lr": {"a": 0.1, "b": 0.2},
        "train.clip_norm": {"a": 1.0, "b": None},
    }
    assert found["environment"] == {"packages.torch": {"a": "2.6", "b": "2.7"}}
    best = found["result"]["validation_accuracy"]
    assert (best["a"], best["b"]) == (0.9, 0.95)
    assert best["difference"] == pytest.approx(0.05)
    assert found["result"]["epoch"] == {"a": 2, "b": 2, "difference": 0}
    shown = cli("runs", "diff", "runs/a", "runs/b")
    assert (shown.code, shown.out) == (0, "")
    rows = [line.split() for line in shown.err.splitlines()]
    assert ["train.clip_norm", "1.0", "not", "set"] in rows
    assert ["validation", "accuracy,", "%", "90.00", "95.00", "+5.00"] in rows
    assert ["spike", "rate", "0.1250", "0.1250", "+0.0000"] in rows
    assert ["A", "B", "B", "-", "A"] in rows


def test_equal_runs_say_so(cli, make):
    make("a")
    make("b")
    shown = cli("runs", "diff", "runs/a", "runs/b").err
    for part in ("configuration", "environment", "result"):
        assert f"{part}: the same" in shown
    summary = Path("runs/b/summary.json")
    summary.write_text(summary.read_text().replace("87910", "87911"))
    assert "result: the same" not in cli("runs", "diff", "runs/a", "runs/b").err


def test_a_difference_to_a_run_without_result_is_unknown(cli, make):
    make("a")
    make("b", accuracies=[])
    found = json.loads(cli("runs", "diff", "runs/a", "runs/b", "--json").out)
    seconds = {"a": 12.5, "b": None, "difference": None}
    assert found["result"]["seconds"] == seconds
    assert cli("runs", "diff", "runs/a", "runs/b").code == 0
    neither = cli("runs", "diff", "runs/b", "runs/b").err
    assert "result: none yet" in neither and "result: the same" not in neither


def test_a_difference_needs_two_runs_with_configurations(cli, make):
    make("a")
    missing = cli("runs", "diff", "runs/a", "runs/b")
    assert missing.code == 4 and "such as runs/a" in missing.err
    (make("b") / "config.toml").write_text("[")
    damaged = cli("runs", "diff", "runs/a", "runs/b")
    assert damaged.code == 4 and "runs/b/config.toml cannot be read" in damaged.err


def test_a_refusal_names_a_path_to_paste(cli, make):
    make("a")
    for name in ("seed=0,x y", "sweep/seed=0,lr=1"):
        make(name)
        refused = cli("runs", "diff", name, "runs/a")
        assert refused.code == 4
        (path,) = shlex.split(refused.err.partition("give its path: ")[2])
        assert path == f"runs/{name}" and cli("runs", "diff", path, "runs/a").code == 0
    near = cli("runs", "diff", "runs/sweep/sed=0", "runs/a").err
    assert "such as runs/sweep/seed=0,lr=1" in near
    assert "such as runs/a" in cli("runs", "diff", "elsewhere/a", "runs/a").err


@pytest.mark.slow
def test_torch_and_numpy_are_not_imported(make, tmp_path):
    make("a")
    code = (
        "import sys; from asnn.cli.app import run; run(['runs']); run(['runs', 'diff', *['runs/a']"
        " * 2]); sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_columns_are_kept_in_their_order_as_far_as_they_fit():
    cells = {"one": ["1"], "twoo": ["22"], "three": ["333333"]}
    # A line is the name, and for each column its width and 2; 2 more around it.
    assert fitting(cells, 10 + 2 + 5 + 6 + 8, 10) == (cells, 10)
    kept, room = fitting(cells, 10 + 2 + 5 + 6 + 7, 10)
    assert (list(kept), room) == (["one", "twoo"], 17)
    assert fitting(cells, 12, 10) == ({}, 10)


def test_a_sparkline_spans_all_levels():
    assert sparkline([i / 7 for i in range(8)]) == BLOCKS
    assert sparkline([3, 2, 1], levels=PLAIN) == "#=_"
    assert sparkline([0.2, 0.2]) == "▄▄"
    assert sparkline([]) == ""


def test_a_sparkline_of_many_values_shows_the_mean_of_each_group():
    # Eight shares of 10 values; the mean of share k is 10 k + 4.5, in equal distances.
    assert sparkline(range(80)) == BLOCKS
    # Shares of 1, 2, 2 and 2 values: means 0, 7, 3, 0.
    assert sparkline([0, 7, 7, 0, 6, 0, 0], 4) == "▁█▄▁"
