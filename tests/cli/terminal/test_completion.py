"""Shell completion: through the protocol of bash, and in the shells that are installed."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asnn.cli.app import app
from asnn.cli.terminal import completion

BIN = Path(sys.executable).parent
ROOT_COMMANDS = {"train", "sweep", "eval", "encode", "inspect", "export", "recipes", "doctor"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with two runs, a sweep, a run elsewhere, a recipe and a picture."""
    for name in ("runs/first", "runs/second", "elsewhere/third"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.toml").touch()
    (tmp_path / "runs/sweep-digits").mkdir()
    (tmp_path / "runs/sweep-digits/sweep.toml").touch()
    (tmp_path / "pictures").mkdir()
    for name in ("mine.toml", "cat.png", "points.npz"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def protocol(*words: str) -> dict[str, str]:
    """The variables by which bash requests completions of the last word."""
    request = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {"_ASNN_COMPLETE": "complete_bash", **request}


def offered(*words: str) -> list[str]:
    """The completions of the last word."""
    done = CliRunner().invoke(app, prog_name="asnn", env=protocol(*words))
    assert done.exit_code == 0
    return done.output.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["train"]),
        (["train", "--dev"], ["--device"]),
        (["train", "fashion-mnist-"], ["fashion-mnist-resnet-small"]),
        (["train", "mi"], ["mine.toml"]),
        (["train", "mn"], ["mnist"]),
        (["train", "p"], ["p4", "pictures/", "points.npz"]),
        (["data", "info", "p"], ["pictures/", "points.npz"]),
        (["data", "info", "events-f"], ["events-folder"]),
        (["train", "--resume", ""], ["runs/first", "runs/second"]),
        (["train", "--precision", "b"], ["bfloat16"]),
        (["sweep", "--resume", ""], ["runs/sweep-digits"]),
        (["sweep", "--device", "c"], ["cpu", "cuda"]),
        (["encode", "--coding", "hybrid"], ["hybrid", "hybrid-embedding"]),
        (["encode", "--dataset", "cifar"], ["cifar10", "cifar100"]),
        (["export", "--format", ""], ["onnx", "nir"]),
        (["export", "runs/s"], ["runs/second"]),
        (["export", "--split", "v"], ["validation"]),
        (["inspect", "./elsewhere/"], ["./elsewhere/third"]),
        (["predict", ""], ["runs/first", "runs/second"]),
        (["predict", "p"], ["pictures/", "points.npz"]),
        (["predict", "runs/s"], ["runs/second/", "runs/sweep-digits/"]),
        (["predict", "cat.png", "--runtime", "o"], ["onnxruntime"]),
        (["recipes", "show", "dig"], ["digits"]),
        (["recipes", "copy", "mine"], []),
        (["encode", "cat"], []),  # the shell itself completes files
        (["eval", "--corrupt", "spike-"], ["spike-drop", "spike-jitter"]),
        (["eval", "--corrupt", "a"], ["all"]),
        (["eval", "--energy-table", "45nm-i"], ["45nm-int8"]),
        (["report", "--energy-table", "m"], ["mine.toml"]),
        (["bench", "--model", "ms-"], ["ms-resnet18", "ms-resnet18-16"]),
    ],
)
def test_values_are_completed(here, words, expected):
    assert offered("asnn", *words) == expected


def test_commands_are_completed(here):
    assert set(offered("asnn", "")) >= ROOT_COMMANDS


@pytest.mark.slow
def test_the_installed_program_completes(here):
    variables = environment(**protocol("asnn", "train", "mi"))
    done = subprocess.run([BIN / "asnn"], capture_output=True, text=True, timeout=60, env=variables)
    assert (done.stdout.split(), done.stderr) == (["mine.toml"], "")


def test_the_last_item_of_a_list_is_completed():
    complete = completion.list_of(completion.one_of("direct", "delta", "rate"))
    assert complete("") == ["direct", "delta", "rate"]
    assert complete("rate,d") == ["rate,direct", "rate,delta"]


def test_the_names_are_those_of_the_registries(tmp_path, monkeypatch):
    from asnn.benchmarks.networks import NETWORKS
    from asnn.coding import coding_registry
    from asnn.datasets.load import dataset_registry
    from asnn.learning.device import PRECISIONS
    from asnn.measure.cost.tables import cost_table_names
    from asnn.measure.robustness.corruptions import corruption_registry
    from asnn.models.nir.semantics import SEMANTICS
    from asnn.records.sorting import ORDERS
    from asnn.sweeps.definition import SPLITS

    assert list(completion.CODES) == list(coding_registry.builtin)
    assert list(completion.DATASETS) == list(dataset_registry.builtin)
    assert list(completion.CORRUPTIONS) == list(corruption_registry.builtin)
    monkeypatch.chdir(tmp_path)  # where there is no TOML file
    assert completion.energy_tables("") == sorted(cost_table_names())
    assert list(completion.BENCH_MODELS) == list(NETWORKS)
    assert tuple(PRECISIONS) == completion.PRECISIONS
    assert completion.SPLITS == SPLITS
    assert tuple(SEMANTICS) == completion.SEMANTICS
    assert offered("asnn", "runs", "list", "--sort", "") == list(ORDERS)


def test_codes_of_installed_packages_are_completed(monkeypatch):
    from asnn.core.registry import Registry

    monkeypatch.setattr(Registry, "_external", {"phase": None})
    assert completion.codes("p") == ["phase"]


def test_completion_does_not_import_torch():
    code = (
        "import sys; from asnn.cli import app; from asnn.cli.terminal import completion as c; "
        "c.codes(''), c.datasets(''), c.recipes(''), c.runs(''); "
        "c.corruptions(''), c.energy_tables(''); "
        "sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


SHELLS = {
    # Each loads the script of `--show-completion` and requests completions as the tab key does.
    "bash": """\
        eval "$(asnn --show-completion)"
        COMP_WORDS=(asnn tr) COMP_CWORD=1
        $(complete -p asnn | grep -o '_[a-z_]*completion') asnn
        echo "${COMPREPLY[@]}"
    """,
    # Without a terminal there is no tab key: call the function that `compdef` registered.
    "zsh": """\
        compdef() { called=$1; }
        _arguments() { echo "$1" | grep -o train | head -1; }
        eval "$(asnn --show-completion)"
        words=(asnn tr) CURRENT=2
        $called
    """,
    "fish": """\
        asnn --show-completion | source
        complete --do-complete 'asnn tr' | cut -f 1
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_completion_in_the_shell(here, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell], input=textwrap.dedent(SHELLS[shell]), cwd=here, capture_output=True, text=True,
        timeout=60, env=environment(HOME=str(here)),
    )  # fmt: skip
    assert done.stdout.split() == ["train"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/asnn.sh"),
        ("zsh", ".zfunc/_asnn"),
        ("fish", ".config/fish/completions/asnn.fish"),
    ],
)
def test_the_installed_script_is_the_shown_script(here, shell, file):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = "asnn --install-completion >/dev/null; asnn --show-completion"
    done = subprocess.run(
        [shell], input=script, cwd=here, capture_output=True, text=True,
        timeout=60, env=environment(HOME=str(here)),
    )  # fmt: skip
    assert (here / file).read_text().strip() == done.stdout.strip() != "", done.stderr
