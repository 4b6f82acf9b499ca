"""The content of a checkpoint: everything on which the rest of the training depends.

`model.safetensors` holds the weights after N steps, `average.safetensors` their average (with
`train.ema`), `best.safetensors` the best weights so far, and `state.pt` the optimizer, the progress
and the recipe, as tensors and plain values. Random numbers are a function of seed, epoch, batch and
process, so no state of a generator is saved.
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from ...core.errors import DataError
from ...core.files import cannot_read, recover, write_bytes
from ...core.reading import MAX_WEIGHTS, read_regular
from ...core.text import shell
from ...models.saved import model_bytes
from ...records.layout import Run, require_own_weights
from ..environment import inputs
from ..progress import TrainProgress
from ..stages import has_result
from ..training import CONVERSION, Training, begin_stage
from .storage import (
    CHECKSUMS,
    Damaged,
    newest_first,
    quarantine,
    read_checkpoint,
    write_checkpoint,
)

FORMAT = 2
STATE, MODEL = "state.pt", "model.safetensors"
AVERAGE, BEST = "average.safetensors", "best.safetensors"
# Fields of `TrainProgress` that have other names in files.
STORED_NAMES = {"epoch_seconds": "open_seconds", "data_wait_seconds": "waited", "score": "correct"}

# Raised when the content can be read but does not fit the training.
MISMATCH_ERRORS = (
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
    """Write a checkpoint, and remove all but the last two.

    Raises:
        AsnnError: it cannot be written; earlier checkpoints are kept.
    """
    state = {
        "format": FORMAT,
        "recipe": training.recipe.document(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        "method": training.method.state(),
        # A conversion trains nothing: no stage of the method has begun.
        "begun": training.stage is not CONVERSION,
        "position": _to_stored(training.progress),
        **inputs(training),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files = {STATE: buffer.getvalue(), MODEL: model_bytes(training.model)}
    if training.average is not None:
        files[AVERAGE] = model_bytes(training.average.model)
    if training.best is not None:
        files[BEST] = training.best
    write_checkpoint(training.run.checkpoints, training.progress.step, files)


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint.

    Attributes:
        folder: its path.
        content: of `state.pt`.
        files: contents of the other files, by name.
    """

    folder: Path
    content: dict[str, Any]
    files: dict[str, bytes]


def newest_checkpoint(run: Run) -> Checkpoint | None:
    """Return the newest valid checkpoint of a run, None if there is none yet.

    A damaged checkpoint is quarantined, with a warning, and the one before it is tried.

    Raises:
        DataError: all checkpoints are damaged, or the newest has a newer format, or has correct
            checksums and cannot be read.
        AsnnError: a checkpoint cannot be read at the moment.
    """
    damage = []
    recover(run.checkpoints)
    for folder in newest_first(run.checkpoints):
        try:
            files = read_checkpoint(folder)
            summed = files.pop(CHECKSUMS, None) is not None
            return Checkpoint(folder, _content(folder, files, summed=summed), files)
        except Damaged as fault:
            quarantine(folder, str(fault))
            damage.append(f"{folder.name}: {fault}")
    if damage:
        raise DataError(
            f"no checkpoint of {run.path} is valid",
            why="; ".join(damage),
            remedy=f"train anew: asnn train {shell(run.config)}",
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
    except Exception as error:  # torch.load raises many types on damaged files
        if summed:
            raise DataError(
                f"{folder / STATE} cannot be read",
                why=_reason(error),
                remedy="environment.json of the run names the versions that wrote it; or remove "
                f"{folder} to resume from the checkpoint before it",
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
    """Restore a training from a checkpoint, and `model.safetensors` of the run.

    Raises:
        DataError: the checkpoint does not fit the training.
    """
    folder, state = checkpoint.folder, checkpoint.content
    try:
        progress = TypeAdapter(TrainProgress).validate_python(_from_stored(state["position"]))
        if state["format"] < 2:
            _upgrade_format_1(progress)
        _require_consistent(progress, training.batches_per_epoch, training.task.primary.name)
        if "stage" not in state["position"]:  # of a version that knew one stage only
            progress.stage_epoch, progress.stage_step = progress.epoch, progress.step
        # With more processes than before, the last batch may be too small and left out.
        progress.batch = min(progress.batch, training.batches_per_epoch)
        _load(training.model, checkpoint.files[MODEL])
        training.best = checkpoint.files.get(BEST)
        # A stage that has not begun has no optimizer yet; the first one begins with the training.
        has_begun = progress.stage == 0 or progress.stage_step > 0 or progress.batch > 0
        has_begun = has_begun and (state.get("begun", True) or training.stage is CONVERSION)
        if not has_begun:
            training.method.restore(state["method"])
        training.progress = progress
        begin_stage(training)
        if has_begun:
            # Not before the stage begins again, which may set the state of the method.
            training.method.restore(state.get("method", {}))
            _require_same_shapes(state["optimizer"], training.optimizer)
            _load(training.model, checkpoint.files[MODEL])
            if training.average is not None:
                _load(training.average.model, checkpoint.files[AVERAGE])
            training.optimizer.load_state_dict(state["optimizer"])
        training.scaler.load_state_dict(state["scaler"])
        training.start = state.get("start")
    except MISMATCH_ERRORS as error:
        raise DataError(
            f"the checkpoint {folder} does not fit the run",
            why=_reason(error),
            remedy="remove that folder to resume from the checkpoint before it",
        ) from error
    if progress.best is not None:
        training.best = checkpoint.files.get(BEST) or _read(training.run.model)
        if training.processes.first and has_result(training):
            _restore_best(training.best, training.run)


def _to_stored(progress: TrainProgress) -> dict[str, Any]:
    """Return the fields of `progress` by their names in files."""
    return {STORED_NAMES.get(name, name): value for name, value in asdict(progress).items()}


def _from_stored(fields: Any) -> Any:
    """Return the fields of a file by their names in `TrainProgress`."""
    if not isinstance(fields, dict):
        return fields  # refused with the other mismatches
    names = {stored: name for name, stored in STORED_NAMES.items()}
    return {names.get(name, name): value for name, value in fields.items()}


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _load(model: nn.Module, content: bytes) -> None:
    """Load the weights in a file.

    Raises:
        SafetensorError, ValueError, RuntimeError: they do not fit the model, or are not finite.
    """
    tensors = safetensors.torch.load(content)
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise ValueError("it holds weights that are not finite")
    for name, value in model.state_dict().items():
        if name in tensors and tensors[name].dtype != value.dtype:
            raise ValueError(f"{name} has the type {tensors[name].dtype}, not {value.dtype}")
    model.load_state_dict(tensors)


def _upgrade_format_1(progress: TrainProgress) -> None:
    """Move the times out of the metrics, where format 1 had them."""
    for metrics in progress.history:
        seconds = {key: metrics.pop(key) for key in ("seconds", "data_seconds") if key in metrics}
        progress.times.append({"epoch": metrics.get("epoch"), **seconds})
    if progress.best is not None:
        progress.best = {k: v for k, v in progress.best.items() if "seconds" not in k}


def _require_consistent(progress: TrainProgress, batches: int, primary: str) -> None:
    counts = (progress.epoch, progress.batch, progress.step, progress.seen)
    keys = {"epoch", f"validation_{primary}", "validation_loss"}
    if (
        min(counts) < 0
        or progress.batch > batches + 1
        or (progress.batch > 0) != (progress.seen > 0)
        or progress.epoch != sum(metrics.get("epoch") != 0 for metrics in progress.history)
        or (progress.best is None) != (not progress.history)
        or not keys <= {*(progress.best or keys)}
    ):
        raise ValueError("its position in the training is impossible")


def _require_plain(content: io.BytesIO) -> None:
    """Refuse a `state.pt` that is compressed, or whose pickle names more than tensors.

    torch.save does not compress. Of the functions that torch.load allows a pickle to call,
    `bytearray` allocates any size from a few bytes.
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
                    raise ValueError(f"it names {argument}, which no checkpoint does")
    content.seek(0)


def _is_tensors(name: str) -> bool:
    """Return whether a global of a pickle, `module name`, is one that torch writes for tensors."""
    return name in ("torch._utils _rebuild_tensor_v2", "collections OrderedDict") or (
        name.startswith("torch ") and name.endswith("Storage")
    )


def _restore_best(best: bytes, run: Run) -> None:
    """Write the best weights of a checkpoint to the run, unless it has the same; warn if what it
    has was not written by the training."""
    try:
        found = read_regular(run.model, max_size=MAX_WEIGHTS)
        if found == best:
            return
        require_own_weights(run.model, found)
    except DataError as error:
        warnings.warn(f"{error.what}: restored from the checkpoint", stacklevel=4)
    except (OSError, ValueError):
        pass
    write_bytes(run.model, best)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, max_size=MAX_WEIGHTS)
    except OSError as error:
        raise cannot_read(path, error, remedy="restore the file, or its folder") from error
    except ValueError as error:
        raise DataError(f"{path} cannot be read", why=str(error)) from error


def _require_same_shapes(saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Refuse optimizer states of other shapes than their parameters: torch does not check."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in saved["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                raise ValueError(f"{name} of parameter {index} has the shape {tuple(value.shape)}")
