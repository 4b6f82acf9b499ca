"""A method of learning with two stages and a state of its own, also installed as a package."""

from asnn.learning.methods import Stage
from asnn.learning.methods.bptt import Bptt


class Halves(Bptt):
    """Everything learns in the first half; then the readout alone, from the best weights.

    Its state is the number of batches in the stage, on which a factor of each loss depends.
    """

    name = "halves"

    def __init__(self, *, first: int = 2) -> None:
        self.first = first
        self.batches = 0

    def stages(self, epochs):
        return [Stage("all", self.first), Stage("readout", epochs - self.first)]

    def begin(self, training, stage):
        self.batches = 0
        if stage.name == "all":
            return []
        from safetensors.torch import load

        training.model.load_state_dict(load(training.best))
        *layers, _ = training.model.body
        for layer in layers:
            layer.requires_grad_(False)
        return layers

    def backward(self, training, x, targets, weight):
        self.batches += 1
        return super().backward(training, x, targets, weight * (1 + 0.1 * (self.batches % 3)))

    def state(self):
        return {"batches": self.batches}

    def restore(self, state):
        self.batches = state["batches"]
