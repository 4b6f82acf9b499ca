"""What a shell offers: asked as shells ask, and in those that are installed."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from asnn.cli import completion

BIN = Path(sys.executable).parent
ROOT_COMMANDS = {"train", "sweep", "eval", "encode", "inspect", "export", "recipes", "doctor"}


@pytest.fixture
def here(tmp_path):
    """A folder with two runs, a sweep, a run elsewhere, a recipe and a picture."""
    for name in ("runs/first", "runs/second", "elsewhere/third"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.toml").touch()
    (tmp_path / "runs/sweep-digits").mkdir()
    (tmp_path / "runs/sweep-digits/sweep.toml").touch()
    for name in ("mine.toml", "cat.png"):
        (tmp_path / name).touch()
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def offered(folder: Path, *words: str) -> list[str]:
    """What is offered for the last of the words, by the protocol of bash."""
    asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [BIN / "asnn"], cwd=folder, capture_output=True, text=True, timeout=60,
        env=environment(_ASNN_COMPLETE="complete_bash", **asked),
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["train"]),
        (["train", "--dev"], ["--device"]),
        (["train", "fashion-mnist-"], ["fashion-mnist-resnet-small"]),
        (["train", "mi"], ["mine.toml"]),
        (["train", "mn"], ["mnist"]),
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
        (["recipes", "show", "dig"], ["digits"]),
        (["recipes", "copy", "mine"], []),
        (["encode", "cat"], []),  # the shell itself completes files
    ],
)
def test_what_is_offered(here, words, expected):
    assert offered(here, "asnn", *words) == expected


def test_commands_are_offered(here):
    assert set(offered(here, "asnn", "")) >= ROOT_COMMANDS


def test_a_list_is_completed_at_its_end():
    complete = completion.list_of(completion.one_of("direct", "delta", "rate"))
    assert complete("") == ["direct", "delta", "rate"]
    assert complete("rate,d") == ["rate,direct", "rate,delta"]


def test_the_names_are_those_of_the_registries():
    from asnn.coding import coding_registry
    from asnn.datasets.load import dataset_registry
    from asnn.learning.device import PRECISIONS
    from asnn.sweeps.definition import SPLITS

    assert list(completion.CODES) == list(coding_registry.builtin)
    assert list(completion.DATASETS) == list(dataset_registry.builtin)
    assert tuple(PRECISIONS) == completion.PRECISIONS
    assert completion.SPLITS == SPLITS


def test_codes_of_installed_packages_are_offered(monkeypatch):
    from asnn.core.registry import Registry

    monkeypatch.setattr(Registry, "_external", {"phase": None})
    assert completion.codes("p") == ["phase"]


def test_a_shell_does_not_wait_for_torch():
    code = (
        "import sys; from asnn.cli import app, completion as c; "
        "c.codes(''), c.datasets(''), c.recipes(''), c.runs(''); "
        "sys.exit(bool({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


SHELLS = {
    # A script that loads what `--show-completion` gives, and asks as a press of the tab key does.
    "bash": """\
        eval "$(asnn --show-completion)"
        COMP_WORDS=(asnn tr) COMP_CWORD=1
        $(complete -p asnn | grep -o '_[a-z_]*completion') asnn
        echo "${COMPREPLY[@]}"
    """,
    # There is no tab key without a terminal: what is called is what `compdef` has registered.
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


@pytest.mark.parametrize("shell", SHELLS)
def test_in_the_shell_itself(here, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell], input=textwrap.dedent(SHELLS[shell]), cwd=here, capture_output=True, text=True,
        timeout=60, env=environment(HOME=str(here)),
    )  # fmt: skip
    assert done.stdout.split() == ["train"], done.stderr


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/asnn.sh"),
        ("zsh", ".zfunc/_asnn"),
        ("fish", ".config/fish/completions/asnn.fish"),
    ],
)
def test_what_is_installed_is_what_is_shown(here, shell, file):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = "asnn --install-completion >/dev/null; asnn --show-completion"
    done = subprocess.run(
        [shell], input=script, cwd=here, capture_output=True, text=True,
        timeout=60, env=environment(HOME=str(here)),
    )  # fmt: skip
    assert (here / file).read_text().strip() == done.stdout.strip() != "", done.stderr
