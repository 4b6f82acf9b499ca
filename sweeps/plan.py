"""The plan of a sweep: its members, with recipes that are checked before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ..core.errors import AsnnError, ConfigError
from ..core.metric import ACCURACY, Metric
from ..learning.recipe.checking import check_recipe
from ..learning.recipe.overrides import override
from ..learning.recipe.schema import Recipe
from ..models.factory import create_model
from .definition import Definition
from .grid import Point, display, expand, folder_names

MAX_POINTS_SHOWN = 3  # for each fault


@dataclass(frozen=True)
class Member:
    """One training of a sweep.

    Attributes:
        name: of its folder.
        index: of its point in the grid.
        point: the varied keys and their values.
        recipe: checked, with the member's seed.
    """

    name: str
    index: int
    point: Point
    recipe: Recipe

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.recipe.train.seed


@dataclass
class Plan:
    """The members of a sweep, the points left out with their faults, and notices for the user.

    `metric` is the primary metric of their task, which is compared.
    """

    members: list[Member] = field(default_factory=list)
    impossible: list[tuple[Point, list[str]]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    metric: Metric = ACCURACY

    def points(self) -> list[Point]:
        """Return the points that are trained, in the grid's order."""
        return list({member.index: member.point for member in self.members}.values())


def make_plan(
    definition: Definition,
    *,
    device: str | None = None,
    finished: Callable[[str], bool] = lambda name: False,
) -> Plan:
    """Return the plan of a sweep, after checking that data exist and every network can be built.

    Nothing is trained or written. Missing data sets are downloaded here, once, and not by several
    training processes at the same time.

    Args:
        definition: of the sweep.
        device: for training, instead of the recipe's own.
        finished: whether the member of a name is finished and does not need its data.

    Raises:
        ConfigError: a point cannot be trained and is not to be skipped, or no point can; or the
            points have different primary metrics.
        DataError: data cannot be loaded.
    """
    plan = Plan()
    points = expand(definition.axes)
    names = folder_names(points)
    recipes: dict[int, Recipe] = {}
    for index, point in enumerate(points):
        try:
            recipes[index], notices = resolve(definition, point, device)
            plan.notices += [text for text in notices if text not in plan.notices]
        except ConfigError as error:
            plan.impossible.append((point, error.why.splitlines() or [str(error)]))
    unfinished = {
        index: recipe
        for index, recipe in recipes.items()
        if not all(finished(_member_name(names[index], seed)) for seed in definition.seeds)
    }
    unfit, metrics = _fit_to_data(unfinished)
    for index, fault in unfit.items():
        plan.impossible.append((points[index], [fault]))
        del recipes[index]
    plan.metric = _one_metric({describe(points[index]): each for index, each in metrics.items()})
    if plan.impossible and (not definition.skip_impossible or not recipes):
        raise _impossible(plan.impossible, len(points))
    plan.members = [
        Member(
            name=_member_name(names[index], seed),
            index=index,
            point=points[index],
            recipe=with_seed(recipe, seed),
        )
        # All points of one seed before the next, so that a stopped sweep can be compared.
        for seed in definition.seeds
        for index, recipe in recipes.items()
    ]
    return plan


def describe(point: Point) -> str:
    """Return a point as text."""
    return ", ".join(f"{key}={display(value)}" for key, value in point) or "the recipe"


def resolve(
    definition: Definition, point: Point, device: str | None = None
) -> tuple[Recipe, list[str]]:
    """Return the checked recipe of a point with the first seed, and notices for the user.

    Raises:
        ConfigError: the recipe has faults.
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


def _fit_to_data(recipes: Mapping[int, Recipe]) -> tuple[dict[int, str], dict[int, Metric]]:
    """Return the faults of recipes whose network cannot be built for their data, and the primary
    metrics of the others."""
    by_data: dict[str, list[int]] = {}
    for index, recipe in recipes.items():
        by_data.setdefault(json.dumps(recipe.data.model_dump(), default=str), []).append(index)
    unfit: dict[int, str] = {}
    metrics: dict[int, Metric] = {}
    for indices in by_data.values():
        loaded = recipes[indices[0]].data.load()
        for index in indices:
            recipe = recipes[index]
            try:
                task = recipe.make_task(loaded)
                with torch.device("meta"):
                    create_model(
                        **recipe.model_arguments(),
                        in_shape=loaded.in_shape,
                        classes=task.outputs,
                        sample=loaded.spec,
                    )
                metrics[index] = task.primary
            except AsnnError as error:
                unfit[index] = f"model: {error}"
        del loaded  # before the next one is loaded
    return unfit, metrics


def _one_metric(metrics: Mapping[str, Metric]) -> Metric:
    """Return the primary metric that all points have; accuracy if there are none.

    Raises:
        ConfigError: they have different ones.
    """
    distinct: dict[Metric, str] = {}
    for point, metric in metrics.items():
        distinct.setdefault(metric, point)
    if len(distinct) > 1:
        raise ConfigError(
            "the members have different primary metrics",
            why="\n".join(
                f"{point}: {metric.title}, {metric.direction}" for metric, point in distinct.items()
            ),
            remedy="make a sweep for each task",
        )
    return next(iter(distinct), ACCURACY)


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
        more = len(points) - MAX_POINTS_SHOWN
        also = f" and {more} more" if more > 0 else ""
        lines.append(f"{'; '.join(points[:MAX_POINTS_SHOWN])}{also}: {fault}")
    count = "the only combination" if total == 1 else f"{len(found)} of {total} combinations"
    some = len(found) < total
    return ConfigError(
        f"{count} cannot be trained",
        why="\n".join(lines),
        remedy="--skip-impossible leaves them out"
        if some
        else "`asnn recipes show NAME --all` shows a recipe with all its keys",
    )
