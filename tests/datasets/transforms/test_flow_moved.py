"""Flow stays with the events that move along it."""

import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.datasets.motion import flow_at, warped
from asnn.datasets.transforms.base import sample_generators
from asnn.datasets.transforms.by_kind import make_augment

SPEC = SampleSpec("events", (2, 5, 8), duration=1000)


def batch(size=4, count=60):
    draw = torch.manual_seed(0)
    t = torch.randint(1000, (count,), generator=draw)
    columns = [torch.randint(n, (count,), generator=draw) for n in (8, 5, 2)]
    return EventBatch(t, *columns, torch.arange(count) * size // count, size, SPEC.shape, 1000)


def augmented(x, flow, **options):
    augment = make_augment(SPEC, options, "flow")
    samples = sample_generators(1, torch.arange(len(x)))
    return augment.apply(x, flow, epoch=0, generator=torch.manual_seed(1), samples=samples)


@pytest.mark.parametrize("options", [{"flip": True}, {"shift": 2}, {"flip": True, "shift": 2}])
def test_where_an_event_moves_to_moves_with_the_recording(options):
    x, flow = batch(), torch.randn(4, 2, 5, 8, generator=torch.manual_seed(2))
    found, targets = augmented(x, flow, **options)
    there = torch.stack(warped(found, flow_at(found, targets.first), 1000), 1)
    assert there.isfinite().all()
    # The same change of events that have moved already, found by the ones that stay.
    origin, _ = augmented(x, flow, **options)
    kept = set()
    for e in range(len(found.t)):
        b = int(found.sample[e])
        same = [
            i
            for i in range(len(x.t))
            if int(x.sample[i]) == b and int(x.t[i]) == int(found.t[e]) and i not in kept
        ]
        assert same
        kept.add(same[0])
        i = same[0]
        u = flow[b, :, x.y[i], x.x[i]]
        mirrored = int(found.x[e]) != int(x.x[i]) and options.get("flip")
        new = targets.first[b, :, found.y[e], found.x[e]]
        assert float(new[1]) == float(u[1])
        assert abs(float(new[0])) == abs(float(u[0]))
        if not mirrored and "shift" not in options:
            assert float(new[0]) == float(u[0])
    assert torch.equal(origin.x, found.x)


def test_a_mirrored_recording_has_a_mirrored_flow():
    x, flow = batch(), torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).repeat(4, 1, 1, 1)
    found, targets = augmented(x, flow, flip=True)
    for b in range(4):
        flipped = not torch.equal(found.x[found.sample == b], x.x[x.sample == b])
        assert targets.first[b].flatten().tolist() == [-3.0 if flipped else 3.0, -1.0]
    assert {float(u) for u in targets.first[:, 0, 0, 0]} == {-3.0, 3.0}


def test_pixels_that_nothing_moves_to_have_no_flow():
    _, targets = augmented(batch(), torch.ones(4, 2, 5, 8), shift=2)
    unknown = targets.first.isnan()
    assert unknown.any()
    assert torch.equal(unknown[:, 0], unknown[:, 1])


def test_what_would_leave_the_flow_wrong_is_refused():
    with pytest.raises(ConfigError, match="augment.stretch would leave the flow of the recordings"):
        make_augment(SPEC, {"stretch": 0.5}, "flow")
