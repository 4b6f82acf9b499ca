"""The table of `asnn eval --latency`."""

from __future__ import annotations

from typing import Any

from ...terminal import console


def show_latency(
    found: dict[str, Any], one: str = "image", many: str = "images", *, has_classes: bool = True
) -> None:
    """Show the latency of one sample by each implementation.

    Args:
        found: of `benchmarks.single_image.latency`.
        one, many: the words for one sample and for several.
        has_classes: whether the answer for a sample is one class, which can differ.
    """
    rows, notes = [], []
    for name, way in found["ways"].items():
        if "reason" in way:
            rows.append([name, *[console.UNKNOWN] * 4])
            notes.append(f"{name} is not timed: {way['reason']}")
            continue
        low, high = way["quartiles"]
        rows.append(
            [
                name,
                f"{way['milliseconds']:.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{way['speedup']:.2f}",
                str(way["differing"]) if has_classes else console.UNKNOWN,
            ]
        )
        if way["note"]:
            notes.append(f"{name}: {way['note']}")
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    console.table(
        f"time per {one} at batch 1: {found['images']} {many}, {threads}",
        ["", "ms", "quartiles", "speed-up", "other classes"],
        rows,
    )
    for note in notes:
        console.note(note)
    if found["quiet"] is not None and found["quiet"] < found["rounds"]:
        console.note(f"{found['quiet']} of {found['rounds']} rounds were undisturbed")
