"""The cases of `asnn bench --preset paper` on small images, in small batches of few steps."""

from dataclasses import replace

from asnn.benchmarks import targets

# The number of steps tells apart the cases that differ in nothing else.
STEPS = {"PAPER": 2, "HYBRID": 2, "SINGLE": 2, "SHORT": 3, "LONG": 4}


def make_paper_small(monkeypatch) -> None:
    """Replace the cases for one test."""
    for name, steps in STEPS.items():
        case = getattr(targets, name)
        small = replace(case, in_shape=(1, 8, 8), steps=steps, batch=min(case.batch, 2))
        monkeypatch.setattr(targets, name, small)
