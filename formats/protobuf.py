"""How much a protobuf message would take in memory, found before it is parsed.

Two bytes can stand for an empty message that takes a hundred in memory, and messages can lie in
messages; so the fields are counted on the wire first, by the schema, and no value is read.
LayerInfo format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

DEEPEST = 50
MOST_FIELDS = 400_000
MOST_PACKED = 8 << 20  # bytes of numbers of variable length, each up to eight times that in memory

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
FIXED = {"FLOAT", "DOUBLE", "FIXED32", "FIXED64", "SFIXED32", "SFIXED64"}


class Malformed(ValueError):
    """The bytes are no message of this schema, or one beyond the limits."""


def check_message(data: bytes, descriptor: Any) -> None:
    """Walk over the fields of a message without keeping any.

    Args:
        data: the message.
        descriptor: its type, such as `onnx.ModelProto.DESCRIPTOR`.

    Raises:
        Malformed: it ends in the middle of a field, is nested too deep, or has too many fields.
    """
    schemas: dict[str, dict[int, Any]] = {}
    waiting = [(0, len(data), descriptor, 0)]
    fields = packed = 0
    while waiting:
        place, end, kind, depth = waiting.pop()
        if depth > DEEPEST:
            raise Malformed(f"messages are nested more than {DEEPEST} deep")
        schema = schemas.get(kind.full_name)
        if schema is None:
            schema = schemas[kind.full_name] = _schema(kind)
        while place < end:
            fields += 1
            if fields > MOST_FIELDS:
                raise Malformed(f"it has more than {MOST_FIELDS:,} fields")
            tag, place = _varint(data, place, end)
            wire = tag & 7
            if wire == LENGTH:
                length, place = _varint(data, place, end)
                inner = schema.get(tag >> 3)
                if length > end - place:
                    break
                if inner == "packed":
                    packed += length
                elif inner is not None:
                    waiting.append((place, place + length, inner, depth + 1))
                place += length
            elif wire == VARINT:
                _, place = _varint(data, place, end)
            elif wire in (FIXED64, FIXED32):
                place += 8 if wire == FIXED64 else 4
            else:
                raise Malformed("it holds a field of an unknown kind")
        if place != end:
            raise Malformed("it ends in the middle of a field")
    if packed > MOST_PACKED:
        raise Malformed(f"it has {packed:,} bytes of packed numbers, at most {MOST_PACKED:,}")


def _schema(kind: Any) -> dict[int, Any]:
    """Return, by number, the type of each message field, and `packed` for numbers that grow."""
    found: dict[int, Any] = {}
    for field in kind.fields:
        if field.message_type is not None:
            found[field.number] = field.message_type
        elif field.type not in (field.TYPE_STRING, field.TYPE_BYTES, *_fixed(field)):
            found[field.number] = "packed"
    return found


def _fixed(field: Any) -> list[int]:
    return [getattr(field, f"TYPE_{name}") for name in FIXED]


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while place < end:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            break
    raise Malformed("it ends in the middle of a number")
