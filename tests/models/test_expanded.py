"""Networks of plain layers only."""

import torch
from torch import nn

from asnn.models import create_model
from asnn.models.expanded import expand, expanded
from asnn.models.layers.p4 import P4Conv2d


def test_a_network_of_plain_layers_is_returned_itself():
    body = create_model("lenet", in_shape=(1, 8, 8), classes=2).body
    assert expanded(body) is body


def test_a_network_with_shared_weights_is_copied():
    model = create_model("lenet", in_shape=(1, 8, 8), classes=2, widths=[2], group="p4").eval()
    plain = expanded(model.body)
    assert not any(isinstance(part, P4Conv2d) for part in plain.modules())
    assert [*plain._modules] == [*model.body._modules]
    code = torch.rand(4, 2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(plain(code), model.body(code))
        for value in plain.parameters():
            value.zero_()
    assert model.body.linear.layer.weight.any()


def test_a_layer_that_is_used_twice_stays_one():
    conv = P4Conv2d(1, 1, 3)
    body = nn.Sequential(conv, nn.Sequential(conv))
    expand(body)
    assert body[0] is body[1][0] and body[0] is not conv
