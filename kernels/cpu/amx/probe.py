"""Small convolutions that the AMX kernels compute in a child process; see `check`.

The child imports neither torch nor anything else that the kernels do not need.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...contract import Convolution
from .. import isa, tasks
from . import calls

SHAPES = (  # all widths of the products, phases, runs of taps, and positions beside an edge
    Convolution(3, (4, 6), (32, 48), (3, 3), (2, 2), (1, 1)),
    Convolution(2, (5, 7), (16, 16), (1, 5), (1, 1), (0, 2)),
)


class Case(NamedTuple):
    """A convolution and its tensors.

    Attributes:
        shape: of the convolution.
        x: spikes `[N, H, W, in]`.
        weight: `[out, in, kh, kw]`.
        bias: `[out]`.
        grad: gradient of the output `[N, H', W', out]`.
    """

    shape: Convolution
    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    grad: np.ndarray


class Results(NamedTuple):
    """What the kernels compute.

    Attributes:
        out: `[N, H', W', out]`.
        x_grad: `[N, H, W, in]`.
        weight_grad: `[in, kh, kw, out]`.
    """

    out: np.ndarray
    x_grad: np.ndarray
    weight_grad: np.ndarray


def cases() -> list[Case]:
    """Return the convolutions, with the same values in both processes."""
    return [_case(shape) for shape in SHAPES]


def _case(shape: Convolution) -> Case:
    random, (inputs, outputs) = np.random.default_rng(0), shape.channels
    return Case(
        shape,
        (random.random((shape.images, *shape.size, inputs)) < 0.3).astype(np.float32),
        random.standard_normal((outputs, inputs, *shape.kernel), np.float32),
        random.standard_normal(outputs, np.float32),
        random.standard_normal((shape.images, *shape.out, outputs), np.float32),
    )


def results_like(case: Case) -> Results:
    """Return arrays of the shapes of the results."""
    inputs, outputs = case.shape.channels
    weight_grad = np.zeros((inputs, *case.shape.kernel, outputs), np.float32)
    return Results(np.zeros_like(case.grad), np.zeros_like(case.x), weight_grad)


def compute(case: Case) -> Results:
    """Return what the kernels compute, on this thread."""
    shape, found = case.shape, results_like(case)
    spikes = np.zeros(case.x.shape, np.uint8)
    packed = _packed(case, backward=False)
    call = calls.convolve(
        _address(case.x),
        _address(packed),
        _address(case.bias),
        _address(found.out),
        shape=shape,
        spikes=_address(spikes),
    )
    _run("convolve_tiles", call)
    packed = _packed(case, backward=True)
    call = calls.convolve(
        _address(case.grad), _address(packed), 0, _address(found.x_grad), shape=shape, backward=True
    )
    _run("convolve_tiles", call)
    call = calls.weight_gradients(
        _address(case.grad),
        _address(spikes),
        _address(found.weight_grad),
        shape=shape,
        block_images=shape.images,
        x_is_bytes=True,
    )
    _run("weight_grad_tiles", call)
    return found


def _packed(case: Case, *, backward: bool) -> np.ndarray:
    weight, stride = case.weight, case.shape.stride
    packed = np.zeros(calls.packed_shape(weight.shape, stride, backward=backward), np.float32)
    call = calls.pack_weights(
        _address(weight),
        _address(packed),
        shape=weight.shape,
        strides=tuple(step // weight.itemsize for step in weight.strides),
        stride=stride,
        backward=backward,
    )
    _run("pack_weights", call)
    return packed


def _run(task: str, call: calls.Call) -> None:
    scratch = np.zeros(call.scratch_bytes + 64, np.uint8)
    call.args["scratch"] = -(-_address(scratch) // 64) * 64
    call.args["scratch_bytes"] = call.scratch_bytes
    tasks.c_function(tasks.address_of(task))(_address(call.args))


def _address(array: np.ndarray) -> int:
    return array.ctypes.data


def to_bytes(results: Results) -> bytes:
    """Return the bytes of all results."""
    return b"".join(array.tobytes() for array in results)


def from_bytes(content: bytes) -> Iterator[Results]:
    """Yield the results of each case from the bytes of all.

    Raises:
        ValueError: these are not as many bytes.
    """
    for case in cases():
        arrays = []
        for array in results_like(case):
            part, content = content[: array.nbytes], content[array.nbytes :]
            arrays.append(np.frombuffer(part, np.float32).reshape(array.shape))
        yield Results(*arrays)
    if content:
        raise ValueError(f"{len(content)} bytes too many")


def main(timeout: int) -> None:
    """Write the results of all cases to stdout; end the process after so many seconds."""
    import resource  # of Unix, as AMX is used on Linux only

    signal.alarm(timeout)  # in case nobody is left to end it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "wb") as stdout:
        os.dup2(2, 1)  # what an import may print is no result
        if not isa.may_use_tiles():
            raise SystemExit("the system does not let the child process use AMX")
        for case in cases():
            stdout.write(to_bytes(compute(case)))
