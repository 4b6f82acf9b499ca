"""Half precision: sums and exponentials do not overflow or lose precision."""

import pytest
import torch

from asnn.coding import create_coding


def test_latency_in_half_precision_decodes_to_finite_values():
    coding = create_coding("latency", steps=5)
    x = torch.tensor([[0.0, 0.3, 1.0]], dtype=torch.float16)
    assert coding.decode(coding.encode(x)).isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "steps"), [(torch.float16, 16), (torch.float16, 12), (torch.bfloat16, 9)]
)
def test_embedding_in_half_precision_decodes_as_in_float32(dtype, steps):
    coding = create_coding("embedding", steps=steps)
    x = (torch.arange(256) / 255).to(dtype)
    code = coding.encode(x)
    assert torch.equal(coding.decode(code), coding.decode(code.float()).to(dtype))


@pytest.mark.parametrize(
    ("dtype", "count"), [(torch.bfloat16, 785), (torch.float16, 2049), (torch.float16, 150528)]
)
def test_spikes_are_counted_exactly_in_half_precision(dtype, count):
    coding = create_coding("temporal", steps=3)
    code = coding.encode(torch.ones(1, count, dtype=dtype))
    assert coding.count_spikes(code).tolist() == [count]


def test_empty_batch_has_moments_without_a_warning(recwarn):
    create_coding("temporal", steps=3, thresholds="quantile").moments(torch.zeros(0, 1, 4, 4))
    assert len(recwarn) == 0
