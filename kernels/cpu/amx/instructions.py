"""Instructions of Intel's AMX for numba, and of the packing of bfloat16 values for them.

A tile is a register of up to 16 rows of 64 bytes; a machine has eight, by number. A product of
tiles multiplies bfloat16 and adds up in float32:

    acc[m, n] += Σ_k a[m, k] b[k, n]        16×16 += 16×32 · 32×16

with the rows of b in pairs: row k/2 of its tile holds b[k, 0], b[k + 1, 0], b[k, 1], ...

A float32 has 24 significant bits and a bfloat16 8: it is the sum of three of them, exactly.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

from ..simd import ADDRESS, FLOAT, INT, Lanes

BYTE = ir.IntType(8)
HALF = ir.IntType(16)
POINTER = BYTE.as_pointer()
ROWS = 16  # of a tile
TILES = 8
ROW_BYTES = 64

_CONFIGURATION = 64  # bytes


def _literal(kind: Any) -> Any:
    if not isinstance(kind, types.IntegerLiteral):
        raise RequireLiteralValue("the number of a tile must be a literal")
    return ir.Constant(BYTE, kind.literal_value)


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(result, [value.type for value in arguments]), name
    )
    return builder.call(function, arguments)


@intrinsic
def configure(typing: Any, address: Any) -> Any:
    """configure(address): give this thread eight tiles of full size; 64 bytes at `address` are
    overwritten."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # palette 1; the bytes of a row of each tile from byte 16 on, its rows from byte 48 on
        table = [1] + [0] * 15 + [ROW_BYTES, 0] * TILES + [0] * 16 + [ROWS] * TILES + [0] * 8
        assert len(table) == _CONFIGURATION
        kind = ir.VectorType(BYTE, _CONFIGURATION)
        builder.store(ir.Constant(kind, table), _at(builder, arguments[0], kind), align=1)
        pointer = builder.inttoptr(arguments[0], POINTER)
        _call(builder, "llvm.x86.ldtilecfg", ir.VoidType(), [pointer])
        return context.get_dummy_value()

    return types.void(types.int64), emit


@intrinsic
def release(typing: Any) -> Any:
    """release(): give the tiles of this thread back."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "llvm.x86.tilerelease", ir.VoidType(), [])
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic
def clear_tile(typing: Any, tile: Any) -> Any:
    """clear_tile(tile): fill it with zeros."""
    number = _literal(tile)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "llvm.x86.tilezero", ir.VoidType(), [number])
        return context.get_dummy_value()

    return types.void(tile), emit


def _move(name: str, tile: Any) -> Any:
    number = _literal(tile)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[1], POINTER)
        _call(builder, name, ir.VoidType(), [number, pointer, arguments[2]])
        return context.get_dummy_value()

    return types.void(tile, types.int64, types.int64), emit


@intrinsic
def load_tile(typing: Any, tile: Any, address: Any, stride: Any) -> Any:
    """load_tile(tile, address, stride): load 16 rows, `stride` bytes from one to the next."""
    return _move("llvm.x86.tileloadd64", tile)


@intrinsic
def store_tile(typing: Any, tile: Any, address: Any, stride: Any) -> Any:
    """store_tile(tile, address, stride): store 16 rows, `stride` bytes from one to the next."""
    return _move("llvm.x86.tilestored64", tile)


@intrinsic
def multiply_tiles(typing: Any, acc: Any, a: Any, b: Any) -> Any:
    """multiply_tiles(acc, a, b): acc += a b."""
    numbers = [_literal(acc), _literal(a), _literal(b)]

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, "llvm.x86.tdpbf16ps", ir.VoidType(), numbers)
        return context.get_dummy_value()

    return types.void(acc, a, b), emit


@intrinsic
def rounded(typing: Any, value: Any) -> Any:
    """rounded(value): the nearest bfloat16 of each lane, as float32; a NaN stays a NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(INT, value.count)
        bits = builder.bitcast(arguments[0], integers)
        nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        quiet = ir.Constant(integers, [0x7FC00000] * value.count)
        bits = builder.add(bits, ir.Constant(integers, [0x8000] * value.count))
        bits = builder.and_(bits, ir.Constant(integers, [0xFFFF0000] * value.count))
        bits = builder.select(nan, quiet, bits)
        return builder.bitcast(bits, ir.VectorType(FLOAT, value.count))

    return value(value), emit


def _halves(builder: Any, value: Any, count: int) -> Any:
    """Return the upper halves of float32 lanes, which are bfloat16."""
    integers = ir.VectorType(INT, count)
    bits = builder.lshr(builder.bitcast(value, integers), ir.Constant(integers, [16] * count))
    return builder.trunc(bits, ir.VectorType(HALF, count))


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


@intrinsic
def store_halves(typing: Any, address: Any, value: Any) -> Any:
    """store_halves(address, value): store lanes that are bfloat16, two bytes each."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        halves = _halves(builder, arguments[1], value.count)
        builder.store(halves, _at(builder, arguments[0], halves.type), align=2)
        return context.get_dummy_value()

    return types.void(types.int64, value), emit


@intrinsic
def store_pairs(typing: Any, address: Any, even: Any, odd: Any) -> Any:
    """store_pairs(address, even, odd): store a row of b, even[0], odd[0], even[1], ... as
    bfloat16."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(INT, even.count)
        low, high = (builder.bitcast(value, integers) for value in arguments[1:])
        low = builder.lshr(low, ir.Constant(integers, [16] * even.count))
        high = builder.and_(high, ir.Constant(integers, [0xFFFF0000] * even.count))
        both = builder.or_(low, high)
        builder.store(both, _at(builder, arguments[0], integers), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, even, even), emit


@intrinsic
def gather(typing: Any, address: Any, stride: Any) -> Any:
    """gather(address, stride): load 16 float32, `stride` values from one to the next."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers, vector = ir.VectorType(INT, 16), ir.VectorType(FLOAT, 16)
        step, undefined = builder.trunc(arguments[1], INT), ir.Constant(integers, ir.Undefined)
        steps = builder.insert_element(undefined, step, ir.Constant(INT, 0))
        steps = builder.shuffle_vector(steps, steps, ir.Constant(integers, [0] * 16))
        index = builder.mul(steps, ir.Constant(integers, list(range(16))))
        all_lanes = ir.Constant(ir.VectorType(ir.IntType(1), 16), [1] * 16)
        return _call(
            builder,
            "llvm.x86.avx512.mask.gather.dps.512",
            vector,
            [
                ir.Constant(vector, [0.0] * 16),
                builder.inttoptr(arguments[0], POINTER),
                index,
                all_lanes,
                ir.Constant(INT, 4),
            ],
        )

    return Lanes(16)(types.int64, types.int64), emit


@intrinsic
def store_spikes(typing: Any, address: Any, value: Any) -> Any:
    """store_spikes(address, value): store lanes that are 0 or 1 as int8."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # 1.0 is 0x3F800000: bit 23 distinguishes it from 0.0, which saves a conversion.
        integers = ir.VectorType(INT, value.count)
        bits = builder.bitcast(arguments[1], integers)
        bits = builder.lshr(bits, ir.Constant(integers, [23] * value.count))
        bits = builder.and_(bits, ir.Constant(integers, [1] * value.count))
        spikes = builder.trunc(bits, ir.VectorType(BYTE, value.count))
        builder.store(spikes, _at(builder, arguments[0], spikes.type), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), emit


@intrinsic
def transpose_halves(typing: Any, size: Any, rows: Any, offset: Any, to: Any, stride: Any) -> Any:
    """transpose_halves(size, rows, offset, to, stride): transpose 16×16 values.

    `rows` holds the addresses of 16 rows; each gives 16 values of `size` bytes (4: float32 that are
    bfloat16, 1: uint8) from byte `offset` on. Column j is stored at `to + j stride`, two bytes a
    value.
    """
    if not isinstance(size, types.IntegerLiteral):
        raise RequireLiteralValue("the size of a value must be a literal")
    bytes_a_value = size.literal_value

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, rows_at, offset_at, to_at, stride_at = arguments
        values = []
        for i in range(16):
            entry = builder.add(rows_at, ir.Constant(ADDRESS, 8 * i))
            row = builder.load(_at(builder, entry, ADDRESS))
            row = builder.add(row, offset_at)
            kind = ir.VectorType(FLOAT if bytes_a_value == 4 else BYTE, 16)
            value = builder.load(_at(builder, row, kind), align=bytes_a_value)
            if bytes_a_value == 1:
                value = builder.uitofp(value, ir.VectorType(FLOAT, 16))
            values.append(_halves(builder, value, 16))
        # Four perfect shuffles of the rows' values are a transposition.
        pairs = [list(range(begin, begin + 8)) for begin in (0, 8)]
        masks = [[lane for i in half for lane in (i, i + 16)] for half in pairs]
        constants = [ir.Constant(ir.VectorType(INT, 16), mask) for mask in masks]
        for _ in range(4):
            values = [
                builder.shuffle_vector(values[i], values[i + 8], mask)
                for i in range(8)
                for mask in constants
            ]
        for j, value in enumerate(values):
            column = builder.add(to_at, builder.mul(stride_at, ir.Constant(ADDRESS, j)))
            builder.store(value, _at(builder, column, value.type), align=2)
        return context.get_dummy_value()

    signature = types.void(size, types.int64, types.int64, types.int64, types.int64)
    return signature, emit


@intrinsic
def write(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """write(address, index, value): store an int64 at `index`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = builder.add(arguments[0], builder.mul(arguments[1], ir.Constant(ADDRESS, 8)))
        builder.store(arguments[2], _at(builder, byte, ADDRESS))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit
