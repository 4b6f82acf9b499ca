"""torchvision can be used with a CPU build of torch."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{before}
from asnn.datasets.sources.images.torchvision_import import torchvision
vision = torchvision()
assert torchvision() is vision
import torch
from torchvision.transforms import v2
from torchvision.datasets import CIFAR10
images = torch.rand(3, 8, 8)
grey = v2.RandomGrayscale(p=1.0)(images)
assert torch.equal(grey[0], grey[2])
assert vision.transforms.v2 is v2 and vision.datasets.CIFAR10 is CIFAR10
print("fine")
"""

AFTER_A_FAILURE = """
try:
    import torchvision
except RuntimeError:
    pass
"""


def run(before: str) -> str:
    program = PROGRAM.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # a process that imports torch
def test_in_a_new_process():
    assert run("") == "fine\n"


@pytest.mark.slow
def test_after_a_failed_import():
    assert run(AFTER_A_FAILURE) == "fine\n"
