"""Which options of `asnn export` go together."""

from __future__ import annotations

from pathlib import Path

import typer

from ....core.errors import ConfigError, DataError
from ....core.registry import unknown
from ....core.text import shell

ONNX_ONLY = ("opset", "weights")
NIR_ONLY = ("target", "nir_compat", "allow_approximate")
RUN_ONLY = {
    "run": "RUN", "split": "--split", "data_dir": "--data-dir", "changes": "--set",
    "noise": "--noise", "dt": "--dt",
}  # fmt: skip
FROM_ONLY = {
    "in_shape": "--in-shape", "steps": "--steps", "samples_from": "--samples-from",
    "weights_from": "--weights-from",
}  # fmt: skip

OF_AGAINST = {"against_dt": "--against-dt", "against_semantics": "--against-semantics"}
WEIGHTS = (".pt", ".pth", ".safetensors")


def require_format(
    context: typer.Context, format: str | None, input: str | None, form: str | None
) -> str:
    """Return the format, and refuse options of other formats.

    Raises:
        ConfigError: the format is missing or unknown, it has no such form, or an option does not go
            with it.
    """
    from ....exporters.export import exporter_registry
    from ....exporters.form_names import FORMS

    formats = exporter_registry.names()
    if format is None:
        raise ConfigError("--format is missing", why=f"choose from {', '.join(formats)}")
    if format not in formats:
        raise unknown("--format", format, formats)
    if form is not None and form not in FORMS.get(format, (form,)):
        raise unknown(f"--form of {format}", form, list(FORMS[format]))
    own = {"onnx": ONNX_ONLY, "nir": NIR_ONLY}
    for name in (name for other, names in own.items() if other != format for name in names):
        if is_given(context, name):
            raise ConfigError(f"--{name.replace('_', '-')} does not go with --format {format}")
    if format == "nir" and input == "image":
        raise ConfigError(
            "--input image does not go with --format nir",
            why="NIR has no nodes that encode an image",
            remedy="encode with `asnn encode`, or export to onnx",
        )
    return format


def require_check_alone(
    context: typer.Context, *, format: str | None, output: Path | None, verify: bool
) -> None:
    """Refuse options of an export beside --check.

    Raises:
        ConfigError: an option does not go with --check.
    """
    if format is not None or output is not None or not verify:
        raise ConfigError(
            "--check goes without --format, -o and --no-verify", why="it writes nothing"
        )
    for name in ("form", "input", *ONNX_ONLY, *NIR_ONLY):
        if is_given(context, name):
            option = name.replace("_", "-")
            raise ConfigError(
                f"--{option} does not go with --check", why="the file itself specifies it"
            )


def require_check(check: Path | None) -> None:
    """Refuse --no-structure without --check.

    Raises:
        ConfigError: there is no file to check.
    """
    if check is None:
        raise ConfigError(
            "--no-structure goes with --check", why="an export has the structure that is written"
        )


def again(context: typer.Context) -> list[str]:
    """Return the arguments that repeat the command with the options that are given."""
    arguments = ["export"]
    for parameter in context.command.params:
        name, value = parameter.name, context.params.get(parameter.name or "")
        if name is None or not is_given(context, name):
            continue
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif isinstance(value, bool):
            arguments.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                arguments += [parameter.opts[0], str(each)]
    return arguments


def require_origin(
    context: typer.Context, source: str | None, *, checks_other: bool = False
) -> None:
    """Refuse options of another origin of the network: a run, or --from.

    Args:
        source: of --from.
        checks_other: whether a file of another tool is compared, which may need a step.

    Raises:
        ConfigError: an option does not go with the origin of the network.
    """
    for name, option in (FROM_ONLY if source is None else RUN_ONLY).items():
        if not is_given(context, name) or (checks_other and name == "dt"):
            continue
        if source is None:
            raise ConfigError(f"{option} goes with --from", why="a run specifies it itself")
        raise ConfigError(
            f"{option} does not go with --from", why="the network comes from a function"
        )


def require_pair(context: typer.Context, check: Path | None, against: Path | None) -> None:
    """Refuse --against without --check or with a network, and files that are not compared.

    Raises:
        ConfigError: an option does not go with --against, or a file is neither .nir nor .onnx.
        DataError: a file is missing.
    """
    from ....exporters.paths import is_onnx

    if against is None:
        for name, option in OF_AGAINST.items():
            if is_given(context, name):
                raise ConfigError(f"{option} goes with --against", why="it is of that file")
        return
    if check is None:
        raise ConfigError(
            "--against goes with --check",
            why="it names what a file is compared with",
            remedy=f"--check FILE --against {shell(against)}",
        )
    both_onnx = is_onnx(check) and is_onnx(against)
    allowed = {"steps", "samples_from", "in_shape" if both_onnx else "dt"}
    for name, option in {"source": "--from", **FROM_ONLY, **RUN_ONLY, "nms": "--nms"}.items():
        if is_given(context, name) and name not in allowed:
            raise ConfigError(
                f"{option} does not go with --against",
                why={
                    "in_shape": "a .nir file states the shape of its input",
                    "dt": "an .onnx file says what it computes",
                }.get(name, "two files are compared, without a run or network"),
            )
    for path in (check, against):
        require_file(path)


def require_file(path: Path) -> Path:
    """Return the path of a NIR or ONNX file.

    Raises:
        ConfigError: it is another file by its name.
        DataError: there is no such file.
    """
    from ....exporters.paths import is_nir, is_onnx

    if not is_onnx(path) and not is_nir(path):
        raise ConfigError(
            f"{path} is neither a .nir nor an .onnx file by its name",
            why="only these are compared",
            remedy=f"a state_dict goes with its network: --from MODULE:FUNCTION --weights-from "
            f"{shell(path)}"
            if path.suffix in WEIGHTS
            else "give one of these, or rename it",
        )
    if not path.is_file():
        raise DataError(f"there is no file {path}", remedy="check the path")
    return path


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter is given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """Return a shape such as 1x28x28, 2x100 or 784; None for None.

    Raises:
        ConfigError: the text is no such shape.
    """
    if text is None:
        return None
    sizes = text.lower().split("x")
    if not 1 <= len(sizes) <= 3 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ConfigError(
            f"--in-shape takes CxHxW, CxL or F, such as 1x28x28, 2x100 or 784, not {text!r}"
        )
    return tuple(int(size) for size in sizes)
