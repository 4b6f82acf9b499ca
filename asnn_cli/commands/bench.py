"""`asnn bench`: speed and memory of asnn compared with other libraries."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..terminal import completion, console, options

if TYPE_CHECKING:
    from ...benchmarks.presets import Preset
    from ...benchmarks.run import Job, TimingOptions

UNEQUAL_WORK = 3  # exit code: a baseline does not compute the same network
SET_BY_PRESET = ["model", "coding", "steps", "batch", "in_shape", "classes", "against"]
SET_BY_PRESET += ["base", "what"]
# `--quick` checks in seconds that everything runs; its figures mean nothing.
DEFAULTS = {"steps": "4", "batch": "64", "in_shape": "3x32x32", "rounds": "7"}
QUICK = {"steps": "2", "batch": "4", "in_shape": "3x8x8", "rounds": "2"}


def bench(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            help="lenet, lenet-16-32, mlp, ms-resnet18, ms-resnet18-16 or spikformer.",
            autocompletion=completion.one_of(*completion.BENCH_MODELS),
        ),
    ] = "lenet",
    coding: Annotated[
        str, typer.Option(help="Name of the code.", autocompletion=completion.codes)
    ] = "direct",
    steps: Annotated[
        str | None, typer.Option(metavar="T,T...", help="Time steps.", show_default="4")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="B,B...", help="Images in a batch.", show_default="64")
    ] = None,
    in_shape: Annotated[
        str | None, typer.Option(metavar="CxHxW", help="Shape of an image.", show_default="3x32x32")
    ] = None,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 100,
    against: Annotated[
        str, typer.Option(metavar="NAME,NAME...", help="Baselines to measure, or all.")
    ] = "all",
    base: Annotated[str, typer.Option(help="The baseline that times are relative to.")] = "asnn",
    what: Annotated[str, typer.Option(help="train, inference or both.")] = "both",
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Interleaved rounds of each case.", show_default="7, or the preset's"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch.", show_default="torch's own")
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(help="Measure peak memory and first call, each in a separate process."),
    ] = True,
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper, architectures or temporal: the targets of asnn, and whether this machine "
            "meets them."
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Tiny shapes, two rounds, no memory: a quick check."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the cost against T, or as bars for one T. A .png, .svg or .pdf file.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the JSON to a file."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure training steps and inference of asnn and other libraries in interleaved rounds.

    All compute the same network, which is checked before anything is timed. A library that is not
    installed (pip install 'asnn[bench]') is listed as not measured.

    Examples:

    asnn bench

    asnn bench --steps 1,2,4,8,16,32 --batch 1,64,256 --plot cost.png -o cost.json

    asnn bench --coding hybrid --against relu,spikingjelly --what train

    asnn bench --model spikformer --batch 32 --against relu,spikingjelly --what train

    asnn bench --preset paper
    """
    from ...benchmarks.grid import choose, jobs_of
    from ...core.files import write_json
    from ...core.packages import require_package
    from ...measure.figures.files import figure_format

    if plot:
        require_package("matplotlib", "a picture")
        figure_format(plot)  # now, not after minutes of measuring
    defaults = QUICK if quick else DEFAULTS
    steps = defaults["steps"] if steps is None else steps
    batch = defaults["batch"] if batch is None else batch
    in_shape = defaults["in_shape"] if in_shape is None else in_shape
    chosen = _read_preset(context, preset)
    if rounds is None:
        rounds = chosen.rounds if chosen and not quick else int(defaults["rounds"])
    memory = memory and not quick
    timing = _timing_options(rounds, threads, base, quick)
    if chosen:
        jobs, left_out = chosen.jobs(), {}
        options: dict[str, Any] = {"preset": preset}
    else:
        names, left_out = choose(against, base)
        options = {"model": model, "coding": coding, "steps": steps, "batch": batch}
        options |= {"in_shape": in_shape, "classes": classes, "what": what}
        jobs = jobs_of(names, **options)
        options |= {"against": ",".join(names), "base": base}
    options |= {"rounds": rounds, "threads": timing.threads}
    if not memory:
        jobs = [replace(job, memory=()) for job in jobs]
    command = " ".join(["asnn bench", *_as_words(options)])
    command += ("" if memory else " --no-memory") + (" --quick" if quick else "")

    result = _measure(jobs, timing, command, left_out)
    if chosen:
        result["targets"] = [target.as_dict() for target in chosen.targets(result["cases"])]
    if as_json:
        console.print_json(result)
    else:
        _show(result, timing.base)
    if output:
        write_json(output, result)
        console.note(f"results: {output}")
    if plot:
        from ...benchmarks.figure import draw_costs

        draw_costs(plot, result["cases"])
        console.note(f"plot: {plot}")
    if any(case.get("unequal_work") for case in result["cases"]):
        console.note("warning: baselines that compute something else are not measured")
        raise typer.Exit(UNEQUAL_WORK)


def _timing_options(rounds: int, threads: int | None, base: str, quick: bool) -> TimingOptions:
    import torch

    from ...benchmarks.run import TimingOptions
    from ...measure.timing import VISIT_SECONDS

    visit = 0.0 if quick else VISIT_SECONDS
    return TimingOptions(rounds, threads or torch.get_num_threads(), base, visit=visit)


def _as_words(options: dict[str, Any]) -> list[str]:
    """Return options as on a command line."""
    return [f"--{name.replace('_', '-')} {shlex.quote(str(v))}" for name, v in options.items()]


def _read_preset(context: typer.Context, preset: str | None) -> Preset | None:
    """Return the preset, and refuse options that it sets.

    Raises:
        ConfigError: there is no such preset, or an option contradicts it.
    """
    from ...benchmarks.presets import preset_of
    from ...core.errors import ConfigError

    if preset is None:
        return None
    for name in SET_BY_PRESET:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(
                f"--{name.replace('_', '-')} and --preset contradict each other",
                why="the preset sets it",
                remedy="leave one of them out",
            )
    return preset_of(preset)


def _measure(
    jobs: list[Job], timing: TimingOptions, command: str, left_out: dict[str, str]
) -> dict[str, Any]:
    from ...benchmarks.run import environment, run_job

    names = {name for job in jobs for name in job.names}
    cases = []
    for i, job in enumerate(jobs, start=1):
        cases.append(
            run_job(job, timing, lambda text, i=i: console.note(f"[{i}/{len(jobs)}] {text}"))
        )
    return {
        "command": command,
        **environment(names),
        "threads": timing.threads,
        "rounds": timing.rounds,
        "base": timing.base,
        "cases": cases,
        "not_asked": left_out,
    }


def _show(result: dict[str, Any], base: str) -> None:
    from ...benchmarks.case import Case

    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    console.note(f"{machine['processor']}, {machine['cores']} cores, {machine['platform']}")
    console.note(f"threads: {result['threads']}, Python {machine['python']}, {versions}")
    for case in result["cases"]:
        title = str(Case.from_dict(case["case"]))
        for what, heading in (("train", "training step"), ("inference", "inference")):
            _show_times(f"{title}: {heading}", case["contestants"], what, base)
        _show_memory(f"{title}: memory and first call", case["contestants"])
        for each in case["not_measured"]:
            part = "" if each["part"] == "all" else f" ({each['part']})"
            console.note(f"not measured: {each['contestant']}{part}: {each['why']}")
    for name, why in result["not_asked"].items():
        console.note(f"not measured: {name}: {why}")
    if "targets" in result:
        _show_targets(result["targets"])
    console.note(f"made with: {result['command']}")


def _show_times(title: str, baselines: dict[str, Any], what: str, base: str) -> None:
    timed = {name: each[what] for name, each in baselines.items() if what in each}
    if not timed:
        return
    rows = []
    for name, each in timed.items():
        seconds, ratio = each["seconds"], each["ratio"]
        row = [name, _figure(1e3 * seconds["median"])]
        row.append(f"{_figure(1e3 * seconds['low'])}–{_figure(1e3 * seconds['high'])}")
        row.append(f"{ratio['median']:.2f}" if ratio else "–")
        row.append(f"{ratio['low']:.2f}–{ratio['high']:.2f}" if ratio else "–")
        rows.append([*row, _figure(each["samples_per_second"])])
    heads = ["", "ms", "quartiles", f"× {base}", "quartiles", "images/s"]
    console.table(title, heads, rows)
    first = next(iter(timed.values()))  # the rounds of all are the same
    made, quiet = first["rounds_made"], first["rounds_quiet"]
    if quiet is not None and quiet < len(first["rounds_s"]):
        console.note(
            f"warning: other processes disturbed {made - quiet} of {made} rounds; all are counted"
        )


def _show_memory(title: str, baselines: dict[str, Any]) -> None:
    rows = []
    for name, each in baselines.items():
        if "memory" in each:
            found = each["memory"]
            growth, warm = found["peak_growth"], found["warm_first_call_seconds"]
            rows.append(
                [
                    name,
                    "–" if growth is None else _figure(growth / 1e6),
                    _figure(found["build_seconds"]),
                    _figure(found["first_call_seconds"]),
                    "–" if warm is None else _figure(warm),
                ]
            )
    if rows:
        heads = ["", "peak MB", "build s", "first call s", "with cache s"]
        console.table(title, heads, rows)


def _show_targets(targets: list[dict[str, Any]]) -> None:
    rows = []
    for each in targets:
        sign = "≥" if each["bound"] == "at least" else "≤"
        unit = "" if each["unit"] == "×" else f" {each['unit']}"
        measured = "–" if each["measured"] is None else f"{_figure(each['measured'])}{unit}"
        spread = f"{each['spread'][0]:.2f}–{each['spread'][1]:.2f}" if each["spread"] else ""
        met = {True: "yes", False: "NO", None: "–"}[each["met"]]
        target = f"{sign} {_figure(each['promised'])}{unit}"
        rows.append([each["what"], target, measured, spread, met])
    console.table("targets", ["", "target", "measured", "quartiles", "met"], rows)
    for each in targets:
        if each["note"]:
            console.note(f"{each['what']}: {each['note']}")


def _figure(value: float) -> str:
    """Return a number with three digits, or with all digits before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
