"""The digits data set of scikit-learn: 1,797 images of 8x8, without network and files."""

import torch

from ...base import Source, Split
from ...splits import cut

TEST_SHARE = 0.2
TEST_CUT = 1


def load_digits() -> Source:
    """Return the digits, grey values 0..16 as uint8 `[1797, 1, 8, 8]`, with a fixed test part.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its
    test part, as scikit-learn ships it).
    """
    from sklearn import datasets

    pixels, target = datasets.load_digits(return_X_y=True)
    images = torch.from_numpy(pixels).to(torch.uint8).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(target).to(torch.int64)
    train, test = cut(Split(images, labels), TEST_SHARE, TEST_CUT)
    return Source(train, test, classes=[str(digit) for digit in range(10)], full_scale=16.0)
