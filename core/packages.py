"""Packages that a command needs, and the error where one is missing."""

from __future__ import annotations

import re
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
    """Return the error to show for a module that could not be imported.

    pip is suggested only for packages that asnn declares: one of another name may be anybody's.
    """
    module = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and module not in ("", "asnn"):
        if module in PACKAGES or _normalized(module) in _declared():
            return _missing(module, str(error))
        return AsnnError(
            f"the module {module} is missing",
            why=f"{error}: the package that imports it (a plug-in or your module) needs it",
            remedy="correct that import, or install what that package asks for",
        )
    why = next(iter(str(error).splitlines()), "")
    of = f"the package {module}" if module else "a package"
    return AsnnError(
        f"{of} cannot be imported", why=why, remedy="`asnn doctor` says what to install anew"
    )


def _declared() -> set[str]:
    """Return the packages that asnn and its extras need, as pip normalizes their names."""
    from importlib.metadata import PackageNotFoundError, requires  # slow, and rarely needed

    try:
        found = requires("asnn") or []
    except PackageNotFoundError:
        return set()
    return {_normalized(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in found}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _missing(module: str, why: str, otherwise: str = "") -> AsnnError:
    package = PACKAGES.get(module, module)
    remedy = f"pip install {package}"
    if otherwise:
        remedy += f", or {otherwise}"
    return AsnnError(f"the package {package} is missing", why=why, remedy=remedy)
