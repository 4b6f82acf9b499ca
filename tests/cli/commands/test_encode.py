"""`asnn encode`: input, output and refusals."""

import io
import json
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.coding import create_coding, load_spikes

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "grey.png")
    return "grey.png"


def expected(pixels: np.ndarray, name: str, **options) -> np.ndarray:
    return create_coding(name, **options).encode(torch.from_numpy(pixels).float() / 255).numpy()


@pytest.mark.parametrize(
    "coding", ["direct", "temporal", "hybrid", "embedding", "latency", "delta"]
)
def test_a_picture_becomes_a_spike_file(cli, picture, coding):
    result = cli("encode", picture, "--coding", coding, "--steps", "5")
    assert (result.code, result.out) == (0, "")
    file = load_spikes(Path(f"grey.{coding}.npz"))
    assert np.array_equal(file.code, expected(PIXELS[None, None], coding, steps=5))
    assert file.meta["coding"] == coding and file.meta["steps"] == 5


def test_spikes_are_packed_and_the_analog_step_is_stored_separately(cli, picture):
    cli("encode", picture, "--coding", "hybrid", "--steps", "4", "-o", "a.npz")
    with np.load("a.npz") as archive:
        assert archive["spikes"].dtype == np.uint8
        assert archive["spikes"].size == (3 * 48 + 7) // 8
        assert archive["shape"].tolist() == [4, 1, 1, 6, 8]
        assert np.array_equal(archive["analog"], PIXELS[None, None, None] / np.float32(255))
        meta = json.loads(str(archive["meta"]))
    assert meta["thresholds"] == pytest.approx([2 / 3, 1 / 3, 0])


def test_a_dense_array(cli, picture):
    assert cli("encode", picture, "--coding", "temporal", "-o", "a.npy").code == 0
    dense = np.load("a.npy")
    assert dense.dtype == np.uint8
    assert np.array_equal(dense, expected(PIXELS[None, None], "temporal", steps=4))


def test_colour_and_arrays(cli, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "c.png")
    np.save(tmp_path / "c.npy", rgb.transpose(2, 0, 1))
    np.savez(tmp_path / "c2.npz", x=rgb.transpose(2, 0, 1)[None] / 255, y=np.array([7]))
    for source in ("c.png", "c.npy", "c2.npz"):
        assert cli("encode", source, "--coding", "embedding", "-o", "out.npz").code == 0
        file = load_spikes(Path("out.npz"))
        assert np.array_equal(
            file.code, expected(rgb.transpose(2, 0, 1)[None], "embedding", steps=4)
        )
    assert file.labels is not None and file.labels.tolist() == [7]


@pytest.mark.parametrize("dtype", [">f4", "f2", "f8", np.longdouble])
def test_every_float_type(cli, dtype):
    np.save("x.npy", (PIXELS / 255).astype(dtype))
    assert cli("encode", "x.npy", "--coding", "direct", "-o", "a.npy").code == 0
    assert np.abs(np.load("a.npy")[0, 0, 0] - PIXELS / 255).max() < 1e-3


def test_output_is_written_through_a_link(cli, picture):
    Path("real.npz").touch()
    Path("link.npz").symlink_to("real.npz")
    assert cli("encode", picture, "-o", "link.npz").code == 0
    assert Path("link.npz").is_symlink() and Path("real.npz").stat().st_size > 0


def test_pictures_of_several_sizes_are_resized(cli, tmp_path):
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in (4, 6, 8):
                Image.fromarray(PIXELS[:i, :i]).save(tmp_path / f"set/{part}/{name}/{i}.png")
    arguments = ("encode", "--dataset", "folder", "--path", "set", "-o", "a.npz")
    refused = cli(*arguments)
    assert refused.code == 4 and "--set data.size=" in refused.err
    assert cli(*arguments, "--set", "data.size=[4,4]").code == 0
    assert load_spikes(Path("a.npz")).code.shape == (4, 6, 1, 4, 4)


@pytest.mark.slow
def test_a_data_set_with_labels_plot_and_error(cli):
    result = cli(
        *("encode", "--dataset", "digits", "--limit", "5", "--coding", "temporal"),
        *("--thresholds", "quantile", "--decode", "--plot", "p.png", "--json"),
    )
    assert result.code == 0
    found = json.loads(result.out)
    assert found["shape"] == [4, 5, 1, 8, 8]
    assert found["spikes_per_image"] == 64  # every value fires once
    assert 0 < found["rmse"] < 0.3 and found["psnr_db"] == pytest.approx(
        -20 * np.log10(found["rmse"])
    )
    assert "decoded: RMSE" in result.err
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert load_spikes(Path("digits-test.temporal.npz")).labels.shape == (5,)


def test_an_exact_code(cli, picture):
    result = cli("encode", picture, "--coding", "hybrid", "--decode", "--json")
    assert json.loads(result.out)["psnr_db"] is None
    assert "exact" in result.err


def test_published_counts_go_to_npy_only(cli, picture):
    arguments = ("encode", picture, "--coding", "embedding", "--variant", "published")
    refused = cli(*arguments)
    assert refused.code == 4
    assert "holds values other than 0 and 1" in refused.err and "write .npy instead" in refused.err
    assert not Path("grey.embedding.npz").exists()
    assert cli(*arguments, "-o", "a.npy").code == 0
    assert np.load("a.npy").max() > 1
    undecodable = cli(*arguments, "-o", "a.npy", "--decode")
    assert undecodable.code == 2 and "cannot be decoded" in undecodable.err


def test_the_rate_code_follows_its_seed(cli, picture):
    for seed, name in (("1", "a"), ("1", "b"), ("2", "c")):
        cli("encode", picture, "--coding", "rate", "--seed", seed, "-o", f"{name}.npy")
    a, b, c = (np.load(f"{name}.npy") for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_options_of_a_code(cli, picture):
    result = cli("encode", picture, "--coding", "latency", "--set", "linear=true", "--json",
                 "-o", "a.npz")  # fmt: skip
    assert json.loads(result.out)["options"]["linear"] is True


@pytest.mark.slow
def test_several_codes_are_compared_and_nothing_else_is_written(cli, picture):
    result = cli("encode", "--compare", "direct,temporal,hybrid", picture, "--steps", "8")
    assert (result.code, result.out) == (0, "")
    assert sorted(os.listdir()) == ["grey.codes.png", "grey.png"]
    assert Path("grey.codes.png").read_bytes().startswith(b"\x89PNG")
    table = [line.split() for line in result.err.splitlines()]
    assert ["direct", "0.000", "–", "0.0000", "–", "yes"] in table
    assert all(len(line) <= 80 for line in result.err.splitlines())
    assert "grey.png in 8 steps" in result.err and "wrote grey.codes.png" in result.err


@pytest.mark.slow
def test_a_comparison_has_the_results_of_each_code_alone(cli, picture):
    names = ["temporal", "hybrid", "rate", "delta"]
    arguments = ("--steps", "5", "--seed", "3", "--json")
    found = json.loads(cli("encode", picture, "--compare", ",".join(names), *arguments).out)
    assert found["plot"] == "grey.codes.png" and found["shape"] == [1, 6, 8]
    assert list(found["codes"]) == names
    for name in names:
        alone = cli("encode", picture, "--coding", name, "-o", "a.npz", "--decode", *arguments)
        expected = json.loads(alone.out)
        for key in ("options", "analog_steps", "spikes_per_pixel", "rmse", "psnr_db"):
            assert found["codes"][name][key] == pytest.approx(expected[key])


@pytest.mark.slow
def test_each_code_gets_the_options_that_it_knows(cli, picture):
    result = cli(
        *("encode", picture, "--compare", "direct,temporal,latency", "--thresholds", "quantile"),
        *("--set", "tau=2.5", "--json", "--plot", "p.svg"),
    )
    codes = json.loads(result.out)["codes"]
    assert codes["temporal"]["options"]["thresholds"] == "quantile"
    assert codes["latency"]["options"]["tau"] == 2.5
    assert codes["direct"]["options"] == {}
    assert Path("p.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_the_first_image_of_stdin_and_of_a_data_set_is_compared(cli, monkeypatch):
    content = io.BytesIO(npy(np.stack([PIXELS[None], PIXELS[None] // 2])))
    stdin = io.TextIOWrapper(content)
    monkeypatch.setattr("sys.stdin", stdin)
    assert cli("encode", "-", "--compare", "delta").code == 0
    found = cli("encode", "--dataset", "digits", "--compare", "delta", "--split", "train", "--json")
    assert json.loads(found.out)["shape"] == [1, 8, 8]
    assert sorted(os.listdir()) == ["digits-train.codes.png", "stdin.codes.png"]


@pytest.mark.slow
def test_a_comparison_names_the_first_of_several_images(cli, picture):
    np.save("many.npy", np.stack([PIXELS[None], PIXELS[None] // 2]))
    np.save("one.npy", PIXELS)
    compare = ("--compare", "delta")
    assert "the first image of many.npy in 4 steps" in cli("encode", "many.npy", *compare).err
    assert "the first" not in cli("encode", "one.npy", *compare).err
    of_data = cli("encode", "--dataset", "digits", *compare).err
    assert "the first image of digits/test in 4 steps" in of_data


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["grey.png", "--steps", "0"], "  steps: must be greater"),
        (["grey.png", "--set", "taau=2"], "  taau: unknown key"),
        (["grey.png", "--coding", "hybird"], "  name: unknown coding"),
        (["grey.png", "--compare", "rate", "--steps", "0"], "  steps: must be greater"),
        (["grey.png", "--set", "foo"], "--set 'foo' is not of the form KEY=VALUE"),
        (["grey.png", "--set", "=3"], "--set '=3' is not of the form KEY=VALUE"),
        (["--dataset", "digits", "--set", "data.size"], "--set 'data.size' is not of the form KEY"),
    ],
)
def test_refusals_do_not_mention_recipes(cli, picture, arguments, says):
    result = cli("encode", *arguments)
    assert result.code == 2 and says in result.err
    for word in ("recipe", "section", "train.", "coding."):
        assert word not in result.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "give either a file, a folder, a run, - for stdin, or --dataset"),
        (["grey.png", "--dataset", "digits"], 2, "give either a file"),
        (["nope.png"], 4, "cannot read nope.png"),
        (["grey.png", "--coding", "hybird"], 2, "did you mean 'hybrid'?"),
        (["grey.png", "--steps", "0"], 2, "must be greater than or equal to 1"),
        (
            ["grey.png", "--coding", "temporal", "--steps", "0"],
            2,
            "must be greater than or equal to 1",
        ),
        (["grey.png", "--thresholds", "quantil"], 2, "must be 'linear' or 'quantile'"),
        (["grey.png", "--coding", "rate", "--thresholds", "linear"], 2, "thresholds: unknown key"),
        (["grey.png", "-o", "a.txt"], 2, "does not end in .npz"),
        (["grey.png", "-o", "-", "--json"], 2, "both want stdout"),
        (["grey.png", "-o", "no/such/a.npz"], 1, "could not write no/such/a.npz"),
        (["grey.png", "-o", "a.npz", "--plot", "no/such/p.png"], 1, "could not write no/such"),
        (["--dataset", "digist"], 2, "did you mean 'digits'?"),
        (["--dataset", "digits", "--split", "tset"], 2, "did you mean 'test'?"),
        (["--dataset", "digits", "--limit", "0"], 2, "--limit"),
        (["grey.png", "--split", "test"], 2, "go with --dataset, a folder or a run only"),
        (["grey.png", "--set", "data.size=[4,4]"], 2, "go with --dataset, a folder or a run only"),
        (["grey.png", "--format", "mat"], 2, "--format must be npz or npy, not 'mat'"),
        (["grey.png", "--steps", "99999999999"], 2, "must be less than or equal to 10000"),
        (["grey.png", "--seed", "99999999999999999999"], 2, "--seed"),
        (["grey.png", "--plot", "/dev/null"], 1, "it is not a regular file"),
        (["--dataset", "npz"], 2, "data set npz needs path"),
        (["grey.png", "--plot", "p.jpg"], 2, "must end in .png, .svg or .pdf"),
        (["grey.png", "--plot", "-"], 2, "cannot be written to -"),
        (["grey.png", "--compare", "rate", "--plot", "-"], 2, "cannot be written to -"),
        (["grey.png", "--set", "steps=5"], 2, "use --steps"),
        (["--compare", "direct"], 2, "give either a file"),
        (["grey.png", "--compare", "direct,hybird"], 2, "did you mean 'hybrid'?"),
        (["grey.png", "--compare", "direct,rate,direct"], 2, "names direct twice"),
        (["grey.png", "--compare", ","], 2, "names no code"),
        (["grey.png", "--compare", "direct,hybrid", "--steps", "1"], 2, "'hybrid' needs 2 steps"),
        (["grey.png", "--compare", "rate,latency", "--set", "taau=2"], 2, "did you mean 'tau'?"),
        (
            ["grey.png", "--compare", "direct,rate", "--thresholds", "linear"],
            2,
            "option of direct, rate",
        ),
        (["grey.png", "--compare", "rate", "--coding", "rate"], 2, "--coding does not go with"),
        (["grey.png", "--compare", "rate", "-o", "a.npz"], 2, "--output does not go with"),
        (["grey.png", "--compare", "rate", "--decode"], 2, "--decode does not go with"),
        (["grey.png", "--compare", "rate", "--limit", "2"], 2, "--limit does not go with"),
        (["grey.png", "--compare", "rate", "--plot", "p.gif"], 2, "must end in .png"),
        (
            ["grey.png", "--compare", "rate", "--plot", "no/such/p.png"],
            1,
            "could not write no/such",
        ),
    ],
)
def test_refusals(cli, picture, arguments, code, says):
    result = cli("encode", *arguments)
    assert result.code == code
    assert says in result.err
    assert result.out == "" and "Traceback" not in result.err


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def truncated_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(
        buffer, "PNG"
    )
    return buffer.getvalue()[:1000]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"this is no image", "could not decode"),
        (truncated_png(), "could not decode"),
        (npy(np.full((4, 4), np.nan)), "holds NaN or infinite values"),
        (npy(np.full((4, 4), 1.5)), "they go from 1.5 to 1.5"),
        (npy(np.zeros((4, 4), int)), "is of type int64"),
        (npy(np.zeros((5, 4, 4), np.uint8)), "has the shape [5, 4, 4]"),
        (npy(np.zeros((0, 1, 4, 4), np.uint8)), "holds no pixels"),
        (npy(np.zeros((4, 4), np.uint8))[:-3], "cannot be read"),
        (npy(np.array([{}], dtype=object)), "cannot be read"),
        (npz(a=np.zeros((4, 4)), b=np.zeros((4, 4))), "has no array x"),
        (npz(x=np.zeros((2, 1, 4, 4)), y=np.zeros(3, int)), "there are 2 images"),
        (npz(x=np.zeros((2, 1, 4, 4)))[:-30], "cannot be read"),
        (zipped("a.txt", b"hello"), "found: no arrays"),
        (npz(spikes=np.zeros(3), meta=np.array("{}")), "is a spike file"),
    ],
)
def test_invalid_input(cli, tmp_path, content, says):
    (tmp_path / "input").write_bytes(content)
    result = cli("encode", "input", "-o", "a.npz")
    assert result.code == 4
    assert says in result.err and "input" in result.err
    assert not Path("a.npz").exists()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_if_something_writes_to_it(cli, picture, monkeypatch):
    monkeypatch.setattr("asnn.cli.terminal.piped.PATIENCE", 0.2)
    os.mkfifo("pipe.png")
    refused = cli("encode", "pipe.png", "-o", "a.npz")
    assert refused.code == 4 and "pipe.png is a pipe to which nothing is written" in refused.err
    content = Path(picture).read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe.png").write_bytes(content))
    monkeypatch.setattr("asnn.cli.terminal.piped.PATIENCE", 20)
    writer.start()
    assert cli("encode", "pipe.png", "-o", "a.npz").code == 0
    writer.join()
    assert cli("encode", picture, "-o", "b.npz").code == 0
    assert np.array_equal(load_spikes(Path("a.npz")).code, load_spikes(Path("b.npz")).code)


def test_an_input_without_end_is_refused(cli, monkeypatch):
    monkeypatch.setattr("asnn.cli.terminal.piped.MAX_PIPED", 2**20)
    refused = cli("encode", "/dev/zero", "-o", "a.npz")
    assert refused.code == 4 and "/dev/zero has more than" in refused.err
    assert not Path("a.npz").exists()
