"""Neurons by name."""

from ...core.registry import Registry

neuron_registry = Registry(
    "neurons",
    {
        "adaptive": "models.neurons.leaky:AdaptiveLeaky",
        "fixed": "models.neurons.leaky:FixedLeaky",
        "integrate": "models.neurons.integrate:Integrate",
        "iir": "models.neurons.iir:Iir",
        "lsq-leaky": "models.neurons.lsq_leaky:LsqLeaky",
        "qcfs": "models.neurons.qcfs:Qcfs",
        "relu": "models.neurons.relu:Relu",
        "ttfs": "models.neurons.ttfs:Ttfs",
        "lif": "models.neurons.lif:Lif",
        "alif": "models.neurons.lif:Alif",
        "plif": "models.neurons.lif:Plif",
        "xlif": "models.neurons.lif:Xlif",
        "rel-psp": "models.timing.rel_psp:RelPsp",
        "multi-spike": "models.timing.multi_spike:MultiSpike",
        "snntorch.Leaky": "models.neurons.snntorch:Leaky",
        "snntorch.Synaptic": "models.neurons.snntorch:Synaptic",
        "snntorch.Alpha": "models.neurons.snntorch:Alpha",
        "snntorch.Lapicque": "models.neurons.snntorch:Lapicque",
        "snntorch.RLeaky": "models.neurons.snntorch:RLeaky",
        "snntorch.RSynaptic": "models.neurons.snntorch:RSynaptic",
    },
)
