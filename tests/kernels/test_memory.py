"""Memory is reused, and never while anything can read it."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from asnn.kernels import memory
from asnn.kernels.memory import Buffers
from asnn.models import create_model, use_kernels

SIZE = memory.MIN_SIZE


def saved_for_backward(tensor):
    return tensor * torch.ones((), requires_grad=True)


def gradient(tensor):
    leaf = torch.zeros(tensor.shape, requires_grad=True)
    leaf.grad = tensor
    return leaf


HOLDERS = {
    "itself": lambda t: t,
    "view": lambda t: t.view(2, -1).t(),
    "one value": lambda t: t[-1:],
    "detached": lambda t: t.detach(),
    "array": lambda t: t.numpy(),
    "storage": lambda t: t.untyped_storage(),
    "gradient": gradient,
    "saved for backward": saved_for_backward,
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_a_buffer_is_free_when_the_last_tensor_on_it_is_deleted(hold):
    buffers = Buffers()
    tensor = buffers.take(SIZE)
    address = tensor.data_ptr()
    reference = hold(tensor)
    del tensor
    other = buffers.take(SIZE)
    assert other.data_ptr() != address
    del reference
    assert buffers.take(SIZE).data_ptr() == address


def test_a_tensor_saved_by_a_product_is_not_overwritten():
    buffers = Buffers()
    factor = torch.ones((), requires_grad=True)
    loss = (buffers.take(SIZE).fill_(2) * factor).sum()
    for _ in range(3):
        buffers.take(SIZE).fill_(99)
    loss.backward()
    assert factor.grad == 2 * SIZE


def test_small_tensors_are_not_buffered():
    buffers = Buffers()
    tensor = buffers.take(SIZE - 1)
    assert tensor.shape == (SIZE - 1,)
    assert buffers.nbytes == 0
    assert buffers.take(0, 3).shape == (0, 3)
    assert buffers.take(2, SIZE // 2).shape == (2, SIZE // 2)
    assert buffers.nbytes == 4 * SIZE


def test_a_buffer_serves_requests_down_to_a_third_of_its_size():
    buffers, large = Buffers(), 4 * SIZE
    address = buffers.take(large).data_ptr()
    smaller = buffers.take(2, large // 4)
    assert (smaller.data_ptr(), smaller.shape) == (address, (2, large // 4))
    del smaller
    assert buffers.take(large // 3 - 1).data_ptr() != address
    assert buffers.take(large + 1).data_ptr() != address


def test_a_request_takes_the_smallest_buffer_that_fits():
    buffers = Buffers()
    both = [buffers.take(SIZE + 1000), buffers.take(SIZE)]
    small = both[1].data_ptr()
    both.clear()
    assert buffers.take(SIZE).data_ptr() == small


def test_idle_buffers_are_released_and_buffers_in_use_are_not(monkeypatch):
    monkeypatch.setattr(memory, "MAX_IDLE_REQUESTS", 4)
    buffers = Buffers()
    used = buffers.take(SIZE).fill_(3)
    buffers.take(SIZE)  # and free
    for _ in range(4):
        buffers.take(2 * SIZE)
    buffers.take(4 * SIZE)  # a new buffer releases idle ones
    assert buffers.nbytes == 4 * (1 + 2 + 4) * SIZE
    assert (used == 3).all()


def test_buffers_that_were_used_lately_are_not_released(monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(memory, "MAX_IDLE_REQUESTS", 6)
    buffers = Buffers()
    buffers.take(SIZE)
    for _ in range(4):
        buffers.take(2 * SIZE)
    buffers.take(4 * SIZE)
    assert buffers.nbytes == 4 * (1 + 2 + 4) * SIZE


def test_threads_never_share_a_buffer(monkeypatch):
    monkeypatch.setattr(memory, "MIN_SIZE", 8)
    buffers = Buffers()

    def work(number):
        for turn in range(200):
            mine = buffers.take(64).fill_(number * 1000 + turn)
            also = buffers.take(64).fill_(-1)
            assert (mine == number * 1000 + turn).all() and (also == -1).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert buffers.nbytes <= 4 * 3 * 64 * 4  # a name keeps its tensor until it has the next


def network():
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(2, 12, 12), classes=4, steps=3, widths=[16, 32], hidden=24
    )
    use_kernels(model, "fused")
    return model


def image(seed):
    return torch.rand(6, 2, 12, 12, generator=torch.Generator().manual_seed(seed))


def steps_kept_and_copied(model):
    """Train three steps; return the tensors of the first, and copies from before the second."""
    kept = []
    hooks = [
        part.register_forward_hook(lambda part, args, out: kept.extend([*args, out]))
        for part in model.body
    ]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    copies = []
    for step in range(3):
        x = image(step).requires_grad_()
        logits = model(x)
        for hook in hooks:
            hook.remove()
        optimizer.zero_grad(set_to_none=True)
        logits.square().mean().backward()
        if step == 0:
            kept += [logits, *(p.grad for p in model.parameters() if p.grad is not None)]
            copies = [tensor.detach().clone() for tensor in kept]
        optimizer.step()
    return kept, copies


def changed(kept, copies):
    return [i for i, (a, b) in enumerate(zip(kept, copies, strict=True)) if not torch.equal(a, b)]


@pytest.fixture
def all_buffered(monkeypatch):
    """Every result of the kernels comes from buffers, of any size."""
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    from asnn.kernels.cpu import backend as cpu

    fresh = Buffers()
    monkeypatch.setattr(memory, "MIN_SIZE", 1)
    monkeypatch.setattr(cpu, "buffers", fresh)
    return fresh


def test_tensors_of_a_training_step_do_not_change_later(all_buffered):
    kept, copies = steps_kept_and_copied(network())
    assert len(kept) > 20
    assert changed(kept, copies) == []
    assert all_buffered.nbytes > 0


def test_buffers_that_are_freed_too_early_are_noticed(all_buffered, monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(Buffers, "_is_free", lambda self, index: True)
    assert changed(*steps_kept_and_copied(network()))


def test_large_tensors_of_a_training_step_do_not_change_later():
    pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(1, 32, 32), classes=4, steps=3, widths=[32, 16], hidden=8
    )
    kept, inputs = [], [torch.rand(8, 1, 32, 32) for _ in range(3)]
    for x in inputs:
        outs = []
        hooks = [p.register_forward_hook(lambda p, a, out, to=outs: to.append(out))
                 for p in model.body]  # fmt: skip
        model(x).sum().backward()
        for hook in hooks:
            hook.remove()
        kept.append((outs, [out.detach().clone() for out in outs]))
    assert memory.buffers.nbytes > 0
    assert max(out.numel() for out in kept[0][0]) >= memory.MIN_SIZE
    assert all(changed(*pair) == [] for pair in kept)


def test_an_open_graph_outlives_other_steps(all_buffered):
    model = network()
    alone = copy.deepcopy(model)
    loss = model(image(0)).square().mean()
    for seed in (1, 2):
        model(image(seed)).sum().backward()
    model.zero_grad(set_to_none=True)
    loss.backward()
    alone(image(0)).square().mean().backward()
    found = dict(model.named_parameters())
    assert all(
        torch.equal(found[name].grad, p.grad)
        for name, p in alone.named_parameters()
        if p.grad is not None
    )
    assert sum(p.grad is not None and bool(p.grad.any()) for p in found.values()) > 8


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 5, 1 << 20])
def test_a_buffer_begins_with_a_cache_line(size):
    assert Buffers().take(size).data_ptr() % 64 == 0
