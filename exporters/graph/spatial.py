"""The nodes of images: convolutions, pools and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .nodes import Affine, Array, Pair, Shape, Stateless, image_of


@dataclass(frozen=True, kw_only=True)
class Conv(Affine):
    """A 2D convolution with zero padding, weights `[out, in / groups, kh, kw]`."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def shape(self, inputs: list[Shape]) -> Shape:
        image = image_of(self, inputs)
        channels = self.weights[0].shape[1] * self.groups
        self._require(image[0] == channels, image, f"{channels} channels")
        kernel = self.weights[0].shape[2:]
        sizes = zip(image[1:], kernel, self.stride, self.padding, self.dilation, strict=True)
        out = [output_size(*each) for each in sizes]
        self._require(min(out) > 0, image, "an image as large as its kernel")
        return (self.weights[0].shape[0], *out)


@dataclass(frozen=True, kw_only=True)
class ConvTranspose(Affine):
    """A transposed 2D convolution, weights `[out, in / groups, kh, kw]`.

    Every pixel adds its value times the kernel to the output, `stride` apart. torch's and ONNX's
    weights are `[in, out / groups, kh, kw]`, see `swapped`.

    Attributes:
        padding: rows and columns that are cut off at both ends.
        output_padding: rows and columns that are added at the end, of bias alone where no kernel
            reaches.
    """

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    output_padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def shape(self, inputs: list[Shape]) -> Shape:
        image = image_of(self, inputs)
        channels = self.weights[0].shape[1] * self.groups
        self._require(image[0] == channels, image, f"{channels} channels")
        parts = (self.weights[0].shape[2:], self.stride, self.padding, self.dilation)
        out = [
            (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + more
            for size, kernel, stride, padding, dilation, more in zip(
                image[1:], *parts, self.output_padding, strict=True
            )
        ]
        self._require(min(out) > 0, image, "an image larger than its padding")
        return (self.weights[0].shape[0], *out)


@dataclass(frozen=True, kw_only=True)
class Pool(Stateless):
    """Max or average pooling, with the options of torch's layers.

    The average is the sum of a window over its size, which counts the zeros of the padding.

    Attributes:
        ceil_mode: whether sizes are rounded up, so that the last windows may reach beyond the
            padding; what is beyond it does not count.
        count_include_pad: of the average; whether the zeros of the padding count.
        divisor_override: of the average; divides every sum, whatever its window.
    """

    kind: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def shape(self, inputs: list[Shape]) -> Shape:
        image = image_of(self, inputs)
        out = self._sizes(image)
        self._require(min(out) > 0, image, "an image as large as its window")
        for number, (size, kernel, stride, padding, dilation) in zip(
            out, self._axes(image), strict=True
        ):  # a maximum over padding alone is -inf, or the lowest number
            first = np.arange(number)[:, None] * stride - padding
            taps = first + np.arange(kernel) * dilation
            inside = ((taps >= 0) & (taps < size)).any(1)
            self._require(bool(inside.all()), image, "an image that every window meets")
        return (image[0], *out)

    def is_binary(self, inputs: list[bool]) -> bool:
        return self.kind == "max" and inputs[0]

    def beyond(self, image: Shape) -> Pair:
        """Return how many rows and columns the last windows reach beyond the padding."""
        height, width = (
            max(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size - 2 * padding)
            for out, (size, kernel, stride, padding, dilation) in zip(
                self._sizes(image), self._axes(image), strict=True
            )
        )
        return height, width

    def divisors(self, image: Shape) -> Array | None:
        """Return what the sum of each window is divided by, `[oh, ow]`; None for its size."""
        if self.divisor_override is not None:
            return np.full(self._sizes(image), self.divisor_override, np.float32)
        counts = []
        for out, (size, kernel, stride, padding, _) in zip(
            self._sizes(image), self._axes(image), strict=True
        ):
            begin = np.arange(out) * stride - padding
            end = np.minimum(begin + kernel, size + padding)
            if not self.count_include_pad:
                begin, end = np.maximum(begin, 0), np.minimum(end, size)
            counts.append(end - begin)
        found = np.outer(*counts).astype(np.float32)
        return None if (found == np.prod(self.kernel)).all() else found

    def is_plain(self, image: Shape) -> bool:
        """Return whether every window is whole, and averages divide by its size."""
        whole = self.dilation == (1, 1) and self.beyond(image) == (0, 0)
        return whole and (self.kind == "max" or self.divisors(image) is None)

    def _axes(self, image: Shape) -> list[tuple[int, int, int, int, int]]:
        parts = (image[1:], self.kernel, self.stride, self.padding, self.dilation)
        return list(zip(*parts, strict=True))

    def _sizes(self, image: Shape) -> tuple[int, ...]:
        return tuple(output_size(*each, ceil_mode=self.ceil_mode) for each in self._axes(image))


@dataclass(frozen=True, kw_only=True)
class Pad(Stateless):
    """Zeros around an image.

    Attributes:
        before, behind: rows and columns at both ends.
    """

    before: Pair
    behind: Pair

    def shape(self, inputs: list[Shape]) -> Shape:
        channels, *sizes = image_of(self, inputs)
        around = zip(sizes, self.before, self.behind, strict=True)
        return (channels, *(sum(parts) for parts in around))

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


def output_size(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
) -> int:
    """Return the output size of a convolution or pool along an axis.

    With `ceil_mode` it is rounded up, but every window begins in the image or the padding before.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    found = -(-room // stride) + 1
    return found - 1 if (found - 1) * stride >= size + padding else found


def swapped(weight: Array, groups: int) -> Array:
    """Return weights `[a, b / groups, ...]` as `[b, a / groups, ...]`, within each group.

    It is its own inverse: torch's weights of a transposed convolution as the graph's, and back.
    """
    first, second, *kernel = weight.shape
    by_group: Sequence[int] = (groups, first // groups, second, *kernel)
    found = weight.reshape(by_group).swapaxes(1, 2)
    return np.ascontiguousarray(found.reshape(groups * second, first // groups, *kernel))
