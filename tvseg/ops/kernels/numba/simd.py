"""Vectors of sixteen float32 for loops that numba compiles, and the ways to compile them.

Written out since LLVM does not find vectors by itself in loops over arrays that may overlap. It
splits them on processors whose vectors are shorter. uint16 arrays hold bfloat16: they are widened
when read and rounded when written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]  # ships neither types nor stubs
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 16
_CACHE_LINE = 64
_TO_READ, _INTO_L2, _DATA = 0, 2, 1  # LLVM's words for what a prefetch is for

_INT32 = ir.IntType(32)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(_INT32, LANES)
_HALVES = ir.VectorType(ir.IntType(16), LANES)
_FLAGS = ir.VectorType(ir.IntType(1), LANES)


class _VectorType(types.Type):  # type: ignore[misc]  # numba is untyped
    def __init__(self) -> None:
        super().__init__(name="tvseg_float32x16")


_VECTOR = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _primitive(function: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = intrinsic(function)
    return made


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Part of the compiled functions that call it."""
    made: Callable[..., Any] = numba.njit(inline="always")(function)
    return made


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code without the interpreter's lock, kept on disk where there is a place for it."""
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        made = numba.njit(nogil=True)(function)

    @wraps(function)
    def call(*arguments: Any) -> None:
        try:
            made(*arguments)
        except OSError:  # the disk is full: the code is there, only its copy is not
            made(*arguments)

    return call


def _splat(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * LANES)


def _mask(builder: Any, lanes: Any) -> Any:
    """Flags of the first lanes; folded away by LLVM where lanes is a constant."""
    undefined = ir.Constant(_WORDS, ir.Undefined)
    count = builder.insert_element(undefined, builder.trunc(lanes, _INT32), ir.Constant(_INT32, 0))
    count = builder.shuffle_vector(count, undefined, _splat(0))
    return builder.icmp_signed("<", ir.Constant(_WORDS, list(range(LANES))), count)


def _element(context: Any, builder: Any, kind: Any, where: Any) -> Any:
    """Address of elements[index]; elements are a pointer or an array."""
    elements, index = where
    if isinstance(kind, types.Array):
        elements = context.make_array(kind)(context, builder, elements).data
    return builder.gep(elements, [index])


def _place(context: Any, builder: Any, kind: Any, where: Any) -> tuple[Any, Any, str]:
    """Address of elements[index], its alignment in bytes, and LLVM's name of the vector there."""
    memory, size, name = (_HALVES, 2, "i16") if kind.dtype == types.uint16 else (_FLOATS, 4, "f32")
    address = builder.bitcast(_element(context, builder, kind, where), memory.as_pointer())
    return address, ir.Constant(_INT32, size), f"v{LANES}{name}.p0"


def _narrowed(builder: Any, values: Any) -> Any:
    """Floats to bfloat16, to the nearest and ties to even; a NaN stays one."""
    bits = builder.bitcast(values, _WORDS)
    odd = builder.and_(builder.lshr(bits, _splat(16)), _splat(1))
    rounded = builder.add(builder.add(bits, odd), _splat(0x7FFF))
    quiet = builder.or_(bits, _splat(0x400000))
    bits = builder.select(builder.fcmp_unordered("uno", values, values), quiet, rounded)
    return builder.trunc(builder.lshr(bits, _splat(16)), _HALVES)


@_primitive
def pointer(typing: Any, address: Any, like: Any) -> Any:
    """Elements at an address, of the type of an array's elements; a call costs less than an array.

    Whoever passes the address keeps the memory alive.
    """
    kind = types.CPointer(like.dtype)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(kind))

    return kind(types.intp, like), emit


@_primitive
def behind(typing: Any, elements: Any, offset: Any) -> Any:
    """The pointer to elements[offset]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _element(context, builder, signature.args[0], arguments)

    return elements(elements, offset), emit


@_primitive
def prefetch(typing: Any, elements: Any, index: Any) -> Any:
    """Start to bring two vectors from elements[index] on into the L2 cache; any address will do."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, byte = ir.IntType(32), ir.IntType(8)
        first = builder.bitcast(
            _element(context, builder, signature.args[0], arguments), byte.as_pointer()
        )
        kind = ir.FunctionType(ir.VoidType(), [first.type, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        size = 2 * LANES * (signature.args[0].dtype.bitwidth // 8)
        for line in range(0, size, _CACHE_LINE):
            address = builder.gep(first, [word(line)])
            builder.call(fetch, [address, word(_TO_READ), word(_INTO_L2), word(_DATA)])
        return context.get_dummy_value()

    return types.void(elements, index), emit


@_primitive
def zero(typing: Any) -> Any:
    """Sixteen zeros."""
    return _VECTOR(), lambda *_: ir.Constant(_FLOATS, [0.0] * LANES)


def _read(builder: Any, place: tuple[Any, Any, str], flags: Any) -> Any:
    """The elements whose flag is set, zeros elsewhere, in the array's own type."""
    address, alignment, name = place
    memory = address.type.pointee
    kind = ir.FunctionType(memory, [address.type, _INT32, _FLAGS, memory])
    masked = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.{name}")
    return builder.call(masked, [address, alignment, flags, ir.Constant(memory, None)])


def _write(builder: Any, place: tuple[Any, Any, str], flags: Any, values: Any) -> None:
    """Values of the array's own type to where their flag is set."""
    address, alignment, name = place
    kind = ir.FunctionType(ir.VoidType(), [values.type, address.type, _INT32, _FLAGS])
    masked = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.{name}")
    builder.call(masked, [values, address, alignment, flags])


def _load(
    context: Any, builder: Any, signature: Any, arguments: Any, mask: Callable[[Any, Any], Any]
) -> Any:
    place = _place(context, builder, signature.args[0], arguments[:2])
    values = _read(builder, place, mask(builder, arguments[2]))
    if values.type == _FLOATS:
        return values
    return builder.bitcast(builder.shl(builder.zext(values, _WORDS), _splat(16)), _FLOATS)


def _flags(builder: Any, bits: Any) -> Any:
    return builder.bitcast(builder.trunc(bits, ir.IntType(LANES)), _FLAGS)


@_primitive
def load(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """The vector array[index : index + lanes], with zeros behind it."""
    return _VECTOR(array, index, lanes), partial(_load, mask=_mask)


@_primitive
def load_where(typing: Any, array: Any, index: Any, bits: Any) -> Any:
    """Those of the sixteen array[index + lane] whose bit is set, zeros elsewhere."""
    return _VECTOR(array, index, bits), partial(_load, mask=_flags)


@_primitive
def store(typing: Any, array: Any, index: Any, lanes: Any, vector: Any) -> Any:
    """Write the vector to array[index : index + lanes]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], arguments[:2])
        values = arguments[3]
        if place[0].type.pointee == _HALVES:
            values = _narrowed(builder, values)
        _write(builder, place, _mask(builder, arguments[2]), values)
        return context.get_dummy_value()

    return types.void(array, index, lanes, vector), emit


def _shuffled(order: Sequence[int]) -> Callable[..., Any]:
    """A function of two vectors: those of their elements, counted through both, in an order."""

    @_primitive
    def shuffle(typing: Any, low: Any, high: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.shuffle_vector(*arguments, ir.Constant(_WORDS, list(order)))

        return _VECTOR(low, high), emit

    return shuffle


evens, odds = _shuffled(range(0, 2 * LANES, 2)), _shuffled(range(1, 2 * LANES, 2))
"""Every other element of two vectors, from the first and from the second on."""
_PAIRS = [lane // 2 + lane % 2 * LANES for lane in range(2 * LANES)]
mixed_low, mixed_high = _shuffled(_PAIRS[:LANES]), _shuffled(_PAIRS[LANES:])
"""The inverse: elements of two vectors in turn; the first sixteen and the last."""


@_primitive
def multiply_add(typing: Any, left: Any, right: Any, total: Any) -> Any:
    """The sum left * right + total, rounded once where the processor has an instruction for it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
        return builder.call(fused, arguments)

    return _VECTOR(left, right, total), emit
