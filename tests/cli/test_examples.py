"""The help of every command has examples, and each example runs in a folder with its files.

An example that would take minutes gets further options from `shorter`; fixture `brief` shortens
timing and trains the members of sweeps in this process. Commands of asnn run in this process, and
bash passes on their output; lines that begin with another program run in bash. `prepared` makes the
folder.
"""

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from PIL import Image
from snntorch import utils
from torch import nn

from asnn.benchmarks import single_image
from asnn.benchmarks.baselines import base
from asnn.cli.app import run
from asnn.cli.commands.sweep import search as sweep_search
from asnn.cli.reference import pages
from asnn.cli.terminal.progress import Progress
from asnn.learning.methods.bptt import Bptt
from asnn.sweeps import pool
from asnn.sweeps.member import train_member
from tests.formats.events import encoders
from tests.support.command_line import TINY
from tests.support.idx import idx_bytes
from tests.support.jq import write_jq
from tests.support.pictures import class_folders
from tests.support.small_bench import make_paper_small

PAGES = pages()
EXAMPLES = list(dict.fromkeys(line for page in PAGES for line in page.examples))
RUN = "runs/digits-20260101-120000"
SWEEP = "runs/sweep-digits-20260101-120000"
SMALL = ["--set", "train.epochs=1", "--set", "data.limit=64", "--set", "model.widths=[4,8]"]
DETECT = ["--set", "data.samples=16", "--set", "data.validation_samples=8", "--set"]
DETECT += ["data.test_samples=8", "--set", "data.size=32", "--set", "data.objects=1", "--set"]
DETECT += ["model.widths=[4,8,8,8]", "--set", "train.epochs=1"]
EXACT = ["multi-spike", "--set", "data.name=digits", "--set", "data.limit=64"]
EXACT += ["--set", "train.epochs=1", "--set", "model.features=[8]"]
NETS = """\
    import snntorch
    import torch
    from torch import nn

    def make():
        torch.manual_seed(0)
        hidden, last = (snntorch.Leaky(beta=0.9, init_hidden=True) for _ in range(2))
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), hidden, nn.Linear(8, 10), last)
"""


def shorter(line: str) -> list[str]:
    """Options that make a command take seconds."""
    words = shlex.split(line)
    if words[1] == "train" and "--resume" in words:
        return ["--set", "train.epochs=3"] if "--set" in words else []
    if words[1] == "train":
        return SMALL
    if words[1] == "find-lr":
        return [*SMALL, "--steps", "20", "--from", "1e-3"]
    if words[1] == "sweep" and "--resume" not in words:
        # A grid with seeds has twelve members; other examples train a sweep.
        return [*SMALL, *(["--trials", "1"] if "--search" in words else []),
                *(["--dry-run"] if "--seeds" in words else [])]  # fmt: skip
    if words[1] == "bench":
        few = {"--steps": "1,2", "--batch": "2"}
        given = [word for option in few if option in words for word in (option, few[option])]
        return ["--quick", "--rounds", "1", "--threads", "1", *given]
    return []


def test_every_command_has_an_example_of_its_own():
    assert len(PAGES) > 10
    for page in PAGES:
        assert page.examples, f"the help of `{page.path}` has no examples"
        assert any(re.search(rf"(^|\| |&& ){page.path}\b", line) for line in page.examples)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The folder of the examples: runs, a sweep, data, a picture, recordings, recipes, exports."""
    folder = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rate = ["--set", "coding.name=rate"]
        assert run(["train", *TINY, *rate, "--out", "runs/rate"]) == 0
        noisy = ["--set", "neuron.noise=logistic"]
        assert run(["train", *TINY, *noisy, "--out", "runs/noisy"]) == 0
        assert run(["train", *EXACT, "--out", "runs/multi-spike"]) == 0
        assert run(["train", "detect-digits", *DETECT, "--out", "runs/detect-digits"]) == 0
        assert run(["train", *TINY, "--out", RUN]) == 0
        for form in ("onnx", "nir"):
            assert run(["export", RUN, "--format", form, "-o", "made"]) == 0
        patch.setattr(pool, "run_members", in_this_process)
        grid = ["--grid", "coding.name=direct", "--seeds", "1"]
        assert run(["sweep", *grid, *SMALL, "--out", SWEEP]) == 0
        patch.setattr(Bptt, "backward", interrupting(Bptt.backward))
        assert run(["train", *TINY, "--out", "runs/digits-20260101-130000"]) == 130
    for name in ("deploy", "export/onnx"):
        (folder / name).mkdir(parents=True)
        shutil.copy(folder / "made/model.onnx", folder / name)
    for name in ("model.nir", "model.onnx"):
        shutil.copy(folder / "made" / name, folder)
    shutil.rmtree(folder / "made")
    Image.fromarray(random.integers(0, 256, (12, 10), dtype=np.uint8)).save(folder / "cat.png")
    events = [(100 * i, i % 30, i % 20, i % 2) for i in range(200)]
    (folder / "recording.raw").write_bytes(encoders.evt3(events))
    parts = {"offsets": np.arange(0, 201, 20), "labels": np.arange(10) % 2}
    (folder / "gestures.npz").write_bytes(encoders.npz(events, **parts))
    class_folders(folder / "pictures")
    rows = [f"pictures/{name}/{i}.png,{name}" for name in ("ant", "bee") for i in range(12)]
    (folder / "labels.csv").write_text("\n".join(["path,breed", *rows]))
    images = random.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.save(folder / "digits.npy", images)
    np.savez(folder / "data.npz", images=images, labels=np.arange(30) % 2)
    (folder / "my.toml").write_text('name = "mine"\n[data]\nname = "digits"\n')
    (folder / "nets.py").write_text(textwrap.dedent(NETS))
    write_files_of_torch(folder)
    for name in ("MNIST", "FashionMNIST"):
        (folder / "data" / name / "raw").mkdir(parents=True)
        for part, count in (("train", 300), ("t10k", 100)):
            images = random.integers(0, 256, (count, 28, 28))
            for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
                path = folder / "data" / name / "raw" / f"{part}-{kind}-ubyte"
                path.write_bytes(idx_bytes(array))
    return folder


def in_this_process(members, folder, split, watcher, **_):
    """Train members as the processes of a sweep do, without the seconds that a process needs."""
    for member in members:
        with Progress(lambda: None) as progress:
            at = folder.run(member.name)
            assert train_member(member.recipe, at, split, progress, stop=lambda: False)
        watcher.member_done(member, None)
    return {}


def write_files_of_torch(folder: Path) -> None:
    """Write the weights of the network of nets.py, an ONNX file as torch does, and NIR twice."""
    names: dict[str, Any] = {}
    exec(textwrap.dedent(NETS), names)

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = names["make"]()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            utils.reset(self.net)
            return torch.stack([self.net(x) for _ in range(25)])

    steps = Steps()
    torch.save(steps.net.state_dict(), folder / "trained.pt")
    x = torch.rand(2, 1, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself
        torch.onnx.export(steps, (x,), folder / "theirs.onnx", dynamo=False)
    two = np.full(3, 2, np.float32)
    lif = nir.LIF(tau=two / 1000, r=two, v_leak=0 * two, v_threshold=two / 4)
    nodes = {"lif": lif, "input": nir.Input({"input": np.array([3])})}
    nodes["output"] = nir.Output({"output": np.array([3])})
    ten, random = np.full(10, 1.0, np.float32), np.random.default_rng(0)
    weight = random.normal(size=(10, 64)).astype(np.float32)
    images = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "flat": nir.Flatten({"input": np.array([1, 8, 8])}, start_dim=-3, end_dim=-1),
        "fc": nir.Linear(weight),
        "out": nir.LIF(tau=ten / 100, r=ten, v_leak=0 * ten, v_threshold=ten / 4),
        "output": nir.Output({"output": np.array([10])}),
    }
    for name in ("network.nir", "snntorch.nir", "norse.nir"):
        nir.write(folder / name, nir.NIRGraph(images, list(itertools.pairwise(images))))
    for name in ("ours.nir", "theirs.nir"):
        nir.write(folder / name, nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")]))


def interrupting(original):
    """The loss, with Ctrl-C in the fourth step."""
    step = 0

    def counted(*arguments):
        nonlocal step
        step += 1
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    return counted


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    """A copy of the prepared folder, as the current one."""
    copy = tmp_path / "here"
    shutil.copytree(prepared, copy, copy_function=shutil.copy2)
    programs = tmp_path / "bin"
    programs.mkdir()
    if shutil.which("jq") is None:
        write_jq(programs)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    monkeypatch.chdir(copy)
    monkeypatch.setattr(sys, "path", [*sys.path])  # --from adds the current folder
    return copy


@pytest.fixture
def brief(monkeypatch):
    """Few images and rounds for latency; members of sweeps are trained in this process."""
    timed = partial(single_image.latency, images=2, rounds=1)
    monkeypatch.setattr(single_image, "latency", timed)
    monkeypatch.setattr(sweep_search, "run_members", in_this_process)
    monkeypatch.setattr(pool, "run_members", in_this_process)


@pytest.fixture
def small_bench(monkeypatch):
    """Small cases of the preset, and only the baselines that an example names."""
    make_paper_small(monkeypatch)
    monkeypatch.setattr(base, "find_spec", lambda name: True if name == "numba" else None)


def add_runs(folder: Path, words: list[str]) -> None:
    """Copy the trained run to each folder of a run that an example reads."""
    for before, word in itertools.pairwise(words):
        written = before in ("--out", "-o", "--output") or Path(word).name == "latest"
        if re.fullmatch(r"runs/[^/.]+", word) and not written and not (folder / word).exists():
            shutil.copytree(folder / RUN, folder / word)


@pytest.mark.slow
@pytest.mark.parametrize("line", EXAMPLES)
@pytest.mark.usefixtures("brief")
def test_an_example_runs(line, folder, request, capfd):
    words = shlex.split(line)
    if words[1] == "bench" and "--against" not in words:
        request.getfixturevalue("small_bench")
    add_runs(folder, words)
    if words[0] != "asnn":
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], timeout=300)
        assert done.returncode == 0, capfd.readouterr().err
        return
    for each in line.split(" && "):
        asnn, *follows = re.split(r" (?=[|>] )", each, maxsplit=1)
        capfd.readouterr()
        code = run(shlex.split(asnn)[1:] + shorter(asnn))
        printed = capfd.readouterr()
        assert code == 0, printed.err
        if follows:
            command = ["bash", "-o", "pipefail", "-c", f"cat {follows[0]}"]
            done = subprocess.run(command, input=printed.out, text=True, timeout=60)
            assert done.returncode == 0, capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize(
    "words",
    [
        ".a",
        ".b[].c",
        ".b[-1].c",
        "keys",
        "-e '.a >= 0.5'",
        "-e '.a >= 0.6'",
        "-e '.b[].c < 3'",
        "-r .d",
        ".e",
    ],
)
def test_the_substitute_of_jq_agrees_with_jq(tmp_path, words):
    write_jq(tmp_path)
    given = b'{"a": 0.5, "b": [{"c": 1}, {"c": 3}], "d": "x"}'
    done = [
        subprocess.run(["bash", "-c", f"{jq} {words}"], input=given, capture_output=True)
        for jq in ("jq", tmp_path / "jq")
    ]
    assert done[0].stdout == done[1].stdout and done[0].returncode == done[1].returncode
