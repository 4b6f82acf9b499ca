"""Modules before their export: the prepared copy computes what the module computes."""

from __future__ import annotations

import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from asnn.core.errors import ConfigError
from asnn.exporters.snntorch.prepared import dequantised, prepared


def net() -> nn.Sequential:
    torch.manual_seed(0)
    lif = [snn.Leaky(beta=0.9, threshold=0.2, init_hidden=True) for _ in range(2)]
    return nn.Sequential(nn.Linear(6, 5), lif[0], nn.Linear(5, 3), lif[1]).eval()


def pruned(module: nn.Sequential) -> nn.Module:
    prune.l1_unstructured(module[0], "weight", 0.5)
    prune.random_structured(module[0], "weight", 0.2, dim=0)  # twice: a container of methods
    prune.l1_unstructured(module[2], "bias", 1)
    return module


def normed(module: nn.Sequential) -> nn.Module:
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(module[0])
    torch.nn.utils.spectral_norm(module[2])
    return module


def parametrised(module: nn.Sequential) -> nn.Module:
    parametrizations.weight_norm(module[0])
    parametrizations.spectral_norm(module[2])
    return module.eval()


def wrapped(module: nn.Sequential) -> nn.Module:
    return nn.DataParallel(nn.Sequential(torch.compile(module, backend="eager"), nn.Identity()))


def compiled_in_place(module: nn.Sequential) -> nn.Module:
    module[0].compile(backend="eager")
    return module


def spikes(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for part in module.modules():
        if isinstance(part, snn.Leaky):
            part.reset_mem()
    with torch.no_grad():
        return torch.stack([module(each) for each in x])


@pytest.mark.parametrize(
    "change",
    [
        *(pruned, normed, parametrised, compiled_in_place),
        pytest.param(wrapped, marks=pytest.mark.slow),
    ],
)
def test_the_copy_computes_the_same_in_plain_layers(change) -> None:
    changed = change(net())
    changed.train().eval()
    before = {name: tensor.clone() for name, tensor in changed.state_dict().items()}
    x = 3 * torch.randn(8, 4, 6)
    spikes(changed, x[:1].requires_grad_())  # its membranes are no leaves now
    changed(x[0])
    found = prepared(changed)
    plain = {nn.Sequential, nn.Linear, nn.Identity, snn.Leaky}
    assert {type(part) for part in found.modules()} <= plain
    assert not any(part._forward_pre_hooks for part in found.modules())
    assert not any(part._compiled_call_impl for part in found.modules())
    expected = spikes(changed, x)
    assert torch.equal(spikes(found, x), expected)
    assert 0 < expected.mean() < 1
    after = changed.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_pruned_weights_are_zero_in_the_copy() -> None:
    module = pruned(net())
    mask = module[0].weight_mask.bool()
    found = prepared(module)
    assert 0 < int(mask.sum()) < mask.numel()
    assert bool((found[0].weight[~mask] == 0).all())
    assert torch.equal(found[0].weight[mask], module[0].weight_orig[mask])
    assert prune.is_pruned(module)  # the module itself is as it was


def test_a_module_that_needs_nothing_is_not_copied() -> None:
    module = net()
    assert prepared(module) is module


def test_hooks_of_others_stay() -> None:
    module = pruned(net())
    module[0].register_forward_pre_hook(lambda part, inputs: (2 * inputs[0],))
    assert len(prepared(module)[0]._forward_pre_hooks) == 1


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
def test_weights_of_dynamically_quantised_linears(dtype) -> None:
    module = torch.ao.quantization.quantize_dynamic(net(), {nn.Linear}, dtype)
    found = prepared(module)
    assert type(found[0]) is nn.Linear
    weight = module[0].weight()
    if dtype is torch.qint8:  # scale (q - zero point), by hand
        expected = weight.q_scale() * (weight.int_repr().float() - weight.q_zero_point())
        assert torch.equal(found[0].weight, expected)
        assert dequantised(module) == ["0", "2"]
    else:
        assert torch.equal(found[0].weight, weight.float())
        assert dequantised(module) == []
    assert torch.equal(found[0].bias, module[0].bias())
    x = (torch.rand(8, 4, 6) < 0.5).float()  # spikes, which 8 bits hold
    with torch.no_grad():
        torch.testing.assert_close(found[0](x), module[0](x), atol=1e-6, rtol=0)
    found.state_dict()["0.weight"].is_floating_point()


def test_layers_on_quantised_values_are_refused() -> None:
    module = nn.Sequential(torch.ao.nn.quantized.Linear(6, 5), snn.Leaky(beta=0.9))
    with pytest.raises(ConfigError, match=r"layer '0' \(Linear\) cannot be exported") as found:
        prepared(module)
    assert found.value.why == (
        "it computes on values in 8 bits, and the arithmetic of exports is float32"
    )


def test_tensors_without_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="0.weight is on the device meta") as found:
        prepared(net().to("meta"))
    assert "to_empty" in found.value.remedy
    with pytest.raises(ConfigError, match="0.weight has no shape yet"):
        prepared(nn.Sequential(nn.LazyLinear(3), snn.Leaky(beta=0.9)))


def test_weights_that_change_at_each_call_are_refused() -> None:
    class Noisy(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight + torch.rand_like(weight)

    module = net()
    parametrize.register_parametrization(module[2], "weight", Noisy())
    with pytest.raises(ConfigError, match="layer '2'") as found:
        prepared(module)
    assert found.value.why == "the parametrisation of its weight gives another weight at each call"
