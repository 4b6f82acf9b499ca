"""Small trainings with rules that learn at every step, on series with a class for each step."""

import numpy as np

from asnn.learning import check_recipe, prepare
from asnn.records.layout import Run

STEPS, FEATURES, CLASSES = 12, 4, 3
NEURONS = {
    "decolle": ("iir", {"tau": 2.0, "threshold": 0.2, "surrogate": "fast_sigmoid", "alpha": 10.0}),
    "glm": (
        "fixed",
        {"noise": "logistic", "kappa": 2.0, "leak": 0.5, "gain": 1.0, "threshold": 0.1},
    ),
}


def spike_file(path, count=48):
    """Write series of spikes whose class of a step is that of the feature that fires most."""
    random = np.random.default_rng(0)
    y = np.repeat(random.integers(0, CLASSES, (count, STEPS // 4)), 4, axis=1)
    p = np.full((count, STEPS, FEATURES), 0.2)
    p += 0.6 * (np.arange(FEATURES) == y[..., None])
    x = (random.random(p.shape) < p).astype(np.float32)
    y[:, :2] = -1
    train = 2 * count // 3
    np.savez(
        path, x_train=x[:train], y_train=y[:train], x_test=x[train:], y_test=y[train:],
        classes=np.array(list("abc")),
    )  # fmt: skip
    return path


def tables(path, method, **options):
    """Return a recipe; `options` are sections, or keys with their section: `train__epochs`."""
    neuron, own = NEURONS[method]
    document = {
        "data": {"name": "series-npz", "path": str(path)},
        "coding": {"name": "given", "steps": STEPS},
        "task": {"name": "step-classification"},
        "synapse": {"name": "traces", "tau": [1.5, 4.0]},
        "neuron": own,
        "model": {
            "name": "trace-mlp", "features": [7, 5] if method == "decolle" else [3],
            "neuron": neuron, "output_scale": False, "readout_synapse": method == "glm",
        },
        "method": {"name": method},
        "train": {"epochs": 2, "batch_size": 8, "lr": 0.01, "device": "cpu"},
    }  # fmt: skip
    for key, value in options.items():
        section, _, name = key.partition("__")
        document[section] = {**document.get(section, {}), name: value} if name else value
    return document


def prepared(path, folder, method, **options):
    """Return a training whose first stage has begun, in float64."""
    training = prepare(check_recipe(tables(path, method, **options)), Run(folder))
    training.model.train()
    return training
