"""In a checkout the subpackages are the folders beside this one.

An installation puts them where Python looks. A checkout whose `asnn/` comes first in `sys.path`, as
in the folder of the checkout itself, hides that installation; the finder here finds its folders.
"""

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = {"cli": "asnn_cli"}


class CheckoutFinder:
    """Finds `asnn.<name>` in the folder of that name at the root of a checkout."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a subpackage, None for any other module."""
        package, _, room = name.partition(".")
        if package != "asnn" or not room or "." in room:
            return None
        folder = os.path.join(ROOT, FOLDERS.get(room, room))
        file = os.path.join(folder, "__init__.py")
        if not os.path.isfile(file):
            return None
        return spec_from_file_location(name, file, submodule_search_locations=[folder])


if os.path.isfile(os.path.join(ROOT, "asnn_cli", "app.py")):
    sys.meta_path.append(CheckoutFinder)  # last: an installation that is found comes first
