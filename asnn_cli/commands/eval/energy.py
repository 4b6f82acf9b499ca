"""`asnn eval --energy` and `--exit`: what a network spends, beside its analog twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....core.units import joules, si
from ...terminal import console

if TYPE_CHECKING:
    from ....measure import Evaluation
    from ....measure.cost.tables import CostTable
    from ....models import SpikingNetwork
    from ....records.open_run import OpenRun

OF_NO_COST = ("mean", "std", "output_scale")  # in which a twin may differ


def energy(
    model: SpikingNetwork, result: Evaluation, table: CostTable, *, twin: Evaluation | None
) -> dict[str, Any]:
    """Return the energy report of a network, with that of its analog twin (`ann_twin`).

    The twin's `dense` operations follow from the architecture; where there is a trained one,
    `trained` is the report of what it really spends, without inputs that are 0.
    """
    from ....measure.cost.ann import dense_twin
    from ....measure.cost.energy import energy_report, spent, spent_by_layer

    assert result.counts is not None
    found = energy_report(result.counts, table)
    counts = dense_twin(model)
    dense = spent(counts, table, dense=True)
    found["ann_twin"] = {
        "dense": {
            "accumulates": float(dense.ac.sum()),
            "multiply_accumulates": float(dense.mac.sum()),
            "picojoules_per_sample": dense.total(table),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "operation": layer.operation,
                    "weights": layer.weights,
                    "dense": float(layer.dense.sum()),
                    "picojoules": spent_by_layer(layer, table, dense=True).total(table),
                }
                for layer in counts.layers
            ],
        },
        "trained": None,
    }
    if twin is not None:
        assert twin.counts is not None
        report = energy_report(twin.counts, table)
        found["ann_twin"]["trained"] = {"accuracy": twin.accuracy, **report}
    return found


def find_twin(run: OpenRun, named: Any, model: SpikingNetwork) -> SpikingNetwork | None:
    """Return the trained analog twin: the run that was named, or the one that taught this run.

    Raises:
        DataError: there is no such run.
        ConfigError: it is a spiking network, has another architecture, or other classes.
    """
    from ....core.errors import ConfigError
    from ....learning.distillation import twin_run
    from ....measure.cost.ann import twin_config
    from ....records.open_run import open_run

    if named is None:
        taught = twin_run(run.files)
        return open_run(taught).load_model() if taught.model.is_file() else None
    other = open_run(named)
    twin = other.load_model()
    faults = [
        f"its {key} is {twin.config.get(key)!r}, not {value!r}"
        for key, value in twin_config(model).items()
        if key not in OF_NO_COST and twin.config.get(key) != value
    ]
    if other.labels != run.labels:
        faults.append("its classes are others")
    if faults:
        raise ConfigError(
            f"--twin {named} is not the analog twin of {run.path}",
            why="; ".join(faults),
            remedy="train one with the same recipe and --set model.neuron=relu "
            "--set coding.name=direct --set coding.steps=1",
        )
    return twin


def show_energy(found: dict[str, Any]) -> None:
    """Show operations and energy by layer, and the twin's."""
    total = found["picojoules_per_sample"]
    rows = []
    for layer in found["layers"]:
        effective, dense = sum(layer["effective"]), sum(layer["dense"])
        rows.append(
            [
                layer["name"],
                layer["operation"].upper(),
                si(effective),
                si(dense),
                f"{100 * effective / dense:.1f}" if dense else console.UNKNOWN,
                joules(sum(layer["picojoules"])),
                f"{100 * sum(layer['picojoules']) / total:.1f}" if total else console.UNKNOWN,
            ]
        )
    neurons = sum(sum(layer["picojoules"]) for layer in found["neurons"])
    if neurons:
        updates = si(found["neuron_updates"])
        share = f"{100 * neurons / total:.1f}"
        rows.append(["neurons", "update", updates, updates, "100.0", joules(neurons), share])
    table = found["table"]
    heads = ["", "", "done", "dense", "of dense, %", "energy", "of all, %"]
    console.table(f"operations and energy of one image, {table['name']}", heads, rows)
    parts = ", ".join(f"{name} {joules(e)}" for name, e in found["picojoules_by_part"].items())
    console.note(f"in all {joules(total)}: {parts}; {si(found['bytes_moved'], 'B')} moved")
    _show_comparison(found)
    cost = table["picojoules"]
    console.note(
        f"{found['formula']}, in pJ: mac {cost['mac']:g}, ac {cost['ac']:g}, "
        f"neuron_update {cost['neuron_update']:g}, memory_byte {cost['memory_byte']:g}"
    )
    console.note(f"{table['name']}: {table['description']}. {table['source']}")
    if found["uncounted"]:
        console.note(
            f"warning: not counted, for nothing is known of them: {', '.join(found['uncounted'])}"
        )


def _show_comparison(found: dict[str, Any]) -> None:
    twin, total = found["ann_twin"], found["picojoules_per_sample"]
    rows = [("this network", found)]
    rows += [("ANN twin, dense", twin["dense"])]
    if twin["trained"] is not None:
        rows += [("ANN twin, without zeros", twin["trained"])]
    console.table(
        "one image",
        ["", "AC", "MAC", "energy", "times this"],
        [
            [
                name,
                si(each["accumulates"]),
                si(each["multiply_accumulates"]),
                joules(each["picojoules_per_sample"]),
                f"{each['picojoules_per_sample'] / total:.2f}" if total else console.UNKNOWN,
            ]
            for name, each in rows
        ],
    )


def show_tradeoff(rows: list[dict[str, Any]]) -> None:
    """Show accuracy, steps and energy of each fixed number of steps and each rule."""
    console.table(
        "answers before the last step",
        ["", "mean steps", "accuracy, %", "energy", "answered at the last step, %"],
        [
            [
                row["exit"] or f"step {row['steps']:g}",
                f"{row['steps']:.2f}",
                f"{100 * row['accuracy']:.2f}",
                joules(row["picojoules"]),
                f"{100 * row['leaving'][-1]:.1f}" if row["exit"] else "",
            ]
            for row in rows
        ],
    )
