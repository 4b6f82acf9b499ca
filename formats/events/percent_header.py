"""The header of Prophesee's files: lines `% key value` before the binary data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidFile, sanitize
from .recording import Size

MAX_HEADER = 1 << 16
MAX_SIDE = 1 << 14  # the coordinates of a .dat file have 14 bits


@dataclass(frozen=True)
class PercentHeader:
    """Lines by key in lower case, and where the data begin."""

    fields: dict[str, str]
    end: int

    @property
    def format(self) -> str | None:
        """The name of the encoding of a .raw file, as `EVT3`; None if the header states none."""
        if "format" in self.fields:
            return self.fields["format"].partition(";")[0].strip().upper()
        if "evt" in self.fields:
            return "EVT" + self.fields["evt"].strip().removesuffix(".0").replace(".", "")
        return None

    @property
    def size(self) -> Size | None:
        """(height, width), where the header states both.

        Raises:
            InvalidFile: they are no sizes of a sensor.
        """
        options = dict(
            part.strip().lower().split("=", 1)
            for part in self.fields.get("format", "").split(";")
            if "=" in part
        )
        height = options.get("height", self.fields.get("height"))
        width = options.get("width", self.fields.get("width"))
        if (height is None or width is None) and "geometry" in self.fields:
            width, _, height = self.fields["geometry"].partition("x")
        if height is None or width is None:
            return None
        return _side(height, "height"), _side(width, "width")


def _side(text: str, name: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text.strip()) and 0 < int(text) <= MAX_SIDE:
        return int(text)
    raise InvalidFile(f"its header states the {name} {sanitize(text, 20)!r}")


def read_percent_header(content: bytes) -> PercentHeader:
    """Return the header, without fields where there is none.

    Raises:
        InvalidFile: a line does not end within 64 KiB.
    """
    fields: dict[str, str] = {}
    start = 0
    while content[start : start + 2] in (b"% ", b"%\n", b"%\r"):
        stop = content.find(b"\n", start, MAX_HEADER)
        if stop < 0:
            raise InvalidFile(f"its header does not end within {MAX_HEADER:,} bytes")
        line = content[start + 1 : stop].decode("ascii", "backslashreplace").strip()
        start = stop + 1
        key, _, value = line.partition(" ")
        if key == "end":
            break
        fields[key.lower()] = value.strip()
    return PercentHeader(fields, start)


def check_encoding(header: PercentHeader, expected: str) -> None:
    """Refuse the header of another encoding, or of another byte order.

    Raises:
        InvalidFile: with the encoding that the header states.
    """
    if header.format != expected:
        raise InvalidFile(f"its header states {sanitize(header.format, 20)}, not {expected}")
    if header.fields.get("endianness", "little").lower() != "little":
        raise InvalidFile(f"its words are {sanitize(header.fields['endianness'], 20)} endian")
