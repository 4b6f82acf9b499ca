"""Which kernels compute: the fallbacks, the notice, the refusals, and what is imported when."""

import copy
import json
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from asnn.core import ConfigError
from asnn.kernels import dispatch as choice
from asnn.models import create_model, use_kernels
from asnn.models.layers.norm import FoldedNorm, TimeNorm, create_norm
from asnn.models.layers.spiking import SpikingLayer, used_kernels
from asnn.models.neurons.leaky import AdaptiveLeaky


def in_a_process_of_its_own(code):
    """Return what a fresh interpreter printed, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


IMPORTS = """
import json, sys, torch
from asnn.models import create_model, use_kernels
model = create_model("mlp", in_shape=(1, 3, 3), classes=2, steps=2, features=[4])
x, found = torch.rand(4, 1, 3, 3), {}
found["import"] = "numba" in sys.modules
use_kernels(model, "reference")
model(x)
found["reference"] = "numba" in sys.modules
use_kernels(model, "fused")
model(x)
found["fused"] = "numba" in sys.modules
print(json.dumps(found))
"""


@pytest.mark.slow
def test_numba_is_imported_at_its_first_use():
    pytest.importorskip("numba")
    found = in_a_process_of_its_own(IMPORTS)
    assert found == {"import": False, "reference": False, "fused": True}


MISSING = """
import json, sys, warnings
sys.modules["numba"] = None
import torch
from asnn.core import ConfigError
from asnn.models import create_model, use_kernels
from asnn.models.layers import used_kernels
x, found = torch.rand(4, 1, 8, 8), {}
def network(kernels):
    torch.manual_seed(0)
    model = create_model("lenet", in_shape=(1, 8, 8), classes=2, steps=3, widths=[16, 16], hidden=4)
    use_kernels(model, kernels)
    return model
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    reference = network("reference")(x)
    found["silent"] = not caught
    for _ in range(2):
        model = network("auto")
        found["equal"] = torch.equal(model(x), reference)
        model(x).sum().backward()
        model.eval().predict(x)
    found["warnings"] = [str(warning.message) for warning in caught]
    found["used"] = used_kernels(model)
try:
    network("fused")(x)
except ConfigError as error:
    found["refused"] = [error.what, error.why, error.remedy]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_without_numba_the_reference_computes_and_says_so_once():
    found = in_a_process_of_its_own(MISSING)
    assert found["used"] == "reference"
    assert found["equal"] and found["silent"]
    assert found["warnings"] == [
        "numba is not installed (pip install numba): the slower reference kernels are used; "
        "`train.kernels=reference` asks for them without this notice"
    ]
    assert found["refused"] == [
        "the fused kernels cannot compute this layer",
        "numba is not installed (pip install numba)",
        "use kernels 'auto', which takes the reference there",
    ]


def test_the_notice_names_the_package_that_is_missing():
    choice._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="triton is not installed"):
        choice.warn_slow_reference("triton is not installed")
    choice._warn_once.cache_clear()


class TheirNeuron(AdaptiveLeaky):
    """A neuron of another package, which may compute anything."""


class TheirNorm(TimeNorm):
    def forward(self, x):
        return x * 2


class HeirOfFolded(FoldedNorm):
    def forward(self, x):
        return 2 * super().forward(x)


class PlainNorm(nn.Identity):
    pass


class OtherBatchNorm(nn.BatchNorm2d):
    pass


def layer_of(norm="folded", neuron=AdaptiveLeaky, pool=None):
    made = create_norm(norm, 4, steps=3, image=True) if isinstance(norm, str) else norm
    return SpikingLayer(made, neuron(3, 4, gain=2.0), pool)


def watched(part, how="register_forward_hook"):
    layer = layer_of(pool=nn.MaxPool2d(2))
    getattr(getattr(layer, part), how)(lambda *_: None)
    return layer


def with_hook_inside():
    layer = layer_of()
    layer.norm.norm.register_forward_pre_hook(lambda *_: None)
    return layer


def with_two_modes():
    layer = layer_of("per-step")
    layer.norm.norms[1].eval()
    return layer


STRANGE = {
    "neuron": (layer_of(neuron=TheirNeuron), "no fused kernel for TheirNeuron"),
    "norm": (layer_of(TheirNorm()), "no fused kernel for the norm TheirNorm"),
    "norm that inherits": (layer_of(HeirOfFolded(nn.BatchNorm2d(4))), "HeirOfFolded"),
    "module as norm": (layer_of(PlainNorm()), "no fused kernel for the norm PlainNorm"),
    "batch norm": (layer_of(FoldedNorm(OtherBatchNorm(4))), "batch norms with weight and bias"),
    "no affine": (
        layer_of(FoldedNorm(nn.BatchNorm2d(4, affine=False))),
        "batch norms with weight and bias",
    ),
    "no statistics": (
        layer_of(FoldedNorm(nn.BatchNorm2d(4, track_running_stats=False))),
        "batch norms with running statistics",
    ),
    "two modes": (with_two_modes(), "all in the same mode"),
    "hook on norm": (watched("norm"), "a hook observes"),
    "hook on neuron": (watched("neuron"), "a hook observes"),
    "hook on pool": (watched("pool"), "a hook observes"),
    "hook on gradients": (watched("neuron", "register_full_backward_hook"), "a hook observes"),
    "hook inside": (with_hook_inside(), "a hook observes"),
}


@pytest.mark.parametrize(("layer", "why"), STRANGE.values(), ids=STRANGE)
def test_a_part_that_the_kernels_do_not_know_is_left_to_itself(layer, why):
    pytest.importorskip("numba")
    x = torch.randn(3, 5, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    use_kernels(layer, "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is nothing that the user could change
        found = layer(x)
    assert layer.used == "reference"
    use_kernels(layer, "reference")
    assert torch.equal(found, layer(x))
    use_kernels(layer, "fused")
    with pytest.raises(ConfigError) as caught:
        layer(x)
    assert caught.value.what == "the fused kernels cannot compute this layer"
    assert why in caught.value.why
    assert caught.value.remedy == "use kernels 'auto', which takes the reference there"


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2),
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, stride=1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, ceil_mode=True),
    ],
    ids=str,
)
def test_a_pool_that_the_kernels_do_not_know_comes_after_them(pool):
    pytest.importorskip("numba")
    layer = layer_of(pool=pool)
    found = {}
    for kernels in ("fused", "reference"):
        use_kernels(layer, kernels)
        x = torch.randn(3, 5, 4, 6, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
        out = layer(x)
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        assert layer.used == kernels
        found[kernels] = out.detach(), x.grad
        with torch.no_grad():
            frozen = copy.deepcopy(layer).eval()
            expected = frozen(x)
            frozen.freeze()
            torch.testing.assert_close(frozen(x), expected)
    assert torch.equal(found["fused"][0], found["reference"][0])
    torch.testing.assert_close(found["fused"][1], found["reference"][1], rtol=1e-4, atol=1e-5)


def test_without_anything_strange_the_kernels_compute():
    """The negative control of the test above."""
    pytest.importorskip("numba")
    layer = layer_of(pool=nn.MaxPool2d(2))
    layer(torch.randn(3, 5, 4, 6, 7))
    assert layer.used == "fused"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_left_to_the_reference(dtype):
    layer, x = layer_of().to(dtype), torch.randn(3, 5, 4, 6, 7, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert layer(x).dtype == dtype
    assert layer.used == "reference"
    use_kernels(layer, "fused")
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(ConfigError, match=f"fused kernels do not compute in {name} on cpu"):
        layer(x)


def test_other_devices_have_no_kernels():
    assert choice.missing_backend("mps", torch.float32) == "there are no fused kernels for mps"


def test_what_was_used():
    pytest.importorskip("numba")
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=2, features=[4, 4])
    x = torch.rand(5, 1, 2, 2)
    assert used_kernels(model) is None
    model(x)
    assert used_kernels(model) == "fused"
    use_kernels(model, "reference")
    assert used_kernels(model) == "fused"  # what was, not what will be
    model(x)
    assert used_kernels(model) == "reference"
    use_kernels(model.body.spikes2, "fused")
    model(x)
    assert used_kernels(model) == "mixed"


def test_an_unknown_choice_is_refused():
    with pytest.raises(ConfigError, match="unknown kernels 'fast'"):
        use_kernels(layer_of(), "fast")
