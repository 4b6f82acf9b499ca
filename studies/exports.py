"""Exports and verifies every kind of network, and times the files.

    python -m studies.exports --data-dir DIR [--samples 1000] [--limit 1000] [--detectors]

trains small networks on Fashion-MNIST (few samples and epochs, since the table shows that files
compute the same, not how good a network is), exports each to ONNX and NIR, verifies both on test
images, and prints a table in Markdown. `--detectors` trains detectors on scattered digits instead,
which need no files. `--speed RUN` times single images instead, in onnxruntime and by `predict`, for
the network of a run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

CODES = ("direct", "temporal", "hybrid", "embedding", "hybrid-embedding")
STEPS = (1, 4, 8)
GRANULARITIES = ("layer", "channel")
MODELS = ("lenet", "mlp")
SPEED_ROUNDS = 7
EPOCHS = 3


def main() -> None:
    """Run the matrix or the timing."""
    parser = argparse.ArgumentParser(prog="python -m studies.exports")
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST")
    parser.add_argument("--samples", type=int, default=1000, help="test images to verify on")
    parser.add_argument("--limit", type=int, default=1000, help="training images")
    parser.add_argument("--detectors", action="store_true", help="networks of boxes instead")
    parser.add_argument("--speed", type=Path, help="time the exports of this run instead")
    options = parser.parse_args()
    if options.speed is not None:
        time_exports(options.speed)
    else:
        found = (
            detectors(options.samples, options.limit)
            if options.detectors
            else classifiers(options.data_dir, options.limit)
        )
        matrix(found, options.samples)


class Case(NamedTuple):
    """A network: the cells that name it, and how it is trained.

    Attributes:
        cells: network, code, T and granularity.
        recipe: its name.
        settings: keys and values that differ from it.
    """

    cells: tuple[str, str, int, str]
    recipe: str
    settings: dict[str, Any]


def classifiers(data_dir: Path | None, limit: int) -> Iterator[Case]:
    """Yield the networks of classes."""
    own: dict[str, Any] = {
        "data.limit": limit,
        "train.epochs": EPOCHS,
        "augment.flip": "false",
    }
    if data_dir is not None:
        own["data.dir"] = data_dir
    for model in MODELS:
        for code in CODES:
            for steps in STEPS:
                if steps == 1 and code.startswith("hybrid"):
                    continue  # it would have an analog step and no spikes
                for granularity in GRANULARITIES:
                    settings = {
                        **own,
                        "model.name": model,
                        "coding.name": code,
                        "coding.steps": steps,
                        "neuron.granularity": granularity,
                    }
                    yield Case((model, code, steps, granularity), "fashion-mnist", settings)


def detectors(samples: int, limit: int) -> Iterator[Case]:
    """Yield the networks of boxes: convolutions over time, and of each step alone."""
    for temporal, granularity in product(("all", "none"), GRANULARITIES):
        settings = {
            "data.samples": limit,
            "data.test_samples": samples,
            "train.epochs": EPOCHS,
            "model.temporal": temporal,
            "neuron.granularity": granularity,
        }
        name = f"spiking-yolo, temporal = {temporal}"
        yield Case((name, "direct", 4, granularity), "detect-digits", settings)


def matrix(cases: Iterator[Case], samples: int) -> None:
    """Print one line for each network; stop at the first file that fails verification."""
    heads = ["network", "code", "T", "granularity", "spikes an image, by layer", "accuracy, %"]
    heads += ["onnx: flips", "logits ±", "nir: flips", "logits ±"]
    print("|", " | ".join(heads), "|")
    print("|" + "---|" * len(heads))
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            flags = [f"--set={key}={value}" for key, value in case.settings.items()]
            _asnn("train", case.recipe, *flags, "--out", str(run))
            cells = []
            for format in ("onnx", "nir"):
                report = _asnn("export", str(run), "--format", format, f"--samples={samples}")
                found = [each for each in report["runtimes"] if each["runtime"] != "torch"]
                flips = sum(sum(map(sum, each["spike_mismatches"].values())) for each in found)
                largest = max(each["greatest_logit_difference"] for each in found)
                cells += [str(flips), f"{largest:.1e}"]
            spikes = ", ".join(f"{n:,.0f}" for n in report["spikes_per_sample"].values())
            accuracy = report["accuracy"].get("graph")  # none of boxes
        shown = "–" if accuracy is None else f"{100 * accuracy:.1f}"
        row = [*map(str, case.cells), spikes, shown, *cells]
        print("|", " | ".join(row), "|", flush=True)


def _asnn(verb: str, *arguments: str) -> dict[str, Any]:
    """Run a command with --json and return its output."""
    command = [sys.executable, "-m", "asnn.cli", verb, *arguments, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}\n{ended.stderr}")
    return json.loads(ended.stdout)


def time_exports(path: Path) -> None:
    """Print the time of a single image: onnxruntime, `predict`, and eager torch."""
    import numpy as np
    import torch

    from asnn.exporters import export_onnx, source_of
    from asnn.exporters.onnx.runtime import OnnxSession
    from asnn.measure.timing import interleave, warm_up
    from asnn.models.layers.spiking import use_kernels
    from asnn.records.open_run import open_run

    run = open_run(path)
    model = run.load_model()
    image = torch.rand(1, *model.config["in_shape"])
    array = np.ascontiguousarray(image.numpy())
    reference = run.load_model()
    use_kernels(reference, "reference")
    calls: dict[str, Any] = {
        "predict (fused)": lambda: model.predict(image),
        "predict (reference)": lambda: reference.predict(image),
    }
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for weights in ("fp32", "fp16", "int8"):
            source = source_of(run.load_model())
            file = Path(folder) / f"{weights}.onnx"
            export_onnx(source, file, samples=None, weights=weights)
            session = OnnxSession(file, threads=torch.get_num_threads())
            sizes[f"onnxruntime, {weights}"] = file.stat().st_size
            calls[f"onnxruntime, {weights}"] = lambda s=session: s.run({"image": array})
        warm = {name: warm_up(call) for name, call in calls.items()}
        found = interleave(calls, warm, rounds=SPEED_ROUNDS)
    base = "predict (reference)"
    print("| one image | ms | speed-up over predict (reference) | quartiles | file, kB |")
    print("|---|---|---|---|---|")
    for name in calls:
        took, ratio = found.spread(name), found.ratio(base, name)
        size = f"{sizes[name] / 1000:,.1f}" if name in sizes else ""
        print(
            f"| {name} | {1000 * took.median:.3f} | {ratio.median:.2f} "
            f"| {ratio.low:.2f} to {ratio.high:.2f} | {size} |"
        )


if __name__ == "__main__":
    main()
