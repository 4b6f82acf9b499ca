"""The data of a run, found again: for evaluation and for the verification of exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..terminal import console


def read_recipe(run: Any, data_dir: Path | None = None, changes: list[str] | None = None) -> Any:
    """Return the recipe of a run, its data where they are now.

    Args:
        run: the run.
        data_dir: where the data set's files are, if not where they were.
        changes: `data.KEY=VALUE`.

    Raises:
        ConfigError: a change is not of data.
    """
    from ...core.errors import ConfigError
    from ...learning import check_recipe, override, parse_override, read_document

    wanted = [parse_override(text) for text in changes or []]
    wanted += [(["data", "dir"], str(data_dir))] if data_dir else []
    if any(key[0] != "data" for key, _ in wanted):
        raise ConfigError(
            "--set takes keys of data only", why="the rest of a run is as it was trained"
        )
    document, _ = override(read_document(run.config), wanted)
    # The run may come from a machine with other devices; here only its data matter.
    document.get("train", {}).update(device="cpu", precision="float32")
    return check_recipe(document, source=str(run.config))


def load_network(run: Any, recipe: Any) -> Any:
    """Return the network of a run, computed as its recipe wants it.

    A run may come from a machine that could do more: only the reference is insisted on.

    Raises:
        DataError: its weights cannot be read.
    """
    from ...models.layers.spiking import use_kernels
    from ...models.saved import load_model

    model = load_model(run.model)
    use_kernels(model, "reference" if recipe.train.kernels == "reference" else "auto")
    return model


def load_data(recipe: Any, run: Any, model: Any) -> Any:
    """Load the run's data; say so where it is not what the run was trained with.

    Raises:
        DataError: the network cannot have been trained for these data.
    """
    from ...datasets import load_dataset
    from ...models.saved import read_labels

    data = load_dataset(
        recipe.data.name,
        validation=recipe.data.validation,
        test=recipe.data.test,
        limit=recipe.data.limit,
        **recipe.data.options(),
    )
    _compare_fingerprints(data, run)
    _check_fit(data, model, read_labels(run.model))
    return data


def _compare_fingerprints(data: Any, run: Any) -> None:
    from ...core.documents import read_json

    try:
        trained_with = str(read_json(run.environment.read_bytes())["data"]["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if trained_with != data.fingerprint:
        console.note(
            f"warning: the data are not those of the training ({data.fingerprint[:12]}, "
            f"then {trained_with[:12]}); test samples may have been trained on"
        )


def _check_fit(data: Any, model: Any, labels: list[str]) -> None:
    """Refuse data that the network cannot have been trained for."""
    from ...core.errors import DataError

    shape = tuple(model.config["in_shape"])
    remedy = "use data like those of the training, with --data-dir or --set data.path=..."
    if data.in_shape != shape:
        raise DataError(
            f"the images have the shape {data.in_shape}, the network takes {shape}", remedy=remedy
        )
    if data.classes != labels:
        raise DataError(
            "the data have other classes than the network",
            why=f"data: {', '.join(data.classes[:12])}; network: {', '.join(labels[:12])}",
            remedy=remedy,
        )
