"""Running statistics that are right from the first batch, against a loop over batches."""

import pytest
import torch
from torch import nn

from asnn.kernels.statistics import norms_of
from asnn.models import create_model
from asnn.models.layers.batch_norm import BatchNorm1d, BatchNorm2d
from asnn.models.layers.norm import create_norm
from asnn.models.layers.spiking import use_kernels
from asnn.models.layers.synced import SyncedNorm

C = 3
BATCHES = torch.randn(25, 8, C, generator=torch.Generator().manual_seed(0)).double() * 2 + 3


def expected_statistics(batches, momentum=0.1, corrected=True):
    """Mean and variance by the definition, in float64, as a weighted sum over the batches."""
    mean, variance = torch.zeros(C).double(), torch.ones(C).double()
    for n, batch in enumerate(batches, start=1):
        w = max(momentum, 1 / n) if corrected else momentum
        mean = (1 - w) * mean + w * batch.mean(0)
        variance = (1 - w) * variance + w * batch.var(0, correction=1)
    return mean, variance


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 25])
@pytest.mark.parametrize("momentum", [0.1, 0.01, None])
def test_the_weight_of_the_nth_batch_is_the_larger_of_momentum_and_1_over_n(count, momentum):
    norm = BatchNorm1d(C, momentum=momentum).double()
    theirs = nn.BatchNorm1d(C).double()
    for batch in BATCHES[:count]:
        torch.testing.assert_close(norm(batch), theirs(batch), rtol=0, atol=1e-14)
    mean, variance = expected_statistics(BATCHES[:count], momentum or 0.0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=1e-13)
    torch.testing.assert_close(norm.running_var, variance, rtol=0, atol=1e-13)
    assert norm.num_batches_tracked == count
    # Until 1 / momentum they are those of all batches together, if these are equally large.
    if momentum != 0.1 or count <= 10:
        torch.testing.assert_close(mean, BATCHES[:count].flatten(0, 1).mean(0))


def test_torch_begins_with_other_statistics():
    """The negative control: after one batch, torch's are nine tenths 0 and 1."""
    theirs = nn.BatchNorm1d(C).double()
    theirs(BATCHES[0])
    mean, variance = expected_statistics(BATCHES[:1], corrected=False)
    torch.testing.assert_close(theirs.running_mean, mean)
    torch.testing.assert_close(theirs.running_var, variance)
    assert (theirs.running_mean - BATCHES[0].mean(0)).abs().min() > 1


def test_evaluation_changes_nothing_and_is_torchs():
    norm, theirs = BatchNorm2d(C), nn.BatchNorm2d(C)
    x = torch.randn(4, C, 2, 2)
    norm(x)
    theirs.load_state_dict(norm.state_dict())  # the keys are torch's
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    assert torch.equal(norm.eval()(x), theirs.eval()(x))
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    with pytest.raises(ValueError, match="expected 4D input"):
        norm.train()(x[0])


def test_an_empty_batch_and_no_momentum_change_no_statistics():
    for momentum, x in ((0.1, BATCHES[0, :0]), (0.0, BATCHES[0])):
        norm, theirs = BatchNorm1d(C, momentum=momentum).double(), nn.BatchNorm1d(C).double()
        norm(x)
        for key in ("running_mean", "running_var"):
            assert torch.equal(norm.state_dict()[key], theirs.state_dict()[key])


def test_statistics_go_on_from_saved_ones():
    whole, first, second = (BatchNorm1d(C).double() for _ in range(3))
    for batch in BATCHES:
        whole(batch)
    for batch in BATCHES[:4]:
        first(batch)
    second.load_state_dict(first.state_dict())
    for batch in BATCHES[4:]:
        second(batch)
    for key, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[key], value)


@pytest.mark.parametrize("form", ["folded", "per-step", "shared"])
@pytest.mark.filterwarnings("ignore:norm 'shared'")
def test_kernels_without_a_backend_update_as_the_reference(form):
    """What the fused kernels and torch's tracing use, against the modules themselves."""
    reference, fused = (create_norm(form, C, steps=2, image=False) for _ in range(2))
    for x in BATCHES.float().split(2):
        if len(x) < 2:
            break
        reference(x)
        norms_of(x, fused.segments(2), None)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[key], value)


@pytest.mark.parametrize("norm", ["folded", "per-step", "shared"])
@pytest.mark.filterwarnings("ignore:norm 'shared'")
def test_networks_have_them_with_fused_kernels_and_without(norm):
    def trained(kernels):
        torch.manual_seed(0)
        model = create_model(
            "lenet", in_shape=(1, 12, 12), classes=4, coding="hybrid", steps=3, norm=norm,
            widths=[16, 16], hidden=16,
        )  # fmt: skip
        use_kernels(model, kernels)
        for seed in range(3):
            model(torch.rand(16, 1, 12, 12, generator=torch.Generator().manual_seed(seed)))
        return model

    reference, fused = (trained(kernels).state_dict() for kernels in ("reference", "auto"))
    running = [key for key in reference if "running" in key]
    assert running
    for key in running:
        torch.testing.assert_close(fused[key], reference[key], rtol=1e-4, atol=1e-5)
        begun = torch.zeros_like if key.endswith("mean") else torch.ones_like
        assert (reference[key] - begun(reference[key])).abs().max() > 1e-3


def test_synced_norms_follow_the_norm_that_they_replace():
    assert SyncedNorm(BatchNorm1d(C)).bias_corrected
    assert not SyncedNorm(nn.BatchNorm1d(C)).bias_corrected
