"""Train, evaluate, encode and export spiking neural networks.

>>> import asnn
>>> model = asnn.create_model("lenet", in_shape=(1, 8, 8), classes=10, coding="hybrid", steps=4)

Names are imported at their first use, so that `import asnn` takes no time; `dir(asnn)` lists them.
"""

from typing import TYPE_CHECKING

from . import _checkout as _checkout

# isort: split
from asnn.core.lazy import lazy_names

if TYPE_CHECKING:
    from asnn.api import evaluate, export_nir, export_onnx, import_nir, train, verify
    from asnn.coding import create_coding
    from asnn.models import AdaptiveLeaky, create_model, load_run
    from asnn.records.open_run import open_run

__version__ = "0.2.0"
__all__ = [
    "AdaptiveLeaky",
    "__version__",
    "create_coding",
    "create_model",
    "evaluate",
    "export_nir",
    "export_onnx",
    "import_nir",
    "load_run",
    "open_run",
    "train",
    "verify",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AdaptiveLeaky": "asnn.models",
        "create_coding": "asnn.coding",
        "create_model": "asnn.models",
        "evaluate": "asnn.api",
        "export_nir": "asnn.api",
        "export_onnx": "asnn.api",
        "import_nir": "asnn.api",
        "load_run": "asnn.models",
        "open_run": "asnn.records.open_run",
        "train": "asnn.api",
        "verify": "asnn.api",
    },
)
