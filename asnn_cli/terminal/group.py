"""A group of commands that leads from the names of other tools to its own."""

from __future__ import annotations

from typing import Any, ClassVar

from typer.core import TyperGroup


class Group(TyperGroup):
    """A group of commands; `others` says what to type instead of commands that it lacks."""

    others: ClassVar[dict[str, str]] = {}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and args[0] in self.others:
            ctx.fail(f"No such command '{args[0]}'. {self.others[args[0]]}")
        return super().resolve_command(ctx, args)


class Root(Group):
    """The commands of `asnn`, and what people type for them elsewhere."""

    others: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("help", "usage", "man"), "Type asnn -h, or asnn COMMAND -h, such as asnn train -h."
        ),
        "version": "Type asnn --version.",
        **dict.fromkeys(("fit", "run", "finetune", "resume"), "To train a network: asnn train."),
        **dict.fromkeys(
            ("test", "validate", "val", "score", "benchmark"),
            "To evaluate a run on its test data: asnn eval; to measure speed: asnn bench.",
        ),
        **dict.fromkeys(
            ("infer", "inference", "classify", "detect"), "To answer to inputs: asnn predict."
        ),
        **dict.fromkeys(
            ("list", "ls", "models", "datasets"),
            "asnn runs lists runs, asnn recipes the recipes with their data sets.",
        ),
        **dict.fromkeys(
            ("plot", "show", "visualize", "draw", "compare"),
            "asnn report draws a run or compares several, asnn inspect shows a file or a run, "
            "asnn encode --plot an input.",
        ),
        **dict.fromkeys(
            ("convert", "save", "onnx", "nir", "deploy"),
            "To write a network to a file: asnn export --format onnx, or nir.",
        ),
        **dict.fromkeys(
            ("info", "summary", "describe"), "asnn inspect, or asnn data info for data."
        ),
        **dict.fromkeys(("search", "tune", "grid"), "To compare settings: asnn sweep."),
        **dict.fromkeys(("check", "env", "install"), "To check the installation: asnn doctor."),
        "init": "To write a recipe of your own: asnn recipes copy digits mine.toml.",
    }


class Data(Group):
    """The commands of `asnn data`, whose argument is often typed in place of `info`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from ...core.text import shell

            ctx.fail(
                f"No such command '{args[0]}'. To look at data: asnn data info {shell(args[0])}"
            )
        return super().resolve_command(ctx, args)
