"""Training states: what a training needs to go on as if it had never stopped.

A state is the folder `checkpoints/step-N/` with `model.safetensors` (the weights after N steps),
`average.safetensors` where the recipe averages them, and `state.pt` (optimiser, position, best
result, history), tensors and plain values only.
What is random is a function of seed, epoch and batch, so that no generator needs to be kept.
"""

from __future__ import annotations

import io
import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..core.errors import DataError
from ..core.files import whole_folder, write_bytes
from ..core.runs import Run
from ..models.network import SpikingNetwork
from ..models.saved import load_model, save_model

FORMAT = 1
KEPT = 2


@dataclass
class Position:
    """How far a training has come.

    Attributes:
        epoch: epochs that are complete.
        batch: batches that are complete in the epoch after those.
        step: optimisation steps in all.
        loss, correct, seen: sums over the batches of the open epoch.
        seconds: time spent training, over all sittings.
        best: metrics of the epoch with the best validation accuracy.
        history: metrics of all complete epochs.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def close_epoch(self) -> None:
        """Count the open epoch as complete and begin the next."""
        self.epoch += 1
        self.batch, self.loss, self.correct, self.seen = 0, 0.0, 0.0, 0


def save_checkpoint(
    run: Run,
    model: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    position: Position,
    *,
    average: SpikingNetwork | None = None,
) -> None:
    """Write the training state, and remove all but the last two.

    Raises:
        AsnnError: it cannot be written; what was there stays.
    """
    state = {
        "format": FORMAT,
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "position": asdict(position),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with whole_folder(run.checkpoints / f"step-{position.step}") as folder:
        save_model(folder / "model.safetensors", model)
        if average is not None:
            save_model(folder / "average.safetensors", average)
        write_bytes(folder / "state.pt", buffer.getvalue())
    # What a kill in the middle of a save has left behind is of no use to anybody.
    stale = [path for path in run.checkpoints.glob(".step-*") if path.is_dir()]
    for old in [*_newest_first(run)[KEPT:], *stale]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    run: Run,
    model: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    *,
    average: SpikingNetwork | None = None,
) -> Position:
    """Put the newest training state of a run into what is trained; tell how far it is.

    A run without a state begins anew.

    Raises:
        DataError: the state is damaged, of a newer format, or of another kind of weight decay.
    """
    states = _newest_first(run)
    if not states:
        return Position()
    path = states[0] / "state.pt"
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state["format"] > FORMAT:
            raise DataError(
                f"{path} has format {state['format']}",
                why=f"this asnn reads formats up to {FORMAT}",
                remedy="install a newer asnn",
            )
        _require_same_groups(run, path, state["optimizer"], optimizer)
        model.load_state_dict(load_model(states[0] / "model.safetensors").state_dict())
        if average is not None:
            average.load_state_dict(load_model(states[0] / "average.safetensors").state_dict())
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        return Position(**state["position"])
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
        pickle.UnpicklingError,
    ) as e:
        raise DataError(
            f"the training state {path} cannot be read",
            why=str(e).splitlines()[0] if str(e) else type(e).__name__,
            remedy=f"remove the folder {states[0]} to go on from the state before it",
        ) from e


def _require_same_groups(
    run: Run, path: Path, saved: dict[str, Any], optimizer: torch.optim.Optimizer
) -> None:
    """Refuse the state of a run that began before weights and other parameters were told apart."""
    if len(saved["param_groups"]) < len(optimizer.param_groups):
        raise DataError(
            f"the training state {path} has one weight decay for all parameters",
            why="the run began when norms, biases and neurons decayed as well",
            remedy=f"set decay_all = true under [train] in {run.config}",
        )


def _newest_first(run: Run) -> list[Path]:
    found = [path for path in run.checkpoints.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)
