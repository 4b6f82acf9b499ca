"""The code of series."""

import numpy as np
import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError

X = torch.rand(3, 7, 4, generator=torch.Generator().manual_seed(0))


def spec(steps=7, **options):
    return SampleSpec("series", (4,), steps=steps, **options)


def bound(steps, fit="exact", **options):
    code = create_coding("given", steps=steps, fit=fit)
    code.bind(spec(**options))
    return code


def test_steps_as_they_are():
    code = bound(7)
    found = code.encode(X)
    assert all(torch.equal(found[t, b], X[b, t]) for t in range(7) for b in range(3))
    assert torch.equal(code.decode(found), X)


def test_the_first_steps():
    assert torch.equal(bound(3, "crop").encode(X), X.transpose(0, 1)[:3])


@pytest.mark.parametrize(("fit", "steps"), [("last", [4, 5, 6]), ("spread", [1, 3, 5])])
def test_other_steps_and_their_targets(fit, steps):
    code = bound(3, fit, binary=True)
    assert torch.equal(code.encode(X), X.transpose(0, 1)[steps])
    targets = torch.arange(21).view(3, 7)
    assert torch.equal(code.step_targets(targets), targets[:, steps])
    assert code.windows(7) == [slice(t, t + 1) for t in steps] and code.analog_steps == 0
    assert code.whole() == {"steps": 7, "fit": "exact"}
    with pytest.raises(ConfigError, match="cannot be decoded"):
        code.decode(code.encode(X))


def test_a_code_that_joins_steps_has_all_of_them_and_one_of_images_no_part():
    assert bound(3, "mean").whole() == {}
    assert create_coding("direct", steps=3).whole() is None


@pytest.mark.parametrize(("fit", "join"), [("mean", np.mean), ("sum", np.sum)])
def test_joined_steps(fit, join):
    # Seven steps in three windows: two, two and the rest.
    x = X.numpy()
    expected = np.stack([join(x[:, a:b], 1) for a, b in ((0, 2), (2, 4), (4, 7))])
    np.testing.assert_allclose(bound(3, fit).encode(X), expected, rtol=1e-6)


def test_another_number_of_steps_is_refused_with_what_to_set():
    with pytest.raises(ConfigError, match="the series have 7 steps, the code 4") as refused:
        bound(4)
    assert "coding.steps=7" in refused.value.remedy
    with pytest.raises(ConfigError, match="fewer than the 9"):
        bound(9, "crop")


def test_only_series_of_spikes_are_spikes():
    assert bound(7).analog_steps == 7
    assert bound(7, binary=True).analog_steps == 0
    assert bound(3, "crop", binary=True).analog_steps == 0
    assert bound(3, "sum", binary=True).analog_steps == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "video", "shape": (1, 2, 2)},
        {"kind": "image", "shape": (4,)},
        {"kind": "image", "shape": (1, 4, 4), "steps": 3},
        {"kind": "series", "shape": (4,)},
        {"kind": "series", "shape": (4,), "steps": 0},
        {"kind": "events", "shape": (3, 4, 4), "duration": 5},
        {"kind": "events", "shape": (2, 4, 4)},
        {"kind": "events", "shape": (2, 4, 4.5), "duration": 5},
    ],
)
def test_specs_that_describe_no_samples(wrong):
    with pytest.raises(ValueError):
        SampleSpec(**wrong)


def test_a_spec_as_plain_values():
    for each in (
        spec(),
        spec(binary=True),
        SampleSpec("image", (3, 4, 4)),
        SampleSpec("events", (2, 4, 4), duration=7),
    ):
        assert SampleSpec.from_document(each.document()) == each
    assert spec().axes == ("feature",)
    assert SampleSpec("events", (2, 4, 4), duration=7).axes == ("polarity", "row", "column")
