"""The table of `asnn eval --latency`."""

from __future__ import annotations

from typing import Any

from ...terminal import console


def show_latency(found: dict[str, Any]) -> None:
    """Show the latency of one image by each implementation."""
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
                str(way["differing"]),
            ]
        )
        if way["note"]:
            notes.append(f"{name}: {way['note']}")
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    console.table(
        f"time per image at batch 1: {found['images']} images, {threads}",
        ["", "ms", "quartiles", "speed-up", "other classes"],
        rows,
    )
    for note in notes:
        console.note(note)
    if found["quiet"] is not None and found["quiet"] < found["rounds"]:
        console.note(f"{found['quiet']} of {found['rounds']} rounds were undisturbed")
