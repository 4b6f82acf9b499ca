"""Packages that a command needs, and the error where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import AsnnError

PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow", "google": "protobuf"}
"""Names for pip that differ from those of the modules."""


def require_package(module: str, purpose: str, *, otherwise: str = "") -> None:
    """Refuse to begin what would fail later without a package.

    Args:
        module: the name that is imported.
        purpose: what needs it, such as `a picture`.
        otherwise: what to do without it.

    Raises:
        AsnnError: it is not installed.
    """
    try:
        if find_spec(module) is not None:
            return
    except (ImportError, ValueError):
        pass
    raise _missing(module, f"{purpose} needs it", otherwise)


def missing_package(error: ImportError) -> AsnnError:
    """Return the error to show for a module that could not be imported."""
    module = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and module not in ("", "asnn"):
        return _missing(module, str(error))
    why = next(iter(str(error).splitlines()), "")
    of = f"the package {module}" if module else "a package"
    return AsnnError(
        f"{of} cannot be imported", why=why, remedy="`asnn doctor` says what to install anew"
    )


def _missing(module: str, why: str, otherwise: str = "") -> AsnnError:
    package = PACKAGES.get(module, module)
    remedy = f"pip install {package}"
    if otherwise:
        remedy += f", or {otherwise}"
    return AsnnError(f"the package {package} is missing", why=why, remedy=remedy)
