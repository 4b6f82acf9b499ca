"""Limits on a protobuf message, checked before it is parsed.

Two bytes can encode an empty message that takes a hundred in memory, and messages can be nested. So
the fields are counted in the encoded bytes first; no value is decoded.
Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

from .errors import InvalidFile

MAX_DEPTH = 50
MAX_FIELDS = 400_000
MAX_PACKED = 8 << 20  # bytes of packed varints, each up to eight times as large in memory

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
FIXED = {"FLOAT", "DOUBLE", "FIXED32", "FIXED64", "SFIXED32", "SFIXED64"}


def check_message(data: bytes, descriptor: Any) -> None:
    """Check the fields of a message without decoding their values.

    Args:
        data: the message.
        descriptor: the type of the message, such as `onnx.ModelProto.DESCRIPTOR`.

    Raises:
        InvalidFile: it ends in the middle of a field, is nested too deep, or has too many fields.
    """
    schemas: dict[str, dict[int, Any]] = {}
    waiting = [(0, len(data), descriptor, 0)]
    fields = packed = 0
    while waiting:
        offset, end, kind, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidFile(f"messages are nested more than {MAX_DEPTH} deep")
        schema = schemas.get(kind.full_name)
        if schema is None:
            schema = schemas[kind.full_name] = _schema(kind)
        while offset < end:
            fields += 1
            if fields > MAX_FIELDS:
                raise InvalidFile(f"it has more than {MAX_FIELDS:,} fields")
            tag, offset = _varint(data, offset, end)
            wire = tag & 7
            if wire == LENGTH:
                length, offset = _varint(data, offset, end)
                inner = schema.get(tag >> 3)
                if length > end - offset:
                    break
                if inner == "packed":
                    packed += length
                elif inner is not None:
                    waiting.append((offset, offset + length, inner, depth + 1))
                offset += length
            elif wire == VARINT:
                _, offset = _varint(data, offset, end)
            elif wire in (FIXED64, FIXED32):
                offset += 8 if wire == FIXED64 else 4
            else:
                raise InvalidFile("it holds a field of an unknown kind")
        if offset != end:
            raise InvalidFile("it ends in the middle of a field")
    if packed > MAX_PACKED:
        raise InvalidFile(f"it has {packed:,} bytes of packed numbers, at most {MAX_PACKED:,}")


def _schema(kind: Any) -> dict[int, Any]:
    """Return by number the message type of each field, or `packed` for a field of varints."""
    found: dict[int, Any] = {}
    for field in kind.fields:
        if field.message_type is not None:
            found[field.number] = field.message_type
        elif field.type not in (field.TYPE_STRING, field.TYPE_BYTES, *_fixed(field)):
            found[field.number] = "packed"
    return found


def _fixed(field: Any) -> list[int]:
    return [getattr(field, f"TYPE_{name}") for name in FIXED]


def _varint(data: bytes, offset: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while offset < end:
        byte = data[offset]
        offset += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, offset
        shift += 7
        if shift > 63:
            break
    raise InvalidFile("it ends in the middle of a number")
