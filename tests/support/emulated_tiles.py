"""The tile instructions of `asnn.kernels.cpu.amx.instructions`, emulated for any processor.

Kernels that are made with them differ from the real ones in these instructions only. The tiles lie
in memory that the process shares, so one thread may use them at a time.
"""

from functools import cache

import numpy as np
import torch
from llvmlite import ir
from numba import carray, cfunc, types
from numba.extending import intrinsic

from asnn.kernels.cpu import backend, isa, tasks
from asnn.kernels.cpu.amx.convolution import make_kernels
from asnn.kernels.cpu.simd import compiled, load, pointer, splat, store

TILE = 1024  # bytes
TASKS = ("pack_weights", "convolve_tiles", "weight_grad_tiles")


@intrinsic
def _memory(typing):
    """Return the address of eight tiles and of two that `multiply_tiles` works with."""

    def emit(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")  # else the kernels take a minute to compile
        kind, name = ir.ArrayType(ir.IntType(32), 10 * TILE // 4), "asnn_emulated_tiles"
        if name not in builder.module.globals:
            memory = ir.GlobalVariable(builder.module, kind, name)
            memory.linkage, memory.align = "linkonce_odr", 64
            memory.initializer = ir.Constant(kind, None)
        return builder.ptrtoint(builder.module.globals[name], ir.IntType(64))

    return types.int64(), emit


@compiled
def configure(address):
    pass


@compiled
def release():
    pass


@compiled
def clear_tile(tile):
    for row in range(16):
        store(_memory(), 256 * tile + 16 * row, splat(16, np.float32(0)))


@compiled
def load_tile(tile, address, stride):
    for row in range(16):
        store(_memory(), 256 * tile + 16 * row, load(16, address + row * stride, 0))


@compiled
def store_tile(tile, address, stride):
    for row in range(16):
        store(address + row * stride, 0, load(16, _memory(), 256 * tile + 16 * row))


@compiled
def multiply_tiles(acc, a, b):
    """acc += a b, the products of even and of odd k added up apart, as the processor does."""
    tiles = carray(pointer(_memory()), (10, 16, 16), np.uint32)
    values = carray(pointer(_memory()), (10, 16, 16), np.float32)
    for m in range(16):
        row = values[9]  # of even and of odd products, and the two factors
        row[:4] = 0
        for k in range(16):
            pair = tiles[a, m, k]
            tiles[9, 2, 0], tiles[9, 2, 1] = pair << 16, pair & 0xFFFF0000
            for n in range(16):
                tiles[8, 0, n] = tiles[b, k, n] << 16
                tiles[8, 1, n] = tiles[b, k, n] & 0xFFFF0000
            even, odd = row[2, 0], row[2, 1]
            for n in range(16):
                row[0, n] += even * values[8, 0, n]
                row[1, n] += odd * values[8, 1, n]
        for n in range(16):
            values[acc, m, n] += row[0, n] + row[1, n]


@compiled
def gather(address, stride):
    values = carray(pointer(_memory() + 8 * TILE), (16,), np.float32)
    source = carray(pointer(address), (15 * stride + 1,), np.float32)
    for i in range(16):
        values[i] = source[i * stride]
    return load(16, _memory(), 8 * TILE // 4)


class _Module:
    clear_tile, configure, gather = clear_tile, configure, gather
    load_tile, multiply_tiles, release, store_tile = load_tile, multiply_tiles, release, store_tile


KERNELS = make_kernels(_Module)


@cache
def address_of(name):
    """Return the address of an emulated task; see `asnn.kernels.cpu.tasks`."""
    sources = tasks.checksum()

    def pack_weights(address):
        if sources:
            KERNELS.pack_weights(address)

    def convolve_tiles(address):
        if sources:
            KERNELS.convolve(address)

    def weight_grad_tiles(address):
        if sources:
            KERNELS.weight_gradients(address)

    found = {task.__name__: task for task in (pack_weights, convolve_tiles, weight_grad_tiles)}
    return cfunc(types.void(types.int64), cache=True)(found[name]).address


def emulate(monkeypatch):
    """Let the convolutions by tiles run on this thread, with emulated instructions."""

    real = tasks.address_of

    def emulated(name):
        return address_of(name) if name in TASKS else real(name)

    monkeypatch.setattr(tasks, "address_of", emulated)
    monkeypatch.setattr(isa, "used", lambda: "amx")
    monkeypatch.setattr(backend, "has_tiles", lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
