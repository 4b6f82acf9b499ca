"""Checking a recipe: all faults are reported together, each with its key and what is allowed."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_type_hints

import torch
from pydantic import ValidationError, create_model

from ...coding.base import Coding
from ...coding.factory import coding_registry
from ...coding.samples import SampleSpec
from ...core.errors import AsnnError, ConfigError
from ...core.registry import Registry, keyword_options, nearest
from ...core.text import printable
from ...datasets.load import dataset_registry, no_folder
from ...datasets.transforms.by_kind import augment_kind, augment_options, moving_options
from ...models.factory import create_model as create_network
from ...models.factory import model_registry
from ...models.network import SpikingNetwork
from ...models.neurons.registry import neuron_registry
from ...models.nir.network import trial_shapes
from ...models.readouts import readout_registry
from ...models.synapses import synapse_registry
from ...records.layout import FORMAT
from ...tasks.base import Task
from ...tasks.factory import create_task, task_registry
from ..device import find_device, mixed_precision, require_float64
from ..methods import create_method, method_registry
from .former_keys import replace_former_keys
from .schema import (
    SECTIONS,
    AugmentSection,
    CodingSection,
    DataSection,
    MethodSection,
    ModelSection,
    NeuronSection,
    ReadoutSection,
    Recipe,
    Section,
    SynapseSection,
    TaskSection,
    TrainSection,
)

# By section: its class, the key with the name of its component, and the registry.
NAMED: dict[str, tuple[type[Section], str, Registry]] = {
    "data": (DataSection, "data.name", dataset_registry),
    "coding": (CodingSection, "coding.name", coding_registry),
    "model": (ModelSection, "model.name", model_registry),
    "neuron": (NeuronSection, "model.neuron", neuron_registry),
    "synapse": (SynapseSection, "synapse.name", synapse_registry),
    "readout": (ReadoutSection, "readout.name", readout_registry),
    "method": (MethodSection, "method.name", method_registry),
    "task": (TaskSection, "task.name", task_registry),
}

# The keys that a section has whatever its component.
BASES: dict[str, type[Section]] = {
    "train": TrainSection,
    **{section: named[0] for section, named in NAMED.items()},
}

# Losses of one class a sample that ask nothing of the readout.
MEAN_AND_STEPS = ("mean", "tet")

# Options of a component that are not keys of its section.
GIVEN = {"coding": ("steps",), "readout": ("steps", "scaled"), "synapse": ("steps",)}

KNOWN = (*SECTIONS, "name", "description", "format")


def check_recipe(document: dict[str, Any], *, source: str = "the recipe") -> Recipe:
    """Return the recipe that the tables of a file describe.

    Args:
        document: tables as read from TOML.
        source: name of the recipe in messages.

    Raises:
        ConfigError: it has faults; the message lists all of them.
    """
    document, faults = replace_former_keys(document)
    tables: dict[str, dict[str, Any]] = {}
    version = document.get("format", FORMAT)
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        faults.append(f"format: {version!r} is not a format that this asnn reads (1 to {FORMAT})")
    for key, value in document.items():
        if key not in KNOWN:
            faults.append(_unknown_key(key, [*SECTIONS, "name", "description"]))
        elif key in SECTIONS and not isinstance(value, dict):
            faults.append(f"{key}: must be a table, not {value!r}")
        elif key in SECTIONS:
            tables[key] = value
    sections = {name: _check_section(name, tables, faults) for name in SECTIONS}
    if not re.fullmatch(r"[\w.-]+", str(document.get("name", "recipe"))):
        faults.append(f"name: must be letters, digits, '_', '-' and '.', not {document['name']!r}")
    if not faults:
        recipe = Recipe(
            name=str(document.get("name", "recipe")),
            description=str(document.get("description", "")),
            **sections,  # type: ignore[arg-type]
        )
        faults += _component_faults(recipe)
        if not faults:
            return recipe
    raise _refused(source, faults)


def check_coding(table: dict[str, Any], *, source: str = "the code") -> CodingSection:
    """Return the section of a code without a recipe around it.

    Args:
        table: its name, steps and options.
        source: what it is called in messages.

    Raises:
        ConfigError: it has faults; the message lists all of them.
    """
    faults: list[str] = []
    section: Any = _check_section("coding", {"coding": table}, faults)
    if not faults:
        faults += _errors([("coding", lambda: _make_coding(section))])
    if faults:
        raise _refused(source, faults)
    return section


def _refused(source: str, faults: list[str]) -> ConfigError:
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    return ConfigError(
        f"{source} has {count}",
        why="\n".join(map(printable, faults)),
        remedy="`asnn recipes show NAME --all` shows a recipe with all its keys",
    )


def component_options(section: str, name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a section's component, by name.

    Raises:
        ConfigError: there is no component of that name.
    """
    return _options(section, NAMED[section][2].get(name))


def _options(section: str, component: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    given = GIVEN.get(section, ())
    return {key: each for key, each in keyword_options(component).items() if key not in given}


def named_component(section: str, tables: dict[str, dict[str, Any]]) -> str:
    """Return the name of the component that has the options of a section."""
    table, key = NAMED[section][1].split(".")
    default = NAMED[table][0].model_fields[key].default
    given = tables.get(table, {})
    return str(given.get(key, default)) if isinstance(given, dict) else str(default)


def _check_section(
    name: str, tables: dict[str, dict[str, Any]], faults: list[str]
) -> Section | None:
    try:
        schema = _schema(name, tables)
    except ConfigError as error:
        key = NAMED[name][1]
        if not any(fault.startswith(f"{key}:") for fault in faults):
            faults.append(_line(key, error))
        # The options of an unknown component cannot be checked; the other keys can.
        base = NAMED[name][0]
        own = {k: v for k, v in tables.get(name, {}).items() if k in base.model_fields}
        return _validate(base, name, own, faults)
    return _validate(schema, name, tables.get(name, {}), faults)


def _validate(
    schema: type[Section], name: str, table: dict[str, Any], faults: list[str]
) -> Section | None:
    try:
        return schema.model_validate(table)
    except ValidationError as error:
        faults += [_fault(name, schema, detail) for detail in error.errors()]
        return None


def _schema(name: str, tables: dict[str, dict[str, Any]]) -> type[Section]:
    if name == "train":
        return TrainSection
    if name == "augment":
        return _augment_schema()
    base, _, registry = NAMED[name]
    return _with_options(name, base, registry.get(named_component(name, tables)))


@functools.cache  # pydantic takes milliseconds to create a class
def _with_options(
    section: str, base: type[Section], component: Callable[..., Any]
) -> type[Section]:
    """Return the section class with the component's options as fields, typed by its signature."""
    parameters = _options(section, component)
    hints = get_type_hints(component.__init__ if inspect.isclass(component) else component)
    fields: dict[str, Any] = {
        name: (
            hints.get(name, Any),
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in parameters.items()
        if name not in base.model_fields
    }
    schema = create_model(base.__name__, __base__=base, **fields)
    schema.component_fields = frozenset(fields)
    return schema


@functools.cache
def _augment_schema() -> type[Section]:
    """Return the section class with the options of all kinds of samples as fields."""
    fields: dict[str, Any] = augment_options()
    schema = create_model(AugmentSection.__name__, __base__=AugmentSection, **fields)
    schema.component_fields = frozenset(fields)
    return schema


def _component_faults(recipe: Recipe) -> list[str]:
    """Build every component, without memory or data; return their errors as faults."""
    trials: list[tuple[str, Callable[[], Any]]] = [
        ("coding", lambda: _make_coding(recipe.coding)),
        (
            "neuron",
            lambda: neuron_registry.get(recipe.model.neuron)(
                recipe.coding.steps, 1, **recipe.neuron.options()
            ),
        ),
        (
            "augment",
            lambda: augment_kind(sample_kind(recipe.coding.name), recipe.augment.options()),
        ),
        ("augment", lambda: _keep_pairs(recipe)),
        ("task", lambda: create_task(recipe.task.name, **recipe.task.options())),
        ("method", lambda: create_method(recipe.method.name, **recipe.method.options())),
        ("train", recipe.train.make_loss),
        ("train.epochs", lambda: _require_learning_or_start(recipe.train)),
        ("train.device", lambda: find_device(recipe.train.device)),
        (
            "train.precision",
            lambda: mixed_precision(find_device(recipe.train.device), recipe.train.precision),
        ),
    ]
    faults = _errors(trials)
    if not any(fault.startswith(("coding", "neuron")) for fault in faults):
        built: list[SpikingNetwork] = []
        faults += _errors([("model", lambda: built.append(_build_without_memory(recipe)))])
        if built and not any(fault.startswith("train.device") for fault in faults):
            device = find_device(recipe.train.device)
            faults += _errors([("train.device", lambda: require_float64(device, built[0]))])
        if built and not any(fault.startswith("train:") for fault in faults):
            key = "readout" if recipe.train.loss in MEAN_AND_STEPS else "train.loss"
            of_loss = _errors([("train.loss", lambda: _make_task(recipe))])
            faults += of_loss
            faults += _errors([(key, lambda: _give_readout(recipe, built[0], loss=not of_loss))])
    return faults


def _make_coding(section: CodingSection) -> Coding:
    return coding_registry.get(section.name)(steps=section.steps, **section.options())


def _keep_pairs(recipe: Recipe) -> None:
    """Refuse an augmentation that moves samples away from the images that are their targets."""
    moving = moving_options(sample_kind(recipe.coding.name), recipe.augment.options())
    if recipe.data.target_images is not None and moving:
        raise ConfigError(
            f"{', '.join(moving)} would move samples, and not the images that are their targets",
            why=f"data.target_images is {recipe.data.target_images}",
            remedy=f"leave augment.{', augment.'.join(moving)} out",
        )


def _require_learning_or_start(train: TrainSection) -> None:
    if train.epochs == 0 and train.init == "none":
        raise ConfigError(
            "0 epochs keep the weights that a training starts from, and there are none",
            remedy="set train.init=ann or to the folder of a run, or train.epochs to 1 or more",
        )


def sample_kind(coding: str) -> str:
    """Return the kind of samples that a code takes; of several, the first.

    Raises:
        ConfigError: there is no code of that name.
    """
    takes = coding_registry.get(coding).takes
    return next(kind for kind in ("image", "events", "series") if kind in takes)


def _make_task(recipe: Recipe) -> Task:
    """Return the task with its loss, which it may refuse."""
    task = create_task(recipe.task.name, **recipe.task.options())
    task.use_loss(recipe.train.make_loss())
    return task


def _give_readout(recipe: Recipe, network: SpikingNetwork, *, loss: bool) -> None:
    """Let the task, with its loss if it takes it, see the readout, which it may refuse."""
    task = _make_task(recipe) if loss else create_task(recipe.task.name, **recipe.task.options())
    task.use_readout(network.readout)


def _build_without_memory(recipe: Recipe) -> SpikingNetwork:
    """Build the network for small samples of a kind that its code takes; the data are unknown."""
    specs = {
        "image": SampleSpec("image", (1, 8, 8)),
        "events": SampleSpec("events", (2, 8, 8), duration=1_000_000),
        "series": SampleSpec("series", (1, 8, 8), steps=recipe.coding.steps),
    }
    spec = specs[sample_kind(recipe.coding.name)]
    outputs = task_registry.get(recipe.task.name).trial_outputs
    if recipe.model.name == "nir":  # the network of a file, which has its own shapes
        shape, outputs = trial_shapes(recipe.model.options())
        if len(shape) not in (1, 3) or (len(shape) == 1 and spec.kind != "series"):
            flat = math.prod(shape)
            shape = (flat,) if spec.kind == "series" else (1, 1, flat)
        spec = replace(spec, shape=shape)
    with torch.device("meta"):
        return create_network(
            **recipe.model_arguments(), in_shape=spec.shape, classes=outputs, sample=spec
        )


def _errors(trials: list[tuple[str, Callable[[], Any]]]) -> list[str]:
    faults = []
    for key, trial in trials:
        try:
            trial()
        except (RuntimeError, OverflowError, MemoryError) as error:  # from huge sizes
            faults.append(f"{key}: cannot be built: {next(iter(str(error).splitlines()), '')}")
        except TypeError as error:
            if "Overflow" not in str(error):  # of torch, from a size beyond 64 bits
                raise
            faults.append(f"{key}: cannot be built: a size does not fit into 64 bits")
        except AsnnError as error:
            # The precision cannot be checked without a valid device.
            if not (key == "train.precision" and any("train.device" in f for f in faults)):
                faults.append(_line(key, error))
    return faults


def _fault(section: str, schema: type[Section], detail: Any) -> str:
    key = ".".join([section, *(str(part) for part in detail["loc"])])
    if detail["type"] == "extra_forbidden" and key == "data.dir":
        return _line(key, no_folder("this data set", schema.model_fields))
    if detail["type"] == "extra_forbidden":
        return _unknown_key(key, [f"{section}.{name}" for name in schema.model_fields])
    given = detail["input"]
    if detail["type"] == "missing":
        return f"{key}: must be given"
    if detail["type"] == "literal_error":
        return f"{key}: must be {detail['ctx']['expected']}, not {given!r}"
    reason = detail["msg"].replace("Input should be", "must be").replace("Value error, ", "")
    return f"{key}: {reason}, not {given!r}"


def _unknown_key(key: str, known: list[str]) -> str:
    name = key.rpartition(".")[2]
    # A key that another section has was probably meant for that one.
    elsewhere = [f"{each}.{name}" for each, base in BASES.items() if name in base.model_fields]
    near = elsewhere[0] if len(elsewhere) == 1 else nearest(key, known)
    if name in NAMED:  # model.readout: a component with a section of its own
        near = NAMED[name][1]
    hint = f"; did you mean {near}?" if near else ""
    names = ", ".join(name.rpartition(".")[2] for name in known)
    return f"{key}: unknown key{hint} (choose from {names})"


def _line(key: str, error: AsnnError) -> str:
    remedy = f" ({error.remedy})" if error.remedy else ""
    where = "" if str(error).startswith(f"{key}.") else f"{key}: "
    return f"{where}{error}{remedy}"
