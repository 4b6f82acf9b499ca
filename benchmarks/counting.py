"""What counting costs: `evaluate` with and without it, interleaved.

    python -m asnn.benchmarks.counting RUN [--rounds 7] [--images 2048] [--data-dir DIR]

times the evaluation of a run's network on its first test images, with `count` and without, one
after the other in each round, and prints the median of each and of the ratios within rounds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

from ..core.runs import find_run
from ..datasets.splits import head
from ..learning.checking import check_recipe
from ..learning.recipe import read_document
from ..measure import evaluate
from ..models.saved import load_model
from ..sweeps.member import load_data


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(prog="python -m asnn.benchmarks.counting")
    parser.add_argument("run", type=Path, nargs="?", help="the newest by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--data-dir", type=Path, help="where the data set's files are")
    options = parser.parse_args()
    run = find_run(options.run)
    document = read_document(run.config)
    if options.data_dir is not None:
        document["data"]["dir"] = str(options.data_dir)
    data = load_data(check_recipe(document, source=str(run.config)))
    model, split = load_model(run.model), head(data.test, options.images)

    def seconds(count: bool) -> float:
        begin = time.perf_counter()
        evaluate(model, split, classes=len(data.classes), full_scale=data.full_scale, count=count)
        return time.perf_counter() - begin

    seconds(True)  # kernels are compiled, weights prepared
    rounds = [(seconds(False), seconds(True)) for _ in range(options.rounds)]
    plain, counting = (median(each) for each in zip(*rounds, strict=True))
    ratio = median(counted / alone for alone, counted in rounds)
    print(f"{len(split)} images: plain {plain:.3f} s, counting {counting:.3f} s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
