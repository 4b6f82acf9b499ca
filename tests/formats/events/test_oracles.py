"""Every event of the published recordings, against evlib and faery.

They are large and conflict with other packages, so they run in a Python of their own, which the
They are large and conflict with other packages, so they run in a Python of their own, which the
may end their process on a file that they cannot read.
"""

import os
import subprocess

import numpy as np
import pytest

from asnn.formats.events import read_recording

PYTHON = os.environ.get("ASNN_EVENT_ORACLES")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="ASNN_EVENT_ORACLES does not name a Python with evlib and faery"
)

READ = {
    "evlib": """
import sys, evlib, numpy
df = evlib.load_events(sys.argv[1]).collect()
t = df["t"].dt.total_microseconds().to_numpy()
x, y, p = (df[key].to_numpy() for key in ("x", "y", "polarity"))
numpy.savez(sys.argv[2], t=t, x=x, y=y, p=p > 0)
""",
    "faery": """
import sys, faery, numpy
e = faery.events_stream_from_file(sys.argv[1]).to_array()
numpy.savez(sys.argv[2], t=e["t"], x=e["x"], y=e["y"], p=e["on"])
""",
}
# What each reads correctly, and what it changes.
CASES = [
    ("evlib", "evt2_sample.raw"),
    ("evlib", "evt3_sample.raw"),
    ("evlib", "tonic_sample.aedat4"),
    ("faery", "evt2_sample.raw"),
    ("faery", "evt3_sample.raw"),  # its times are kept monotonic where the camera steps back
    ("faery", "faery_dvs.es"),  # it flips y
    ("faery", "tonic_sample.aedat4"),
]


def theirs(oracle, path, out):
    assert PYTHON
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    subprocess.run(
        [PYTHON, "-c", READ[oracle], str(path), str(out)],
        check=True, timeout=120, env=environment, capture_output=True,
    )  # fmt: skip
    return dict(np.load(out))


@pytest.mark.slow
@pytest.mark.parametrize(("oracle", "name"), CASES)
def test_every_event_is_that_of_another_decoder(oracle, name, sample, tmp_path):
    path = sample(f"events/{name}")
    found, expected = read_recording(path), theirs(oracle, path, tmp_path / "events.npz")
    if name == "faery_dvs.es":
        expected["y"] = 239 - expected["y"].astype(int)
    for key in "xyp":
        np.testing.assert_array_equal(getattr(found, key), expected[key], err_msg=key)
    late = expected["t"].astype(np.int64) - found.t
    if (oracle, name) == ("faery", "evt3_sample.raw"):
        assert 0 < (late != 0).mean() < 0.01 and 0 <= late.min() <= late.max() <= 11
    else:
        assert not late.any()


@pytest.mark.slow
def test_negative_control_a_shifted_time_is_found(sample, tmp_path):
    path = sample("events/evt2_sample.raw")
    expected = theirs("evlib", path, tmp_path / "events.npz")
    found = read_recording(path)
    assert ((expected["t"] - found.t) == 0).all() and ((expected["t"] - found.t[::-1]) != 0).any()
