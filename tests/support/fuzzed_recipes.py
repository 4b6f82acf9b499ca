"""Recipes of all kinds: right ones, nearly right ones, and tables of anything."""

from hypothesis import strategies as st

from asnn.coding.factory import coding_registry
from asnn.learning.methods import method_registry
from asnn.learning.recipe.checking import component_options
from asnn.learning.recipe.schema import SECTIONS, TrainSection
from asnn.models.factory import model_registry
from asnn.models.neurons.registry import neuron_registry
from asnn.models.readouts import readout_registry
from asnn.models.synapses import synapse_registry
from asnn.tasks import task_registry
from tests.support.samples import IMAGE_CODES

ANYTHING = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30]),
    st.floats(allow_nan=False),
    st.sampled_from([float("inf"), float("nan"), 0.5, 1e-300, 1e300]),
    st.booleans(),
    st.text(max_size=8),
    st.lists(st.integers(-2, 20), max_size=4),
    st.dictionaries(st.text(max_size=4), st.integers(0, 3), max_size=2),
)
WORDS = st.sampled_from(
    ["linear", "quantile", "layer", "channel", "zero", "none", "sigmoid", "atan", "auto", "cpu"]
)
NAMES = {
    "data": ("name", ["digits", "mnist", "folder", "npz"]),
    "coding": ("name", coding_registry.names()),
    "model": ("name", model_registry.names()),
    "readout": ("name", readout_registry.names()),
    "synapse": ("name", synapse_registry.names()),
    "task": ("name", task_registry.names()),
    "method": ("name", method_registry.names()),
}
SMALL_MODELS = {
    "lenet": {"widths": st.sampled_from([[2], [4, 8]]), "hidden": st.integers(2, 16)},
    "mlp": {"features": st.sampled_from([[4], [8, 4]])},
}


def keys_of(section: str, name: str) -> list[str]:
    """Return the keys that a section may have."""
    if section == "train":
        return list(TrainSection.model_fields)
    if section == "augment":
        return ["flip", "crop", "rotation", "rot90", "mixup", "cutmix", "erasing", "randaugment"]
    return [*component_options(section, name)]


@st.composite
def documents(draw):
    """Tables as a file could hold them."""
    tables = {}
    for section in draw(st.lists(st.sampled_from(SECTIONS), unique=True)):
        table = {}
        key, names = NAMES.get(section, ("name", ["adaptive"]))
        name = draw(st.sampled_from(names))
        if section in NAMES and draw(st.booleans()):
            table[key] = draw(st.one_of(st.just(name), ANYTHING))
        if section == "model" and draw(st.booleans()):
            table["neuron"] = draw(st.sampled_from([*neuron_registry.names(), "adaptiv"]))
        known = keys_of(section, name if section != "neuron" else "adaptive")
        chosen = st.one_of(st.sampled_from(known), st.text(max_size=6)) if known else st.text()
        for each in draw(st.lists(chosen, max_size=4)):
            table[each] = draw(st.one_of(ANYTHING, WORDS))
        tables[section] = draw(st.one_of(st.just(table), st.just(table), ANYTHING))
    if draw(st.integers(0, 9)) == 0:
        tables[draw(st.text(max_size=5))] = draw(ANYTHING)
    return tables


@st.composite
def trainable(draw):
    """Recipes of small networks on the digits that every check lets through, mostly."""
    model = draw(st.sampled_from(sorted(SMALL_MODELS)))
    code = draw(st.sampled_from(IMAGE_CODES))
    return {
        "data": {"name": "digits", "limit": draw(st.integers(2, 70))},
        "coding": {"name": code, "steps": draw(st.integers(1, 5))},
        "model": {
            "name": model,
            "neuron": draw(st.sampled_from(neuron_registry.names())),
            **{key: draw(values) for key, values in SMALL_MODELS[model].items()},
        },
        "augment": {
            "flip": draw(st.booleans()),
            "crop": draw(st.integers(0, 2)),
            "mixup": draw(st.booleans()),
            "cutmix": draw(st.booleans()),
            "erasing": draw(st.sampled_from([0.0, 0.5])),
        },
        "train": {
            "epochs": 1,
            "batch_size": draw(st.integers(1, 40)),
            "optimizer": draw(st.sampled_from(["adam", "adamw", "sgd"])),
            "loss": draw(st.sampled_from(["mean", "tet"])),
            "schedule": draw(st.sampled_from(["cosine", "step", "constant"])),
            "accumulate": draw(st.integers(1, 3)),
            "label_smoothing": draw(st.sampled_from([0.0, 0.1])),
            "ema": draw(st.sampled_from([0.9, 0.99])),
            "seed": draw(st.integers(0, 2**63 - 1)),
            "kernels": draw(st.sampled_from(["auto", "reference"])),
        },
    }
