"""`asnn bench`: speed and memory of asnn beside its peers."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..terminal import completion, console

if TYPE_CHECKING:
    from ...benchmarks.presets import Preset
    from ...benchmarks.run import Job, TimingOptions

UNEQUAL_WORK = 3  # a comparison that compares nothing: verification failed
DECIDED_BY_PRESET = ["model", "coding", "steps", "batch", "in_shape", "classes", "against"]
DECIDED_BY_PRESET += ["base", "what"]
# `--quick` finds out whether everything runs, in seconds; its figures mean nothing.
DEFAULTS = {"steps": "4", "batch": "64", "in_shape": "3x32x32", "rounds": "7"}
QUICK = {"steps": "2", "batch": "4", "in_shape": "3x8x8", "rounds": "2"}


def bench(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            help="lenet, mlp, ms-resnet18, ms-resnet18-16 or spikformer.",
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
        str, typer.Option(metavar="NAME,NAME...", help="Who is measured beside the base, or all.")
    ] = "all",
    base: Annotated[str, typer.Option(help="Whom the others are compared with.")] = "asnn",
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
        typer.Option(help="Measure peak memory and first call, each in a process of its own."),
    ] = True,
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper or architectures: what asnn promises, and whether this machine sees it."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny shapes, two rounds, no memory: does it run?")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the cost against T.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the JSON to a file."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Measure training steps and inference of asnn beside its peers, interleaved.

    Everyone computes the same network; that is checked before anything is timed. A peer that is
    not installed (pip install 'asnn[bench]') is named as not measured.

    Examples:

    asnn bench

    asnn bench --steps 1,2,4,8,16,32 --batch 1,64,256 --plot cost.png -o cost.json

    asnn bench --coding hybrid --against relu,spikingjelly --what train

    asnn bench --model spikformer --batch 32 --against relu,spikingjelly --what train

    asnn bench --preset paper
    """
    from ...benchmarks.grid import choose, jobs_of
    from ...core.files import write_json

    usual = QUICK if quick else DEFAULTS
    steps = usual["steps"] if steps is None else steps
    batch = usual["batch"] if batch is None else batch
    in_shape = usual["in_shape"] if in_shape is None else in_shape
    chosen = _chosen(context, preset)
    if rounds is None:
        rounds = chosen.rounds if chosen and not quick else int(usual["rounds"])
    memory = memory and not quick
    manner = _manner(rounds, threads, base, quick)
    if chosen:
        jobs, not_asked = chosen.jobs(), {}
        told: dict[str, Any] = {"preset": preset}
    else:
        names, not_asked = choose(against, base)
        told = {"model": model, "coding": coding, "steps": steps, "batch": batch}
        told |= {"in_shape": in_shape, "classes": classes, "what": what}
        jobs = jobs_of(names, **told)
        told |= {"against": ",".join(names), "base": base}
    told |= {"rounds": rounds, "threads": manner.threads}
    if not memory:
        jobs = [replace(job, memory=()) for job in jobs]
    command = " ".join(["asnn bench", *_as_options(told)])
    command += ("" if memory else " --no-memory") + (" --quick" if quick else "")

    result = _measure(jobs, manner, command, not_asked)
    if chosen:
        result["targets"] = [target.as_dict() for target in chosen.targets(result["cases"])]
    if as_json:
        console.print_json(result)
    else:
        _show(result, manner.base)
    if output:
        write_json(output, result)
        console.note(f"results: {output}")
    if plot:
        from ...benchmarks.picture import draw_costs

        draw_costs(plot, result["cases"])
        console.note(f"plot: {plot}")
    if any(case.get("unequal_work") for case in result["cases"]):
        console.note("warning: who does other work is not measured; the comparison is incomplete")
        raise typer.Exit(UNEQUAL_WORK)


def _manner(rounds: int, threads: int | None, base: str, quick: bool) -> TimingOptions:
    import torch

    from ...benchmarks.run import TimingOptions
    from ...measure.timing import VISIT_SECONDS

    visit = 0.0 if quick else VISIT_SECONDS
    return TimingOptions(rounds, threads or torch.get_num_threads(), base, visit=visit)


def _as_options(told: dict[str, Any]) -> list[str]:
    """Return options as they are typed."""
    return [f"--{name.replace('_', '-')} {shlex.quote(str(each))}" for name, each in told.items()]


def _chosen(context: typer.Context, preset: str | None) -> Preset | None:
    """Return the preset that is asked for, and refuse options that it decides."""
    from ...benchmarks.presets import preset_of
    from ...core.errors import ConfigError

    if preset is None:
        return None
    for name in DECIDED_BY_PRESET:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(
                f"--{name.replace('_', '-')} and --preset contradict each other",
                why="a preset decides what is measured",
                remedy="leave one of them out",
            )
    return preset_of(preset)


def _measure(
    jobs: list[Job], manner: TimingOptions, command: str, not_asked: dict[str, str]
) -> dict[str, Any]:
    from ...benchmarks.run import run_job, surroundings

    everyone = {name for job in jobs for name in job.names}
    cases = []
    for i, job in enumerate(jobs, start=1):
        cases.append(
            run_job(job, manner, lambda text, i=i: console.note(f"[{i}/{len(jobs)}] {text}"))
        )
    return {
        "command": command,
        **surroundings(everyone),
        "threads": manner.threads,
        "rounds": manner.rounds,
        "base": manner.base,
        "cases": cases,
        "not_asked": not_asked,
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


def _show_times(title: str, contestants: dict[str, Any], what: str, base: str) -> None:
    timed = {name: each[what] for name, each in contestants.items() if what in each}
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
    any_one = next(iter(timed.values()))
    made, quiet = any_one["rounds_made"], any_one["rounds_quiet"]
    if quiet is not None and quiet < len(any_one["rounds_s"]):
        console.note(
            f"warning: other processes disturbed {made - quiet} of {made} rounds; all are counted"
        )


def _show_memory(title: str, contestants: dict[str, Any]) -> None:
    rows = []
    for name, each in contestants.items():
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
        verdict = {True: "yes", False: "NO", None: "–"}[each["met"]]
        promised = f"{sign} {_figure(each['promised'])}{unit}"
        rows.append([each["what"], promised, measured, spread, verdict])
    console.table("targets", ["", "promised", "measured", "quartiles", "met"], rows)
    for each in targets:
        if each["note"]:
            console.note(f"{each['what']}: {each['note']}")


def _figure(value: float) -> str:
    """Return a figure with three digits, or all of its whole ones."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
