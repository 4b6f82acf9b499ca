"""From a definition to members whose recipes are all checked before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ..core.errors import AsnnError, ConfigError
from ..learning.recipe.checking import check_recipe
from ..learning.recipe.overrides import override
from ..learning.recipe.schema import Recipe
from ..models.factory import create_model
from .definition import Definition
from .grid import Point, expand, folder_names, shown

MOST_POINTS_TOLD = 3  # for each fault


@dataclass(frozen=True)
class Member:
    """One training of a sweep.

    Attributes:
        name: of its folder.
        place: of its point in the grid.
        point: the varied keys and their values.
        recipe: checked, with the member's seed.
    """

    name: str
    place: int
    point: Point
    recipe: Recipe

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.recipe.train.seed


@dataclass
class Plan:
    """The members of a sweep, the points that are left out and why, and notices for the user."""

    members: list[Member] = field(default_factory=list)
    impossible: list[tuple[Point, list[str]]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def points(self) -> list[Point]:
        """Return the points that are trained, in the grid's order."""
        return list({member.place: member.point for member in self.members}.values())


def make_plan(
    definition: Definition,
    *,
    device: str | None = None,
    finished: Callable[[str], bool] = lambda name: False,
) -> Plan:
    """Return the members of a sweep: the data are there, and every network can be built for them.

    Nothing is trained and nothing written. Data sets that are not on this machine are downloaded,
    once, before processes that train could do so at the same time.

    Args:
        definition: of the sweep.
        device: where to train, instead of the recipe's own device.
        finished: whether the member of a name needs no training, and therefore no data.

    Raises:
        ConfigError: points cannot be trained and are not to be left out, or no point can.
        DataError: data cannot be had.
    """
    plan = Plan()
    points = expand(definition.axes)
    names = folder_names(points)
    recipes: dict[int, Recipe] = {}
    for place, point in enumerate(points):
        try:
            recipes[place], notices = resolve(definition, point, device)
            plan.notices += [text for text in notices if text not in plan.notices]
        except ConfigError as error:
            plan.impossible.append((point, error.why.splitlines() or [str(error)]))
    to_come = {
        place: recipe
        for place, recipe in recipes.items()
        if not all(finished(_member_name(names[place], seed)) for seed in definition.seeds)
    }
    for place, fault in _unfit_for_data(to_come).items():
        plan.impossible.append((points[place], [fault]))
        del recipes[place]
    if plan.impossible and (not definition.skip_impossible or not recipes):
        raise _impossible(plan.impossible, len(points))
    plan.members = [
        Member(
            name=_member_name(names[place], seed),
            place=place,
            point=points[place],
            recipe=with_seed(recipe, seed),
        )
        # All points of one seed before the next: a sweep that is stopped can be compared.
        for seed in definition.seeds
        for place, recipe in recipes.items()
    ]
    return plan


def describe(point: Point) -> str:
    """Return a point as a person reads it."""
    return ", ".join(f"{key}={shown(value)}" for key, value in point) or "the recipe"


def resolve(
    definition: Definition, point: Point, device: str | None = None
) -> tuple[Recipe, list[str]]:
    """Return the checked recipe of a point, with the first of the seeds, and notices for the user.

    Raises:
        ConfigError: it has faults.
    """
    settings = [*definition.changes, *point]
    settings += [("train.device", device)] if device else []
    changed, notices = override(
        definition.document, [(key.split("."), value) for key, value in settings]
    )
    train = changed.setdefault("train", {})
    if isinstance(train, dict):
        train["seed"] = definition.seeds[0]
    return check_recipe(changed, source=f"recipe {definition.source}"), notices


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """Return the recipe with another seed."""
    return dataclasses.replace(recipe, train=recipe.train.model_copy(update={"seed": seed}))


def _member_name(point: str, seed: int) -> str:
    return f"{point},seed={seed}" if point else f"seed={seed}"


def _unfit_for_data(recipes: Mapping[int, Recipe]) -> dict[int, str]:
    """Return which recipes' networks cannot be built for their data, and why."""
    by_data: dict[str, list[int]] = {}
    for place, recipe in recipes.items():
        by_data.setdefault(json.dumps(recipe.data.model_dump(), default=str), []).append(place)
    unfit = {}
    for places in by_data.values():
        loaded = recipes[places[0]].data.load()
        in_shape, classes = loaded.in_shape, len(loaded.classes)
        del loaded  # before the next is loaded
        for place in places:
            arguments = recipes[place].model_arguments()
            try:
                with torch.device("meta"):
                    create_model(**arguments, in_shape=in_shape, classes=classes)
            except AsnnError as error:
                unfit[place] = f"model: {error}"
    return unfit


def _impossible(found: list[tuple[Point, list[str]]], total: int) -> ConfigError:
    by_fault: dict[str, list[str]] = {}
    for point, faults in found:
        for fault in faults:
            by_fault.setdefault(fault, []).append(describe(point))
    lines = []
    for fault, points in by_fault.items():
        if len(points) == total:
            lines.append(fault)
            continue
        more = len(points) - MOST_POINTS_TOLD
        also = f" and {more} more" if more > 0 else ""
        lines.append(f"{'; '.join(points[:MOST_POINTS_TOLD])}{also}: {fault}")
    count = "the only combination" if total == 1 else f"{len(found)} of {total} combinations"
    some = len(found) < total
    return ConfigError(
        f"{count} cannot be trained",
        why="\n".join(lines),
        remedy="--skip-impossible leaves them out"
        if some
        else "`asnn recipes show NAME --all` shows a recipe with all its keys",
    )
