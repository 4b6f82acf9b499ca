"""Memory of encoding: told before the work, and large samples in blocks that change nothing."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from asnn.coding import create_coding, stored
from asnn.coding.base import Coding
from asnn.coding.draws import drawing, sample_keys
from asnn.coding.images.direct import Direct
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.measure.encoding import memory, steps
from asnn.measure.encoding.images import encode_images
from asnn.measure.encoding.memory import batch_size, check_memory, needed_memory
from tests.support.samples import IMAGE_CODES

GIB = 2**30
EVENTS = SampleSpec("events", (2, 5, 7), duration=1_000)
IMAGES = torch.rand(1, 3, 7, 5, generator=torch.Generator().manual_seed(3))
OPTIONS = [
    (name, options)
    for name in IMAGE_CODES
    for options in ({}, {"thresholds": "quantile"}, {"variant": "published"}, {"seed": 3})
    if set(options) <= {*create_coding(name, steps=4).__init__.__annotations__}
]


def encoded(coding: Coding, x: torch.Tensor) -> torch.Tensor:
    with drawing(sample_keys(torch.arange(len(x)), 0)):
        return coding.encode(x)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_only_pointwise_codes_may_be_split(name, options):
    """The negative control: the codes that are not pointwise give another code when split."""
    coding = create_coding(name, steps=4, **options)
    whole = encoded(coding, IMAGES).flatten(2)
    parts = [encoded(coding, part) for part in IMAGES.flatten(1).split(11, 1)]
    assert torch.equal(whole, torch.cat(parts, 2)) is coding.pointwise
    assert coding.pointwise is not (name == "rate" or options.get("thresholds") == "quantile")


def test_a_subclass_with_its_own_code_says_anew_whether_it_is_pointwise():
    class Blurred(Direct):
        def encode(self, x):
            return super().encode(x.mean(-1, keepdim=True).expand_as(x))

    class Named(Direct):
        name = "named"

    class Normalized:
        def encode(self, x):
            return super().encode(x / x.max())

    class Mixed(Normalized, Direct): ...

    assert Direct.pointwise and Named.pointwise
    assert not Blurred.pointwise and not Mixed.pointwise


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_blocks_change_no_value(name, options, monkeypatch):
    coding = create_coding(name, steps=4, **options)
    decode = not (name == "embedding" and options.get("variant") == "published")
    whole = encode_images(coding, [(IMAGES, None)], 1, decode=decode)
    monkeypatch.setattr(steps, "BLOCK", 44)
    assert len(list(steps.blocks_of(coding, IMAGES))) == (10 if coding.pointwise else 1)
    blocks = encode_images(coding, [(IMAGES, None)], 1, decode=decode)
    assert torch.equal(whole.code, blocks.code) and torch.equal(whole.code, encoded(coding, IMAGES))
    before, after = whole.figures(), blocks.figures()
    assert before.pop("shape") == after.pop("shape") == [4, *IMAGES.shape]
    assert before == pytest.approx(after)


def test_values_other_than_whole_numbers_are_kept():
    class Graded(Coding):
        def encode(self, x):
            return x.expand(self.steps, *x.shape) * 300

    made = encode_images(Graded(steps=2), [(IMAGES, None)], 1)
    assert torch.equal(made.code, IMAGES.expand(2, *IMAGES.shape) * 300)


def test_the_limit_counts_samples_steps_and_bytes():
    spec = SampleSpec("image", (3, 9000, 9000))
    n = 3 * 9000 * 9000
    hybrid = create_coding("hybrid", steps=4)
    block = 2**24 // 4 * (16 * 4 + 48)
    assert needed_memory(hybrid, spec, 1) == n * (4 + 3) + block + 8 * n
    check_memory(hybrid, spec, 1)
    # The direct code keeps one step, however many it has.
    direct = [needed_memory(create_coding("direct", steps=steps), spec, 1) for steps in (4, 5)]
    assert abs(direct[1] - direct[0]) < n
    with pytest.raises(ConfigError, match="takes too much memory") as caught:
        check_memory(hybrid, spec, 3)
    assert caught.value.what == "a code of shape [4, 3, 3, 9000, 9000] takes too much memory"
    assert "at most 4 GiB" in caught.value.why and "--limit" in caught.value.remedy
    with pytest.raises(ConfigError, match="takes too much memory") as caught:
        check_memory(create_coding("rate", steps=4), spec, 1)  # it is computed at once
    assert "--limit" not in caught.value.remedy
    with pytest.raises(ConfigError) as caught:
        check_memory(hybrid, spec, 1, drawn=1)
    assert "draw no picture" in caught.value.remedy


def test_events_are_told_to_join_pixels():
    coding = create_coding("frames", steps=4)
    coding.bind(EVENTS)
    check_memory(coding, EVENTS, 1000)
    assert needed_memory(create_coding("time-surface", steps=4), EVENTS, 1) > (4 + 32) * 4 * 70
    with pytest.raises(ConfigError, match="too much memory") as caught:
        check_memory(coding, EVENTS, 2**25)
    assert "downsample" in caught.value.remedy


def test_batches_are_smaller_for_more_steps():
    spec = SampleSpec("image", (1, 28, 28))
    assert batch_size(create_coding("rate", steps=4), spec) == memory.MAX_BATCH
    assert batch_size(create_coding("rate", steps=10_000), spec) == 2
    assert batch_size(create_coding("rate", steps=10_000), SampleSpec("image", (3, 999, 999))) == 1


# ru_maxrss would be that of the process that starts this one.
HIGH_WATER = """
def high_water():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
"""
MEASURE = (
    HIGH_WATER
    + """
import sys
import numpy as np, torch
from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.measure.encoding.images import encode_images
from asnn.measure.encoding.memory import needed_memory

name, thresholds = sys.argv[1:]
coding = create_coding(name, steps=6, **({"thresholds": thresholds} if thresholds else {}))
def peak(side):
    x = torch.from_numpy(np.linspace(0, 1, side * side, dtype=np.float32).reshape(1, 1, side, side))
    encode_images(coding, [(x, None)], 1, decode=True)
    return high_water()
before = peak(8)
print((peak(3000) - before) / needed_memory(coding, SampleSpec("image", (1, 3000, 3000)), 1))
"""
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
@pytest.mark.parametrize(
    ("name", "thresholds"),
    [
        ("hybrid", "linear"),
        ("hybrid", "quantile"),
        ("embedding", "quantile"),
        ("latency", ""),
        ("rate", ""),
        ("direct", ""),
    ],
)
def test_the_memory_is_what_was_told(name, thresholds):
    command = [sys.executable, "-c", MEASURE, name, thresholds]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 0.1 < float(found) < 1, found


EVENTS_MEASURE = (
    HIGH_WATER
    + """
import sys
import numpy as np, torch
from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.measure.encoding.memory import needed_memory
from asnn.measure.encoding.samples import encode_samples

def peak(side, steps):
    spec = SampleSpec("events", (2, side, side), duration=1000)
    coding = create_coding(sys.argv[1], steps=steps)
    coding.bind(spec)
    random = np.random.default_rng(0)
    t, x, y, p = (torch.from_numpy(np.sort(random.integers(0, n, 5000)))
                  for n in (1000, side, side, 2))
    batch = EventBatch(t, x, y, p, torch.zeros_like(t), 1, spec.shape, 1000)
    encode_samples(coding, [(batch, None)], 1)
    return high_water(), needed_memory(coding, spec, 1)
before, _ = peak(8, 2)
used, told = peak(400, 50)
print((used - before) / told)
"""
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")
@pytest.mark.parametrize("name", ["frames", "voxel", "time-surface"])
def test_the_memory_of_events_is_what_was_told(name):
    command = [sys.executable, "-c", EVENTS_MEASURE, name]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 0.3 < float(found) < 1, found


def test_dense_files_are_written_in_blocks(monkeypatch, tmp_path):
    monkeypatch.setattr(stored, "BLOCK", 16)
    for name in ("hybrid", "direct", "temporal"):
        made = encode_images(create_coding(name, steps=4), [(IMAGES, None)], 1)
        with open(tmp_path / "a.npy", "wb") as file:
            made.steps.write_npy(file)
        assert np.array_equal(np.load(tmp_path / "a.npy"), made.code.numpy())
        assert np.load(tmp_path / "a.npy").dtype == made.code.numpy().dtype
        bits = np.unpackbits(made.steps.packed_spikes())[: made.steps.spikes.size]
        assert np.array_equal(bits, made.steps.spikes.ravel())
