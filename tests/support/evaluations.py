"""The content of `evaluation.json`, the last file of a member of a sweep."""

from typing import Any


def evaluation(**changes: Any) -> dict[str, Any]:
    """Return an evaluation with these values instead of the usual ones."""
    return {
        "split": "test",
        "data": "digits",
        "fingerprint": "0123456789abcdef",
        "steps": 4,
        "seed": 0,
        "epochs": 3,
        "samples": 1000,
        "accuracy": 0.5,
        "accuracy_per_step": [0.1, 0.2, 0.3, 0.5],
        "loss": 0.3,
        "spike_rate": 0.1,
        "spikes_per_sample": 1000.0,
        "samples_per_second": 99.0,
        "training_seconds": 12.0,
        "validation_accuracy": 0.5,
        "parameters": 1234,
        "machine": {"device": "cpu", "processor": "P", "cores": 2, "threads": 1, "torch": "2"},
        **changes,
    }
