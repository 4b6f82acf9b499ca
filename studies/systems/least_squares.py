"""The least-squares solver of differential equations: agreement, time, and recovered parameters.

    python -m studies.systems.least_squares [--picture FILE]

prints, as Markdown, processor time and error over T beside a dense solver and a recurrent loop,
time constants recovered from noisy membranes, and the coefficients of the Lorenz system.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asnn.datasets.sources.series.lorenz import load_lorenz
from asnn.measure.figures.style import COLOURS, DASHES, MARKERS, style
from asnn.models.neurons.lsq_leaky import LsqLeaky
from asnn.models.ode.equations import normal_equations, right_hand_sides, solve_ode
from asnn.models.ode.terms import Terms

LENGTHS = (256, 1024, 4096, 16384)
MAX_DENSE = 1024
ROUNDS = 5
TAUS = (2.0, 3.0, 5.0, 8.0, 12.0, 17.0, 23.0, 30.0)
NOISE = 0.05
TERMS = ["x0", "x1", "x2", "x0*x1", "x0*x2"]
TRUE = {"σ": 10.0, "ρ": 28.0, "β": 8 / 3}


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.least_squares")
    parser.add_argument("--picture", type=Path, help="where to write the figure of times")
    picture = parser.parse_args().picture
    torch.set_num_threads(1)
    found = times()
    if picture is not None:
        draw(found, picture)
    time_constants()
    lorenz()


def times() -> dict[str, list[tuple[int, float]]]:
    """Print the time of a forward and backward pass of u + τ u' = x, τ = 20, of one neuron."""
    ways: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
        "least squares": (lambda x, tau: membrane(x, tau, "auto"), LENGTHS[-1]),
        "cyclic reduction": (lambda x, tau: membrane(x, tau, "reference"), LENGTHS[-1]),
        "dense solver": (dense_membrane, MAX_DENSE),
        "recurrent loop": (recurrent_membrane, LENGTHS[-1]),
    }
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in ways}
    print("| T | " + " | ".join(f"{name}, ms" for name in ways) + " | error |")
    print("|---:|" + "---:|" * (len(ways) + 1))
    for steps in LENGTHS:
        x = torch.randn(steps, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        cells, error = [], math.nan
        for name, (way, most) in ways.items():
            if steps > most:
                cells.append("")
                continue
            seconds = min(timed(way, x) for _ in range(ROUNDS))
            found[name].append((steps, seconds))
            cells.append(f"{1000 * seconds:.1f}")
        if steps <= MAX_DENSE:
            tau = torch.tensor(20.0, dtype=torch.float64)
            one, other = membrane(x, tau, "auto"), dense_membrane(x, tau)
            error = float((one - other).norm() / other.norm())
        last = "" if math.isnan(error) else f"{error:.0e}"
        print(f"| {steps:,} | " + " | ".join(cells) + f" | {last} |")
    for name in ("least squares", "cyclic reduction"):
        by_steps = dict(found[name])
        print(f"\n{name}, 4,096 over 1,024: {by_steps[4096] / by_steps[1024]:.2f}")
    return found


def timed(way: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> float:
    """Return the processor time of a pass with its gradients."""
    x = x.clone().requires_grad_()
    tau = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    begin = time.process_time()
    way(x, tau).square().sum().backward()
    return time.process_time() - begin


def problem(x: Tensor, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the normal equations of the membrane."""
    c = torch.stack([torch.ones_like(tau), tau]).expand(len(x), 1, 1, 1, 2)
    h = torch.ones(len(x) - 1, 1, dtype=torch.float64)
    return *normal_equations(c, h, (1, 1)), right_hand_sides(c, x.view(-1, 1, 1, 1))


def membrane(x: Tensor, tau: Tensor, kernels: str) -> Tensor:
    """Return u by the solver."""
    c = torch.stack([torch.ones_like(tau), tau]).expand(len(x), 1, 1, 1, 2)
    rest = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    return solve_ode(c, x.view(-1, 1, 1), rest, 1.0, kernels=kernels)[:, 0, 0, 0]  # type: ignore[arg-type]


def dense_membrane(x: Tensor, tau: Tensor) -> Tensor:
    """Return u by one dense system of all steps."""
    diagonal, above, right = problem(x, tau)
    steps, size = diagonal.shape[:2]
    a = torch.zeros(steps, size, steps, size, dtype=torch.float64)
    t = torch.arange(steps)
    a = a.permute(0, 2, 1, 3).clone()
    a[t, t] = diagonal[..., 0]
    a[t[:-1], t[1:]] = above[..., 0]
    a[t[1:], t[:-1]] = above[..., 0].transpose(1, 2)
    matrix = a.permute(0, 2, 1, 3).reshape(steps * size, -1)
    return torch.linalg.solve(matrix, right[:, :, 0].reshape(-1, 1)).view(steps, size)[:, 0]


def recurrent_membrane(x: Tensor, tau: Tensor) -> Tensor:
    """Return the leaky membrane of a loop over the steps, v_t = d v_{t-1} + (1 - d) x_t."""
    decay, v, values = (-1 / tau).exp(), torch.zeros_like(x[0]), []
    for each in x:
        v = decay * v + (1 - decay) * each
        values.append(v)
    return torch.stack(values)


def draw(found: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Draw the times over T."""
    import matplotlib.pyplot as plt

    with style():
        figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
        for i, (name, points) in enumerate(found.items()):
            steps, seconds = zip(*points, strict=True)
            axes.loglog(
                steps, [1000 * each for each in seconds], label=name, color=COLOURS[i],
                marker=MARKERS[i], linestyle=DASHES[i],
            )  # fmt: skip
        axes.set_xticks(LENGTHS, [f"{steps:,}" for steps in LENGTHS])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:g}")  # the style has no formulas, and so no powers
        axes.set_xlabel("time steps T")
        axes.set_ylabel("forward and backward, ms")
        axes.set_title("One neuron: processor time over T")
        axes.legend()
        figure.savefig(path, dpi=150)


def time_constants(steps: int = 400, samples: int = 4) -> None:
    """Print the time constants of eight neurons, recovered from membranes with 5 % noise."""
    random = np.random.default_rng(0)
    spikes = (random.random((steps, samples)) < 0.1).astype(float)
    x = np.zeros((steps, samples))
    for t in range(1, steps):
        x[t] = math.exp(-1 / 5) * x[t - 1] + spikes[t] / 5
    exact = np.zeros((steps, samples, len(TAUS)))
    tau, decay = np.array(TAUS), np.exp(-1 / np.array(TAUS))
    for t in range(1, steps):  # the closed form for x that is linear between the steps
        slope = (x[t] - x[t - 1])[:, None]
        before, now = x[t - 1][:, None], x[t][:, None]
        exact[t] = decay * (exact[t - 1] - before + slope * tau) + now - slope * tau
    deviation = exact.std((0, 1))
    seen = torch.from_numpy(exact + NOISE * deviation * random.standard_normal(exact.shape))
    neuron = LsqLeaky(steps, len(TAUS), tau=10.0, granularity="channel").double()
    current = torch.from_numpy(x).unsqueeze(2).expand(-1, -1, len(TAUS))
    optimizer = torch.optim.LBFGS([neuron.log_tau], max_iter=30, line_search_fn="strong_wolfe")
    size = torch.from_numpy(deviation)

    def loss() -> float:
        optimizer.zero_grad()
        value = ((neuron.membrane(current) - seen) / size).square().mean()
        value.backward()
        return float(value.detach())

    begin = time.process_time()
    optimizer.step(loss)
    spent = time.process_time() - begin
    recovered = neuron.tau.detach().flatten().tolist()
    print("\n| τ | " + " | ".join(f"{each:g}" for each in TAUS) + " |")
    print("|---|" + "---:|" * len(TAUS))
    print("| recovered | " + " | ".join(f"{each:.2f}" for each in recovered) + " |")
    worst = max(abs(a / b - 1) for a, b in zip(recovered, TAUS, strict=True))
    print(f"\nworst {100 * worst:.1f} %, {spent:.1f} s")


def lorenz() -> None:
    """Print the coefficients that least squares of the windows give, over noise, order and terms.

    The solution is linear in the coefficients, so the minimum that a training approaches is that of
    one linear problem.
    """
    print("\n| noise | order | terms | seed | " + " | ".join(TRUE) + " | mse |")
    print("|---:|---:|---|---:|" + "---:|" * 4)
    for noise, order, terms in (
        (0.0, 2, TERMS), (0.0, 3, TERMS), (0.0, 4, TERMS), (0.01, 2, TERMS), (0.05, 2, TERMS),
        (0.0, 2, TERMS[:-1]),
    ):  # fmt: skip
        for seed in range(3) if noise else (0,):
            w, mse = fitted(noise, order, terms, seed)
            found = -w[0, 0], w[1, 0], -w[2, 2]
            row = " | ".join(f"{float(each):.3f}" for each in found)
            kind = "five" if len(terms) == len(TERMS) else "without x0*x2"
            print(f"| {100 * noise:g} % | {order} | {kind} | {seed} | {row} | {mse:.2g} |")


def fitted(noise: float, order: int, terms: list[str], seed: int) -> tuple[Tensor, float]:
    """Return the coefficients of the terms, `[3, K]`, and the mean square of what is left."""
    series = load_lorenz(noise=noise, seed=seed).train.inputs
    assert isinstance(series, Tensor)
    x = series.double().transpose(0, 1)
    sizes = x.square().mean((0, 1)).sqrt().tolist()
    drive = Terms(terms, sizes)
    theta = drive(x)
    c = torch.zeros(len(x), 1, 1, 1, order, dtype=torch.float64)
    c[..., 1] = 1
    # The equations are alike but for their right sides, so each term has one response.
    nothing = torch.zeros(1, x.shape[1], 1, 1, dtype=torch.float64)
    responses = [
        solve_ode(c, theta[..., k : k + 1], nothing, 0.01)[..., 0, 0] for k in range(len(terms))
    ]
    still = torch.zeros(*x.shape[:2], 1, dtype=torch.float64)
    starts = [solve_ode(c, still, x[:1, :, d, None, None], 0.01)[..., 0, 0] for d in range(3)]
    a = torch.stack(responses, 2).flatten(0, 1)
    y = (x - torch.stack(starts, 2)).flatten(0, 1)
    w = torch.linalg.lstsq(a, y).solution
    return (w / drive.scale.double()[:, None]).T, float((a @ w - y).square().mean())


if __name__ == "__main__":
    main()
