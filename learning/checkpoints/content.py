"""What a training state holds: all that decides what comes next.

`model.safetensors` are the weights after N steps, `average.safetensors` their average where the
recipe keeps one, `best.safetensors` the best weights so far, and `state.pt` the optimiser, the
position in the data, the results so far and the recipe, as tensors and plain values only.
What is random is a function of seed, epoch, batch and process, so that no generator needs to be
kept.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from ...core.errors import DataError
from ...core.files import cannot_read, recover, write_bytes
from ...models.saved import model_bytes
from ...records.layout import Run
from ..environment import material
from ..progress import TrainProgress
from ..training import Training
from .storage import CHECKSUMS, Damaged, newest_first, read_state, set_aside, write_state

FORMAT = 2
STATE, MODEL = "state.pt", "model.safetensors"
# Fields of `TrainProgress` that checkpoints of every format call otherwise.
STORED_NAMES = {"epoch_seconds": "open_seconds", "data_wait_seconds": "waited"}
AVERAGE, BEST = "average.safetensors", "best.safetensors"

# What is raised by content that is readable and does not fit.
UNFIT = (
    RuntimeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    ValidationError,
    SafetensorError,
)


def save_checkpoint(training: Training) -> None:
    """Write the training state, and remove all but the last two.

    Raises:
        AsnnError: it cannot be written; what was there stays.
    """
    state = {
        "format": FORMAT,
        "recipe": training.recipe.document(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "position": _stored(training.progress),
        **material(training),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files = {STATE: buffer.getvalue(), MODEL: model_bytes(training.model)}
    if training.average is not None:
        files[AVERAGE] = model_bytes(training.average.model)
    if training.best is not None:
        files[BEST] = training.best
    write_state(training.run.checkpoints, training.progress.step, files)


@dataclass(frozen=True)
class Checkpoint:
    """A training state that is whole.

    Attributes:
        folder: where it lies.
        content: what `state.pt` holds.
        files: contents of the others, by name.
    """

    folder: Path
    content: dict[str, Any]
    files: dict[str, bytes]


def newest_checkpoint(run: Run) -> Checkpoint | None:
    """Return the newest whole training state of a run; None where there is none yet.

    A damaged state is set aside, with a warning, and the one before it is taken.

    Raises:
        DataError: all states are damaged, or the newest is of a newer format, or is as it was
            written and cannot be read all the same.
        AsnnError: a state cannot be read now.
    """
    damage = []
    recover(run.checkpoints)
    for folder in newest_first(run.checkpoints):
        try:
            files = read_state(folder)
            summed = files.pop(CHECKSUMS, None) is not None
            return Checkpoint(folder, _content(folder, files, summed=summed), files)
        except Damaged as fault:
            set_aside(folder, str(fault))
            damage.append(f"{folder.name}: {fault}")
    if damage:
        raise DataError(
            f"no training state of {run.path} is whole",
            why="; ".join(damage),
            remedy=f"train anew: asnn train {run.config}",
        )
    return None


def _content(folder: Path, files: dict[str, bytes], *, summed: bool) -> dict[str, Any]:
    if STATE not in files:
        raise Damaged(f"{STATE} is missing")
    try:
        content = io.BytesIO(files.pop(STATE))
        _require_plain(content)
        state = torch.load(content, weights_only=True, map_location="cpu")
        version = int(state["format"])
    except MemoryError:
        raise
    except Exception as error:  # torch's reader raises what it likes on damaged files
        if summed:
            raise DataError(
                f"{folder / STATE} cannot be read",
                why=_reason(error),
                remedy="environment.json of the run names the versions that wrote it; or remove "
                f"{folder} to go on from the state before it",
            ) from error
        raise Damaged(f"{STATE} cannot be read: {_reason(error)}") from error
    if version >= 2 and not summed:
        raise Damaged(f"{CHECKSUMS} is missing")
    if version > FORMAT:
        raise DataError(
            f"{folder / STATE} has format {version}",
            why=f"this asnn reads formats up to {FORMAT}",
            remedy="install a newer asnn",
        )
    return state


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put a state into what is trained, and its best weights into the run.

    Raises:
        DataError: it does not fit what is trained.
    """
    folder, state, average = checkpoint.folder, checkpoint.content, training.average
    try:
        progress = TypeAdapter(TrainProgress).validate_python(_present(state["position"]))
        if state["format"] < 2:
            _move_times(progress)
        _require_possible(progress, training.batches_per_epoch)
        # Where other processes went on, the last batch may have been too small for so many.
        progress.batch = min(progress.batch, training.batches_per_epoch)
        _require_same_shapes(state["optimizer"], training.optimizer)
        training.model.load_state_dict(_weights(checkpoint.files[MODEL]))
        if average is not None:
            average.model.load_state_dict(_weights(checkpoint.files[AVERAGE]))
        training.optimizer.load_state_dict(state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
    except UNFIT as error:
        raise DataError(
            f"the training state {folder} does not fit the run",
            why=_reason(error),
            remedy="remove that folder to go on from the state before it",
        ) from error
    training.progress = progress
    if progress.best is not None:
        training.best = checkpoint.files.get(BEST) or _read(training.run.model)
        if training.processes.first:
            _put_back(training.best, training.run)


def _stored(progress: TrainProgress) -> dict[str, Any]:
    """Return the fields of a progress by the names that files have."""
    return {STORED_NAMES.get(name, name): value for name, value in asdict(progress).items()}


def _present(stored: Any) -> Any:
    """Return the fields that a file holds by the names that `TrainProgress` has."""
    if not isinstance(stored, dict):
        return stored
    names = {stored: name for name, stored in STORED_NAMES.items()}
    return {names.get(name, name): value for name, value in stored.items()}


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _weights(content: bytes) -> dict[str, Tensor]:
    tensors = safetensors.torch.load(content)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise ValueError("it holds weights that are not finite")
    return tensors


def _move_times(progress: TrainProgress) -> None:
    """Bring the metrics of format 1, which told of times as well, to that of today."""
    for metrics in progress.history:
        seconds = {key: metrics.pop(key) for key in ("seconds", "data_seconds") if key in metrics}
        progress.times.append({"epoch": metrics.get("epoch"), **seconds})
    if progress.best is not None:
        progress.best = {k: v for k, v in progress.best.items() if "seconds" not in k}


def _require_possible(progress: TrainProgress, batches: int) -> None:
    counts = (progress.epoch, progress.batch, progress.step, progress.seen)
    figures = {"epoch", "validation_accuracy", "validation_loss"}
    if (
        min(counts) < 0
        or progress.batch > batches + 1
        or (progress.batch > 0) != (progress.seen > 0)
        or progress.epoch != len(progress.history)
        or (progress.best is None) != (progress.epoch == 0)
        or not figures <= {*(progress.best or figures)}
    ):
        raise ValueError("its position in the training is none that can be")


def _require_plain(content: io.BytesIO) -> None:
    """Refuse a state that would unpack to more than it is, or is made of more than tensors.

    torch packs nothing; and of what it lets a pickle call, `bytearray` makes any size of nothing.
    """
    with zipfile.ZipFile(content) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed")
        for entry in entries:
            if not entry.filename.endswith("/data.pkl"):
                continue
            for code, argument, _ in pickletools.genops(archive.read(entry)):
                if code.name in ("INST", "OBJ", "STACK_GLOBAL") or (
                    code.name == "GLOBAL" and not _is_tensors(str(argument))
                ):
                    raise ValueError(f"it names {argument}, which no training state does")
    content.seek(0)


def _is_tensors(name: str) -> bool:
    """Tell whether a global of a pickle, `module name`, is what torch writes for tensors."""
    return name in ("torch._utils _rebuild_tensor_v2", "collections OrderedDict") or (
        name.startswith("torch ") and name.endswith("Storage")
    )


def _put_back(best: bytes, run: Run) -> None:
    """Let the run have the best weights of a state, should it have lost them or others."""
    try:
        same = run.model.read_bytes() == best
    except OSError:
        same = False
    if not same:
        write_bytes(run.model, best)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error, remedy="restore the file, or its folder") from error


def _require_same_shapes(saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Refuse moments of other shapes than their parameters, which torch takes as they are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in saved["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                raise ValueError(f"{name} of parameter {index} has the shape {tuple(value.shape)}")
