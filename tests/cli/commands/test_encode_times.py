"""`asnn encode` in exact times: files of spikes, the picture, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from asnn.coding import create_coding, load_spikes
from tests.cli.commands.test_encode_events import EVENTS, batch
from tests.formats.events import encoders


@pytest.fixture
def images(tmp_path):
    x = np.random.default_rng(0).random((3, 1, 4, 5), np.float32)
    x[x < 0.4] = 0
    np.save(tmp_path / "x.npy", x)
    return torch.from_numpy(x)


@pytest.mark.slow
def test_images_become_a_file_of_times(cli, images):
    result = cli(
        *("encode", "x.npy", "--coding", "times", "--set", "window=2.5"),
        *("--decode", "--plot", "x.png", "--json"),
    )
    assert result.code == 0, result.err
    found = json.loads(result.out)
    file = load_spikes(Path("x.times.npz"))
    expected = create_coding("times", steps=1, window=2.5).encode(images).numpy()
    assert np.array_equal(file.code, expected)
    assert file.meta["axes"] == ["step", "sample", "channel", "row", "column", "spike"]
    assert file.meta["gives_times"] is True and file.meta["format"] == 2
    assert (found["steps"], found["shape"]) == (1, [1, 3, 1, 4, 5, 1])
    assert found["spikes_per_sample"] == np.isfinite(expected).sum() / 3
    assert found["silent"] == pytest.approx(np.isinf(expected).mean())
    assert found["rmse"] == found["greatest_error"] == 0
    assert Path("x.png").stat().st_size > 1000
    assert "exact" in result.err
    inspected = json.loads(cli("inspect", "x.times.npz", "--json").out)
    assert json.loads(inspected["spikes"])["coding"] == "times" and "times" in inspected["arrays"]


def test_a_dense_array_has_inf_for_no_spike(cli, images):
    assert cli("encode", "x.npy", "--coding", "times", "-o", "dense.npy").code == 0
    dense = np.load("dense.npy")
    assert dense.dtype == np.float64
    assert np.array_equal(dense, create_coding("times", steps=1).encode(images).numpy())


def test_a_recording_becomes_a_file_of_times(cli, tmp_path):
    (tmp_path / "box.es").write_bytes(encoders.event_stream(EVENTS, size=(6, 10)))
    result = cli("encode", "box.es", "--coding", "times", "--set", "most=1")
    assert result.code == 0, result.err
    expected = create_coding("times", steps=1, most=1).encode(batch(EVENTS, (2, 6, 10), 791))
    file = load_spikes(Path("box.times.npz"))
    assert np.array_equal(file.code, expected.numpy())
    assert "1 recording to [1, 1, 2, 6, 10, 1], 80 events in" in result.err
    assert "addresses are silent" in result.err
    refused = cli("encode", "box.es", "--coding", "times", "--decode")
    assert refused.code == 2 and "of recordings cannot be decoded" in refused.err


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        (["--coding", "times", "--steps", "3"], "has no time steps, steps is 3", "encode -h"),
        (["--coding", "times", "--set", "windw=1"], "windw: unknown key", "encode -h"),
        (["--coding", "times", "--set", "window=0"], "window must be above 0", "encode -h"),
        (["--compare", "times,latency"], "--compare does not take times", "--coding times --plot"),
    ],
)
def test_what_exact_times_do_not_have_is_refused(cli, images, arguments, what, remedy):
    result = cli("encode", "x.npy", *arguments)
    assert result.code == 2 and what in result.err and remedy in result.err
    assert sorted(path.name for path in Path().iterdir()) == ["x.npy"]
