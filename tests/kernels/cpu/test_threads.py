"""Tasks on torch's threads, on Python's, and on one: the same bits."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.cpu import backend as cpu
from asnn.kernels.cpu import tasks, threads
from asnn.models import create_model, use_kernels
from asnn.models.layers.convolution import SpikeConv2d


@pytest.fixture
def set_threads():
    former = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(former)


@pytest.fixture
def forks(monkeypatch):
    """The number of threads of each call of torch's OpenMP."""
    real, found = threads._openmp_of_torch(), []
    if real is None:
        pytest.skip("torch's OpenMP is not libgomp")

    def fork(task, address, number, flags):
        found.append(number)
        real(task, address, number, flags)

    monkeypatch.setattr(threads, "_openmp_of_torch", lambda: fork)
    return found


@pytest.fixture
def pools(monkeypatch):
    """The number of workers of each call, without OpenMP."""
    real, found = threads.pool, []

    def pool(workers):
        found.append(workers)
        return real(workers)

    monkeypatch.setattr(threads, "_openmp_of_torch", lambda: None)
    monkeypatch.setattr(threads, "pool", pool)
    return found


def step():
    """Return logits, gradients and statistics of a training step: every kernel runs."""
    torch.manual_seed(0)
    model = create_model("lenet", in_shape=(2, 20, 20), classes=3, steps=3, widths=[16, 32],
                         hidden=40)  # fmt: skip
    use_kernels(model, "fused")
    logits = model(torch.rand(9, 2, 20, 20))
    logits.square().sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [logits.detach(), *grads, *model.buffers()]


def equal(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_openmp_gives_the_bits_of_one_thread(set_threads, forks):
    # With more threads torch's convolutions add up in another order; the kernels do not.
    layer = kernels_alone()
    set_threads(1)
    alone = layer()
    assert forks == []
    set_threads(3)
    assert equal(layer(), alone)
    assert forks and set(forks) <= {2, 3} and 3 in forks


def test_python_threads_give_the_bits_of_one_thread(set_threads, pools):
    layer = kernels_alone()
    set_threads(1)
    alone = layer()
    assert pools == []
    set_threads(3)
    assert equal(layer(), alone)
    assert 2 in pools  # and the calling thread


def test_python_threads_equal_openmp(set_threads, forks, monkeypatch):
    set_threads(3)
    by_openmp = step()
    number = len(forks)
    assert number > 0
    monkeypatch.setattr(threads, "_openmp_of_torch", lambda: None)
    assert equal(step(), by_openmp)
    assert len(forks) == number


def kernels_alone():
    """Return a function that computes with the kernels alone, without torch's operators."""
    torch.manual_seed(0)
    x = torch.randn(3, 900, 20)
    spikes = (torch.rand(40, 4, 8, 8) < 0.2).float()
    layer = SpikeConv2d(4, 48, 3, padding=1, bias=False)
    grad = torch.randn(40, 48, 8, 8)

    def call():
        q, row = x.clone(), torch.ones(3, 20)
        cpu.finish(q, x, row, row, row)
        out = layer(spikes)
        (of_weight,) = torch.autograd.grad(out, layer.weight, grad)
        return [cpu.moments(x), q, out.detach(), of_weight]

    return call


def test_no_more_threads_than_blocks(set_threads, forks):
    set_threads(64)
    x = torch.randn(1, 5, 3)  # a single block
    mean, spread = cpu.moments(x)
    assert forks == []
    torch.testing.assert_close(mean, x.double().mean(1))
    torch.testing.assert_close(spread, x.double().var(1, correction=0))
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(cpu.moments(x)[0], x.double().mean(1))
    assert forks == [2]


def test_more_python_threads_than_blocks(set_threads, pools):
    set_threads(64)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(cpu.moments(x)[0], x.double().mean(1))
    assert set(pools) == {1}


def test_no_blocks_no_call(set_threads, forks, monkeypatch):
    monkeypatch.setattr(tasks, "address_of", None)  # calling it would fail
    set_threads(3)
    assert cpu.moments(torch.empty(0, 5, 3)).shape == (2, 0, 3)
    assert forks == []


@pytest.mark.slow
def test_a_task_compiles_where_no_cache_can_be_written(monkeypatch):
    real, tried = tasks.cfunc, []

    def without_a_folder(kind, *, cache=False):
        tried.append(cache)
        if cache:

            def refuse(task):
                raise RuntimeError("cannot cache function: no locator available")

            return refuse
        return real(kind)

    x = torch.randn(3, 700, 5)
    expected = cpu.moments(x)
    cached = tasks.address_of("moments")
    monkeypatch.setattr(tasks, "cfunc", without_a_folder)
    monkeypatch.setattr(tasks, "address_of", tasks.address_of.__wrapped__)
    address = tasks.address_of("moments")
    assert tried == [True, False]
    assert address not in (0, cached)
    assert torch.equal(cpu.moments(x), expected)


def test_openmp_of_torch_is_found_where_it_is_libgomp():
    """Otherwise the tests of OpenMP above would be skipped unnoticed."""
    maps = Path("/proc/self/maps")
    if not maps.exists() or "libgomp" not in maps.read_text():
        pytest.skip("torch's OpenMP is not libgomp, or this system does not say")
    assert threads._openmp_of_torch() is not None
