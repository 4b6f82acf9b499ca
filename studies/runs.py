"""A run with its network and data, for benchmarks that take trained runs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from asnn.datasets import DataSet
from asnn.learning.recipe.checking import check_recipe
from asnn.learning.recipe.schema import Recipe, read_document
from asnn.models.network import SpikingNetwork
from asnn.models.saved import load_model
from asnn.records.layout import find_run
from asnn.sweeps.member import load_data


class Trained(NamedTuple):
    """What a run was trained by and with, and what came of it."""

    recipe: Recipe
    data: DataSet
    model: SpikingNetwork


def open_run(path: Path | None, data_dir: Path | None = None) -> Trained:
    """Return the network and the data of a run, the newest by default.

    Raises:
        DataError: there is no such run, or its data are not there.
    """
    run = find_run(path)
    document = read_document(run.config)
    if data_dir is not None:
        document["data"]["dir"] = str(data_dir)
    recipe = check_recipe(document, source=str(run.config))
    return Trained(recipe, load_data(recipe), load_model(run.model))
