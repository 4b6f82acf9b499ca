"""Neurons by name."""

from ...core.registry import Registry

neuron_registry = Registry(
    "neurons",
    {
        "adaptive": "models.neurons.leaky:AdaptiveLeaky",
        "fixed": "models.neurons.leaky:FixedLeaky",
        "relu": "models.neurons.relu:Relu",
    },
)
