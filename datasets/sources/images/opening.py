"""Image files opened with PIL within bounds, and the error for what is no image."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from ....core.errors import DataError
from ..file_kinds import kind_of
from ..store import Store
from .png16 import CHANNELS, Header, header_of_16_bits

GREY = {"1", "L", "LA", "I"}
"""PIL's modes without colour, except the 16-bit ones, whose names begin with I;16."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
"""PIL would try dozens more on an invalid file, some of them by external programs."""

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""
SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class OpenedImage:
    """An image file; its pixels are decoded at access.

    Attributes:
        image: PIL's.
        content: of the file.
        orientation: of EXIF; 1 is upright.
        png16: the header of a PNG of 16 bits a value; None of other files.
    """

    image: Image.Image
    content: bytes
    orientation: int
    png16: Header | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        width, height = self.image.size
        return (width, height) if self.orientation in SIDEWAYS else (height, width)

    @property
    def is_grey(self) -> bool:
        """Whether it has no colour."""
        if self.png16 is not None:  # PIL reads grey with alpha as colour
            return CHANNELS[self.png16.colour] < 3
        return self.image.mode in GREY or self.image.mode.startswith("I;16")

    @property
    def is_deep(self) -> bool:
        """Whether a value has 16 bits."""
        return self.png16 is not None or self.image.mode.startswith("I")


def open_image(store: Store, name: str) -> OpenedImage:
    """Return the image called `name`.

    Raises:
        DataError: it is not an image, is animated, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    content = store.read(name)
    limit = Image.MAX_IMAGE_PIXELS
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
        orientation = _orientation(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(store, name, str(error)) from error
    except Exception as error:
        raise undecodable(store, name, content, error) from error
    if limit is not None and image.width * image.height > limit:
        raise _too_large(
            store, name, f"{image.height}x{image.width} pixels, at most {limit} are read"
        )
    if frames > 1:
        raise DataError(
            f"{store.display_name(name)} is animated",
            why=f"it has {frames} frames, and a sample is one image",
            remedy="save the frame that you want as an image of its own",
        )
    return OpenedImage(image, content, orientation, header_of_16_bits(content))


def undecodable(store: Store, name: str, content: bytes, error: Exception) -> DataError:
    """Return the error for an image that cannot be decoded."""
    # PIL's message for an unknown format shows the address of a buffer.
    if not isinstance(error, UnidentifiedImageError):
        why, remedy = str(error), "replace or remove it"
    else:
        kind = kind_of(content, name)
        why = "its content is not a supported image" if kind is None else f"it is {kind.noun}"
        remedy = "replace or remove it" if kind is None else kind.remedy
    return DataError(f"could not decode {store.display_name(name)}", why=why, remedy=remedy)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if there is none, or it cannot be read."""
    if "exif" not in image.info:  # getexif would decode a PNG to look behind its pixels
        return 1
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises any exception; the pixels may be intact
        return 1
    return found if found in ORIENTATIONS else 1


def _too_large(store: Store, name: str, why: str) -> DataError:
    return DataError(
        f"{store.display_name(name)} is too large",
        why=why,
        remedy="remove it, or scale it down first",
    )
