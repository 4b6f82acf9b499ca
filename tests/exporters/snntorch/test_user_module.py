"""`asnn export --from MODULE:FUNCTION`: the example of the page, samples of files, refusals."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from asnn.cli.commands.export.options import parse_shape

NAMES = ("nets", "own", "broken")
PAGE = Path(__file__).parents[3] / "docs" / "export-snntorch.md"

FUNCTIONS = """

def number():
    return 3


def fails():
    raise KeyError('weights')


def flat():
    print('loading')
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 3), snn.Leaky(0.9, init_hidden=True))


def careless():
    torch.manual_seed(0)
    options = {'init_hidden': True, 'threshold': 0.7}
    second = nn.Linear(9, 9)
    nn.init.normal_(second.weight)
    return nn.Sequential(
        nn.Linear(8, 9), snn.Leaky(0.9, **options),
        second, snn.Leaky(0.9, reset_delay=False, **options),
    )
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run `asnn export ARGUMENTS` in a folder with the networks of the page."""
    from asnn.cli.app import run as asnn

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    nets, own = blocks("python")
    (tmp_path / "nets.py").write_text(nets + FUNCTIONS)
    (tmp_path / "own.py").write_text(own)
    (tmp_path / "broken.py").write_text("import not_there\n")

    def asnn_export(*arguments):
        capsys.readouterr()
        code = asnn(["export", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield asnn_export
    for name in NAMES:
        sys.modules.pop(name, None)


def blocks(language):
    """The code blocks of the page in a language: of snnTorch's network, and of asnn's neurons."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 2
    return found


@pytest.mark.slow
def test_the_examples_of_the_page_run(call, tmp_path):
    for line in "".join(blocks("sh")).splitlines():
        command, what, *arguments = shlex.split(line)
        assert (command, what) == ("asnn", "export")
        code, out, err = call(*arguments)
        assert (code, out) == (0, ""), err
        assert "fires never" not in err or "nets" in line
    assert {path.name for path in (tmp_path / "export/nets.make/onnx").iterdir()} == {
        *("model.onnx", "parity.json")
    }
    assert {path.name for path in (tmp_path / "export/nets.make/nir").iterdir()} == {
        *("model.nir", "model.golden.nir", "parity.json")
    }
    assert {path.name for path in (tmp_path / "export").rglob("*.onnx")} == {
        *("model.onnx", "model-init.onnx", "model-step.onnx")
    }


def test_the_page_begins_with_the_network_of_the_tutorial():
    nets, first = blocks("python")[0], PAGE.read_text().split("```python")[0]
    assert "tutorial 5" in first
    assert [line.split()[2:4] for line in blocks("sh")[0].splitlines()] == [
        ["--from", "nets.py:make"]
    ] * 2
    assert re.findall(r"nn\.Linear|snn\.Leaky", nets) == ["nn.Linear", "snn.Leaky"] * 2


@pytest.mark.slow
def test_samples_of_a_file(call, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((9, 8), np.float32)
    np.savez(tmp_path / "samples.npz", images=x, labels=np.arange(9) % 3)
    np.save(tmp_path / "samples.npy", x)
    flat = ("--from", "nets:flat", "--in-shape", "8", "--steps", "3", "-f", "onnx")
    code, out, err = call(*flat, "--samples-from", "samples.npz", "--json")
    assert code == 0 and '"number": 9' in out and '"from": "9 samples of samples.npz"' in out
    assert out.startswith("{") and "loading" in err
    code, _, err = call(*flat, "--samples-from", "samples.npy", "--samples", "5")
    assert code == 0 and "5 samples of samples.npy" in err
    assert call(*flat[:-2], "--check", "export/nets.flat/onnx/model.onnx")[0] == 0
    for name, array, text in (
        ("bytes.npy", (x * 255).astype(np.uint8), "images of type uint8"),
        ("wide.npy", rng.random((9, 7), np.float32), "images of the shape [9, 7]"),
        ("nan.npy", x * np.float32(np.nan), "not finite"),
    ):
        np.save(tmp_path / name, array)
        code, _, err = call(*flat, "--samples-from", name)
        assert code == 4 and text in err
    code, _, err = call(*flat, "--samples-from", "wide.npy")
    assert "its axes are samples, then steps" in " ".join(err.split())
    np.savez(tmp_path / "other.npz", x=x)
    assert call(*flat, "--samples-from", "other.npz")[0] == 4
    (tmp_path / "text.npz").write_text("no archive")
    code, _, err = call(*flat, "--samples-from", "text.npz")
    assert code == 4 and "is not a readable NumPy file" in err


@pytest.mark.slow
def test_samples_of_all_steps(call, tmp_path):
    steps = np.random.default_rng(0).random((9, 6, 1, 8, 8), np.float32)
    np.save(tmp_path / "steps.npy", steps)
    np.save(tmp_path / "images.npy", steps[:, 0])
    own = ("--from", "own.py:make", "-f", "onnx", "--samples-from")
    code, out, err = call(*own, "steps.npy", "--json")
    assert code == 0 and '"number": 9' in out, err
    code, _, err = call(*own, "images.npy")
    assert code == 4 and "the network takes [N, 6, 1, 8, 8]" in err
    code, _, err = call(*own, "steps.npy", "--input", "image")
    assert code == 2


def test_samples_that_break_the_condition_end_with_code_3(call, tmp_path):
    np.save(tmp_path / "large.npy", 6 * np.random.default_rng(0).random((40, 8), np.float32))
    careless = ("--from", "nets:careless", "--in-shape", "8", "--steps", "5", "-f", "onnx")
    code, _, err = call(*careless, "--samples-from", "large.npy")
    assert code == 3 and "does not fire like the exported neuron" in err
    assert "note: exact while no membrane of 3" in err
    assert not (tmp_path / "export/nets.careless/onnx/model.onnx").exists()


@pytest.mark.parametrize(
    "arguments, text",
    [
        ("--from nets -f onnx", "names no function"),
        ("--from nets:nothing -f onnx", "has no function 'nothing'"),
        ("--from elsewhere:make -f onnx", "could not import 'elsewhere'"),
        ("--from broken:make -f onnx", "No module named 'not_there'"),
        ("--from nets:number -f onnx", "returns int, not a torch module"),
        ("--from nets:fails -f onnx", "KeyError: 'weights' (nets.py, line"),
        ("--from nets:flat -f onnx --steps 2", "shape of the input is missing"),
        ("--from nets:flat -f onnx --in-shape 8", "number of time steps is missing"),
        ("--from nets:flat -f onnx --in-shape 8x8x8x8 --steps 2", "takes CxHxW, CxL or F"),
        ("--from nets:make -f onnx --in-shape 1x9x9", "is not the shape that nets:make returns"),
        ("--from nets:make -f onnx --steps 5", "makes 25 steps by itself"),
        ("--from nowhere/nets.py:make -f onnx", "there is no file nowhere/nets.py"),
        ("--from nets.py -f onnx", "names no function"),
        ("--from nets.py:nothing -f onnx", "has no function 'nothing'"),
        ("runs/x --from nets:make -f onnx", "RUN does not go with --from"),
        ("--from nets:make -f onnx --split train", "--split does not go with --from"),
        ("-f onnx --steps 3", "--steps goes with --from"),
        ("-f onnx --samples-from x.npy", "--samples-from goes with --from"),
        ("--from nets:make -f nir --form lif", "its reset is 'subtract'"),
    ],
)
def test_options_that_are_refused(call, tmp_path, arguments, text):
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "") and text in err and "Traceback" not in err
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_a_file_instead_of_a_module(call, tmp_path):
    """Its exports have a place of their own; its name is that of no module."""
    (tmp_path / "some").mkdir()
    (tmp_path / "nets.py").rename(tmp_path / "some" / "json-nets.py")
    code, _, err = call("--from", "some/json-nets.py:make", "-f", "onnx", "--samples", "4")
    assert code == 0, err
    assert (tmp_path / "export" / "json-nets.make" / "onnx" / "parity.json").is_file()


def test_shapes_of_samples():
    shapes = [parse_shape(text) for text in (None, "784", "2x100", "1X28x28")]
    assert shapes == [None, (784,), (2, 100), (1, 28, 28)]
