"""Which of the arguments of `asnn predict` is the network, and which are inputs."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ...recipe_files import recipe_names

FILES = (".onnx", ".nir")
WEIGHTS = (".safetensors", ".pt", ".pth")
STDIN = "-"
MAX_NAMED = 5


@dataclass(frozen=True)
class Arguments:
    """The arguments, told apart.

    Attributes:
        run: the folder of a run; None is the newest.
        file: an exported file, instead of a run.
        inputs: files, folders, `-` for stdin.
    """

    run: Path | None
    file: Path | None
    inputs: list[str]


def parse_arguments(arguments: list[str]) -> Arguments:
    """Return the network and the inputs: the first argument is the network if it is one.

    Raises:
        ConfigError: there is no input, or a network behind the first argument.
        DataError: an argument does not exist.
    """
    from ....core.errors import ConfigError
    from ....core.text import shell

    if not arguments:
        raise ConfigError(
            "there is nothing to predict",
            remedy="name pictures, recordings, arrays or folders of them: asnn predict cat.png",
        )
    first, *others = arguments
    found = Arguments(None, None, arguments)
    if _is_file_of_network(first):
        _require_file(first)
        found = Arguments(None, Path(first), others)
    elif _names_run(first):
        found = Arguments(Path(first), None, others)
    _require_inputs(found.inputs, arguments)
    if not found.inputs:
        remedy = f"asnn predict {shell(first)} INPUT..."
        if found.file is None:
            remedy += f"; for the accuracy on its test data: asnn eval {shell(first)}"
        raise ConfigError(f"there is no input for {first}", remedy=remedy)
    return found


def _is_file_of_network(text: str) -> bool:
    return text.removesuffix(".unverified").lower().endswith(FILES)


def _require_file(text: str) -> None:
    from ....core.errors import DataError

    if text.endswith(".unverified"):
        raise DataError(
            f"{text} was not verified",
            why="it does not compute what its network does, or its verification was interrupted",
            remedy="export the run again, or give the run",
        )
    if not os.path.lexists(text):
        raise DataError(f"there is no {text}", remedy="check the path, or give the run")


def _names_run(text: str) -> bool:
    """Return whether a path is that of a run, or of runs, which are named to choose one."""
    from ....records.layout import LATEST, RUNS, Run, is_sweep

    path = Path(text)
    run = Run(path)
    if path.name == LATEST and not path.exists():
        return True
    has_config = os.path.lexists(run.config) and not run.is_foreign
    return has_config or is_sweep(path) or (path.is_dir() and path.name == RUNS.name)


def _require_inputs(inputs: list[str], arguments: list[str]) -> None:
    """Refuse what is no input: missing paths, networks, and files of runs.

    Raises:
        ConfigError, DataError: with the command line that works.
    """
    from ....core.errors import ConfigError, DataError
    from ....core.text import shell

    for text in inputs:
        if text == STDIN:
            continue
        if _is_file_of_network(text) or _names_run(text):
            others = [each for each in arguments if each != text]
            shown = " ".join(map(shell, others)) if len(others) < MAX_NAMED else "INPUT..."
            raise ConfigError(
                f"{text} is a network, not an input",
                why="one network predicts, and it comes first",
                remedy=f"asnn predict {shell(text)} {shown}",
            )
        if text.endswith(WEIGHTS):
            own = (Path(text).parent / "config.toml").is_file()
            remedy = (
                f"give the folder of its run: asnn predict {shell(Path(text).parent)} INPUT..."
                if own
                else f"write the network to a file: asnn export --from MODULE:FUNCTION "
                f"--weights-from {shell(text)} --format onnx; and give that"
            )
            raise ConfigError(f"{text} holds weights, and is no input", remedy=remedy)
    missing = [each for each in inputs if each != STDIN and not os.path.lexists(each)]
    if missing:
        more = len(missing) - MAX_NAMED
        named = ", ".join(missing[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise DataError(f"there is no {named}", remedy=_remedy(missing[0], arguments))


def _remedy(missing: str, arguments: list[str]) -> str:
    """Return what to do about a path that does not exist, such as the name of a run."""
    from ....core.text import shell
    from ....records.layout import RUNS, Run

    if missing != arguments[0]:
        return "check the path"
    others = " ".join(map(shell, arguments[1:])) if 1 < len(arguments) < MAX_NAMED else "INPUT..."
    run = RUNS / missing
    if os.path.lexists(Run(run).config):
        return f"give the path of the run: asnn predict {shell(run)} {others}"
    if missing in recipe_names():
        return (
            f"{missing} is a recipe: train it, `asnn train {missing}`, and predict with the newest "
            f"run: asnn predict {others}"
        )
    return "check the path; the network is the folder of a run, or an .onnx or .nir file"


def is_pipe(path: str) -> bool:
    """Return whether a path is a pipe, as the shell makes of `<(command)`."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
