"""The `asnn` command: its subcommands and its exit code."""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from .commands.bench import bench
from .commands.data.command import data_app
from .commands.doctor import doctor
from .commands.encode.command import encode
from .commands.eval.command import evaluate_run
from .commands.export.command import export
from .commands.find_lr import find_lr
from .commands.import_nir import import_file
from .commands.inspect import inspect_file
from .commands.predict.command import predict
from .commands.recipes import recipes_app
from .commands.report import report
from .commands.runs.command import runs_app
from .commands.sweep.command import sweep
from .commands.train import train
from .terminal import console
from .terminal.exits import PIPE_CLOSED, exit_code, import_failed, out_of_memory
from .terminal.group import Root

app = typer.Typer(
    name="asnn",
    cls=Root,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # plain help takes half the time of rich help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, evaluate, encode and export adaptive spiking networks with hybrid coding.\n\n"
    "Examples:\n\nasnn train && asnn eval",
    epilog="Exit codes: 0 success, 1 failure, "
    "2 usage or configuration, 3 verification failed, 4 bad data or file, 130/143 interrupted.",
)
app.command("train")(train)
app.command("find-lr")(find_lr)
app.command("sweep")(sweep)
app.command("eval")(evaluate_run)
app.command("predict")(predict)
app.command("encode")(encode)
app.add_typer(data_app, name="data")
app.command("report")(report)
app.command("inspect")(inspect_file)
app.command("export")(export)
app.command("import")(import_file)
app.add_typer(runs_app, name="runs")
app.add_typer(recipes_app, name="recipes")
app.command("bench")(bench)
app.command("doctor")(doctor)


def _show_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        console.emit(f"asnn {version('asnn')}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an expected failure too.")
    ] = False,
) -> None:
    console.debug = debug


@functools.cache  # to build it takes longer than most commands that the tests run
def _command() -> Any:
    return typer.main.get_command(app)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; only a bug raises."""
    console.debug = console.silent = False
    console.shown_warnings.clear()
    # Where the home folder cannot be written, it says at length that its cache is a temporary one.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = console.show_warning
            result = _command()(args=arguments, standalone_mode=False)
    except console.PipeClosed:
        return PIPE_CLOSED
    except SystemExit as ended:
        # typer exits with 1 when the reader of its help closes the pipe.
        return PIPE_CLOSED if ended.code == 1 else int(ended.code or 0)
    except Exception as error:
        error = out_of_memory(error) or import_failed(error) or error
        code = exit_code(error)
        if code is None:
            raise
        if console.debug:
            traceback.print_exc()
        console.show_error(error)
        return code
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the `asnn` command."""
    # A stream that the caller has closed is None; messages are then discarded.
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    # Data would be lost without a word: whoever writes to it fails.
    sys.stdout = sys.stdout or console.ClosedStream()
    sys.exit(run())
