"""Every kind of network exported and verified, and how fast the files run.

    python -m studies.exports --data-dir DIR [--samples 1000] [--limit 1000]

trains small networks on Fashion-MNIST (few samples and epochs: what is tested is that files
compute the same, not how good a network is), exports each to ONNX and NIR, verifies both on test
images, and prints a table in Markdown. `--speed RUN` times one run instead: a single image in
onnxruntime and by `predict`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    parser.add_argument("--speed", type=Path, help="time the exports of this run instead")
    options = parser.parse_args()
    if options.speed is not None:
        time_exports(options.speed)
    else:
        matrix(options.data_dir, options.samples, options.limit)


def cases() -> Iterator[tuple[str, str, int, str]]:
    """Give model, code, steps and granularity of every network."""
    for model in MODELS:
        for code in CODES:
            for steps in STEPS:
                if steps == 1 and code.startswith("hybrid"):
                    continue  # an analog step and no spikes
                for granularity in GRANULARITIES:
                    yield model, code, steps, granularity


def matrix(data_dir: Path | None, samples: int, limit: int) -> None:
    """Print one line for each network; end at a file that was not verified."""
    heads = ["network", "code", "T", "granularity", "spikes an image, by layer", "accuracy, %"]
    heads += ["onnx: flips", "logits ±", "nir: flips", "logits ±"]
    print("|", " | ".join(heads), "|")
    print("|" + "---|" * len(heads))
    for model, code, steps, granularity in cases():
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            settings = {
                "data.limit": limit,
                "model.name": model,
                "coding.name": code,
                "coding.steps": steps,
                "neuron.granularity": granularity,
                "train.epochs": EPOCHS,
                "augment.flip": "false",
            }
            if data_dir is not None:
                settings["data.dir"] = data_dir
            flags = [f"--set={key}={value}" for key, value in settings.items()]
            _asnn("train", "fashion-mnist", *flags, "--out", str(run))
            cells = []
            for format in ("onnx", "nir"):
                report = _asnn("export", str(run), "--format", format, f"--samples={samples}")
                found = [each for each in report["runtimes"] if each["runtime"] != "torch"]
                flips = sum(sum(map(sum, each["spike_mismatches"].values())) for each in found)
                worst = max(each["greatest_logit_difference"] for each in found)
                cells += [str(flips), f"{worst:.1e}"]
            spikes = ", ".join(f"{n:,.0f}" for n in report["spikes_per_sample"].values())
            accuracy = f"{100 * report['accuracy']['graph']:.1f}"
        row = [model, code, str(steps), granularity, spikes, accuracy, *cells]
        print("|", " | ".join(row), "|", flush=True)


def _asnn(verb: str, *arguments: str) -> dict[str, Any]:
    """Run a command and return what it prints as JSON."""
    command = [sys.executable, "-m", "asnn.cli", verb, *arguments, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}\n{ended.stderr}")
    return json.loads(ended.stdout)


def time_exports(path: Path) -> None:
    """Print the time of one image at a time: onnxruntime, `predict`, and plain eager torch."""
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
            subject = source_of(run.load_model())
            to = Path(folder) / f"{weights}.onnx"
            export_onnx(subject, to, samples=None, weights=weights)
            session = OnnxSession(to, threads=torch.get_num_threads())
            sizes[f"onnxruntime, {weights}"] = to.stat().st_size
            calls[f"onnxruntime, {weights}"] = lambda s=session: s.run({"image": array})
        warm = {name: warm_up(call) for name, call in calls.items()}
        found = interleave(calls, warm, rounds=SPEED_ROUNDS)
    base = "predict (reference)"
    print("| one image | ms | times faster than predict (reference) | quartiles | file, kB |")
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
