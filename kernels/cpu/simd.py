"""Vectors of float32 for numba: explicit SIMD, on raw addresses.

A `Lanes` value is a vector register, or several: LLVM splits vectors that are too long for the
machine. The arithmetic operators round every operation as written: nothing is contracted into a
fused multiply-add, so that spikes are bit for bit those of the plain implementation. A comparison
gives a `Mask`. Addresses are int64, indices count float32 values.

The number of lanes is part of the type: the same kernel is compiled for vectors, and for single
values, which compute the channels that do not fill a vector.
"""

from __future__ import annotations

import operator
from collections import Counter
from functools import partial
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from . import isa

isa.cap_numba()  # before the first kernel is compiled

_named: Counter[str] = Counter()


def compiled(kernel: Any, *, inline: bool = False) -> Any:
    """Let numba compile a kernel where another one calls it, under a unique name.

    With `inline` its machine code is always part of that of the caller.

    In object code numba names a function by its qualified name and by a number that counts the
    functions of the process. Where a factory makes several kernels of one name, two processes can
    give different ones the same symbol; in a third process that loads both from the cache, the
    linker would use the first for both. So a number is added to the name here: how many kernels of
    that name were made before. Kernels are made when their modules are imported, so the number is
    the same in all processes.
    """
    name = f"{kernel.__module__}.{kernel.__qualname__}"
    kernel.__qualname__ += f"_{_named[name]}"
    _named[name] += 1
    # Only kernels call kernels: wrappers for Python would take time to compile.
    options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": inline}
    return njit(**options)(kernel)


inlined = partial(compiled, inline=True)


FLOAT = ir.FloatType()
INT = ir.IntType(32)
ADDRESS = ir.IntType(64)


class Lanes(types.Type):
    """A vector of `count` float32 values."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Lanes({count})")


class Mask(types.Type):
    """A vector of `count` booleans."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Mask({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(FLOAT, kind.count))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.count))


def _vector(kind: Any) -> Any:
    return ir.VectorType(FLOAT, kind.count)


def _pointer(builder: Any, address: Any, index: Any, to: Any) -> Any:
    byte = builder.add(address, builder.mul(index, ir.Constant(ADDRESS, 4)))
    return builder.inttoptr(byte, to.as_pointer())


def _splat(builder: Any, value: Any, count: int) -> Any:
    vector = ir.Constant(ir.VectorType(FLOAT, count), ir.Undefined)
    vector = builder.insert_element(vector, value, ir.Constant(INT, 0))
    mask = ir.Constant(ir.VectorType(INT, count), [0] * count)
    return builder.shuffle_vector(vector, vector, mask)


@intrinsic
def load(typing: Any, count: Any, address: Any, index: Any) -> Any:
    """load(count, address, index): load `count` values from `index` on."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("the number of lanes must be a literal")
    kind = Lanes(count.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[1], arguments[2], _vector(kind)), align=4)

    return kind(count, types.int64, types.int64), emit


@intrinsic
def store(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """store(address, index, value): store a vector from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to = _pointer(builder, arguments[0], arguments[1], _vector(value))
        builder.store(arguments[2], to, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, value), emit


@intrinsic
def load_bytes(typing: Any, count: Any, address: Any, index: Any) -> Any:
    """load_bytes(count, address, index): load `count` int8 from `index` on, as float32."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("the number of lanes must be a literal")
    kind, memory = Lanes(count.literal_value), ir.VectorType(ir.IntType(8), count.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        begin = builder.inttoptr(builder.add(*arguments[1:]), memory.as_pointer())
        return builder.sitofp(builder.load(begin, align=1), _vector(kind))

    return kind(count, types.int64, types.int64), emit


@intrinsic
def store_bytes(typing: Any, address: Any, index: Any, value: Any) -> Any:
    """store_bytes(address, index, value): store whole numbers as int8 from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = ir.VectorType(ir.IntType(8), value.count)
        to = builder.inttoptr(builder.add(*arguments[:2]), memory.as_pointer())
        builder.store(builder.fptosi(arguments[2], memory), to, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, value), emit


@intrinsic
def splat(typing: Any, count: Any, value: Any) -> Any:
    """splat(count, value): a vector with the same value in every lane."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("the number of lanes must be a literal")
    kind = Lanes(count.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[1], kind.count)

    return kind(count, types.float32), emit


@intrinsic
def select(typing: Any, mask: Any, yes: Any, no: Any) -> Any:
    """select(mask, yes, no): `yes` where the mask is true, `no` elsewhere."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return yes(mask, yes, yes), emit


@intrinsic
def add_lanes(typing: Any, value: Any) -> Any:
    """add_lanes(value): the sum over the lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = [
            builder.extract_element(arguments[0], ir.Constant(INT, i)) for i in range(value.count)
        ]
        while len(lanes) > 1:
            lanes = [builder.fadd(a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
        return lanes[0]

    return types.float32(value), emit


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """multiply_add(a, b, c): a b + c, rounded once where the machine has that instruction.

    Not for what decides on a spike of the fused layer.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _vector(a)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector] * 3),
            f"llvm.fmuladd.v{a.count}f32",
        )
        return builder.call(function, arguments)

    return a(a, a, a), emit


@intrinsic
def raise_exponent(typing: Any, value: Any, shifted: Any) -> Any:
    """raise_exponent(value, shifted): value 2^k, with k the low bits of `shifted`'s fraction.

    Adding 1.5 · 2^23 to a number rounds it to an integer k, which these bits hold.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(INT, value.count)
        bits = [builder.bitcast(argument, integers) for argument in arguments]
        exponent = builder.shl(bits[1], ir.Constant(integers, [23] * value.count))
        return builder.bitcast(builder.add(bits[0], exponent), _vector(value))

    return value(value, value), emit


def _operator(symbol: Any, kind: type[Lanes] | type[Mask], result: Any, emit: Any) -> None:
    """Define an operator of one or two values of the same kind."""

    @type_callable(symbol)
    def typed(context: Any) -> Any:
        def typer(a: Any, b: Any = None) -> Any:
            fits = isinstance(a, kind) and (b is None or a == b)
            return result(a.count) if fits else None

        return typer

    operands = [kind] if symbol is abs else [kind, kind]

    @lower_builtin(symbol, *operands)
    def lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)


def _absolute(builder: Any, value: Any) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(value.type, [value.type]),
        f"llvm.fabs.v{value.type.count}f32",
    )
    return builder.call(function, [value])


_operator(abs, Lanes, Lanes, _absolute)
for _symbol, _method in (
    (operator.add, ir.IRBuilder.fadd),
    (operator.sub, ir.IRBuilder.fsub),
    (operator.mul, ir.IRBuilder.fmul),
    (operator.truediv, ir.IRBuilder.fdiv),
):
    _operator(_symbol, Lanes, Lanes, _method)
_operator(operator.gt, Lanes, Mask, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.lt, Lanes, Mask, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_operator(operator.or_, Mask, Mask, ir.IRBuilder.or_)


@intrinsic
def struct_at(typing: Any, address: Any, dtype: Any, index: Any) -> Any:
    """struct_at(address, dtype, index): that element of an array of a structured NumPy dtype,
    whose fields are read by name."""
    struct = dtype.dtype

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        offset = builder.mul(arguments[2], ir.Constant(ADDRESS, struct.size))
        pointer = context.get_value_type(struct)
        return builder.inttoptr(builder.add(arguments[0], offset), pointer)

    return struct(types.int64, dtype, types.int64), emit


@intrinsic
def fetch_and_add(typing: Any, struct: Any, field: Any, value: Any) -> Any:
    """fetch_and_add(struct, field, value): add to an int64 field that the threads share; return
    its former value."""
    if not isinstance(field, types.StringLiteral):
        raise RequireLiteralValue("the name of a field must be a literal")
    offset = ir.Constant(ADDRESS, struct.offset(field.literal_value))

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.add(builder.ptrtoint(arguments[0], ADDRESS), offset)
        counter = builder.inttoptr(address, ADDRESS.as_pointer())
        return builder.atomic_rmw("add", counter, arguments[2], "monotonic")

    return types.int64(struct, field, types.int64), emit


@intrinsic
def read(typing: Any, address: Any, index: Any) -> Any:
    """read(address, index): load the int64 at `index`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = builder.add(arguments[0], builder.mul(arguments[1], ir.Constant(ADDRESS, 8)))
        return builder.load(builder.inttoptr(byte, ADDRESS.as_pointer()))

    return types.int64(types.int64, types.int64), emit


@intrinsic
def read_byte(typing: Any, address: Any, index: Any) -> Any:
    """read_byte(address, index): load the uint8 at `index`, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = builder.inttoptr(builder.add(*arguments), ir.IntType(8).as_pointer())
        return builder.zext(builder.load(byte), ADDRESS)

    return types.int64(types.int64, types.int64), emit


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """pointer(address): the argument of `numba.carray`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), emit


def _bits(builder: Any, mask: Any, count: int) -> Any:
    return builder.zext(builder.bitcast(mask, ir.IntType(count)), ADDRESS)


@intrinsic
def bits_other_than(typing: Any, value: Any, number: Any) -> Any:
    """bits_other_than(value, number): an int64 with a bit for each lane, set where the lane is not
    `number`; lane 0 is the lowest bit."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        other = _splat(builder, arguments[1], value.count)
        return _bits(builder, builder.fcmp_unordered("!=", arguments[0], other), value.count)

    return types.int64(value, types.float32), emit


@intrinsic
def bits_of_bytes(typing: Any, count: Any, address: Any, index: Any) -> Any:
    """bits_of_bytes(count, address, index): a bit for each of `count` uint8, set if it is not 0."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("the number of bytes must be a literal")
    kind = ir.VectorType(ir.IntType(8), count.literal_value)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        begin = builder.inttoptr(builder.add(*arguments[1:]), kind.as_pointer())
        some = builder.icmp_unsigned("!=", builder.load(begin, align=1), ir.Constant(kind, None))
        return _bits(builder, some, kind.count)

    return types.int64(count, types.int64, types.int64), emit


@intrinsic
def lowest_bit(typing: Any, bits: Any) -> Any:
    """lowest_bit(bits): the index of the lowest bit that is set; one must be."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit


@intrinsic
def add_common_bits(typing: Any, counts: Any, bits: Any, mine: Any) -> Any:
    """add_common_bits(counts, bits, mine): counts plus the numbers of bits shared with `mine`.

    Vectors are of int64 here, half as many as their lanes of 32 bits.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = bits.count // 2
        kind = ir.VectorType(ADDRESS, number)
        before, words = (builder.bitcast(argument, kind) for argument in arguments[:2])
        lane = builder.insert_element(
            ir.Constant(kind, ir.Undefined), arguments[2], ir.Constant(INT, 0)
        )
        mask = ir.Constant(ir.VectorType(INT, number), [0] * number)
        common = builder.and_(words, builder.shuffle_vector(lane, lane, mask))
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), f"llvm.ctpop.v{number}i64"
        )
        return builder.bitcast(builder.add(before, builder.call(function, [common])), _vector(bits))

    return bits(counts, bits, types.int64), emit
