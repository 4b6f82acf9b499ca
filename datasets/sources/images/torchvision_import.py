"""The only import of torchvision.

Its wheels are built for CUDA. With a CPU build of torch their compiled operators cannot be loaded,
and the import fails at two of them that nothing here uses. With these two declared, the data sets
and transforms work.
"""

import importlib
import sys
from types import ModuleType

import torch

MISSING = "torchvision::nms does not exist"
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# A declared operator lives as long as its Library object.
_declared: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """Return the module torchvision, with `datasets` and `transforms.v2` imported."""
    try:
        return _import()
    except RuntimeError as error:
        if MISSING not in str(error):
            raise
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(name + SCHEMA)
    _declared.append(library)
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    return _import()


def lacks_operators() -> bool:
    """Return whether the compiled operators of torchvision could not be loaded."""
    return bool(_declared)


def _import() -> ModuleType:
    module = importlib.import_module("torchvision")
    importlib.import_module("torchvision.datasets")
    importlib.import_module("torchvision.transforms.v2")
    return module
