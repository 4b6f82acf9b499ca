"""Baselines by name: asnn itself, plain networks, and other libraries."""

from __future__ import annotations

from .base import SEQUENTIAL, Baseline, Network, build, unavailable

SAME_NEURON = {"leak": 0.5, "gain": 0.5, "reset": "subtract"}
OTHER_NEURON = "it has another neuron"
ALL_NETWORKS = (*SEQUENTIAL, "ms-resnet", "spikformer")
OVER_TIME = (*ALL_NETWORKS, "spiking-yolo")


def _of_other_neurons(name: str, neurons: str) -> tuple[Baseline, Baseline]:
    """Return asnn with other neurons, by the fused kernels and by the reference."""
    fused = Baseline(
        f"asnn-{name}",
        f"asnn with {neurons}, fused kernels",
        f".own:{name}",
        builds=ALL_NETWORKS,
        package="numba",
        compiles=True,
        apart=OTHER_NEURON,
        reference=f"asnn-{name}-reference",
    )
    reference = Baseline(
        f"asnn-{name}-reference",
        f"asnn with {neurons}, in plain PyTorch",
        f".own:{name}_reference",
        builds=ALL_NETWORKS,
        apart=OTHER_NEURON,
        reference=f"asnn-{name}-reference",
    )
    return fused, reference


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "asnn",
            "asnn with fused kernels",
            ".own:fused",
            builds=OVER_TIME,
            package="numba",
            compiles=True,
            neuron=SAME_NEURON,
        ),
        Baseline(
            "asnn-reference",
            "asnn in plain PyTorch, time folded into the batch",
            ".own:reference",
            builds=OVER_TIME,
            neuron=SAME_NEURON,
        ),
        Baseline(
            "step-loop",
            "asnn's network one step at a time, as the published code runs it",
            ".step_loop:StepLoop",
            neuron=SAME_NEURON,
        ),
        Baseline(
            "relu",
            "ReLU for neurons, channels-last; with a static code the first block runs once",
            ".relu:relu",
            builds=ALL_NETWORKS,
            no_reference="ReLU is not a spiking neuron",
        ),
        Baseline(
            "relu-every-step",
            "ReLU for neurons, channels-last; every layer runs at every step",
            ".relu:ReluEveryStep",
            reference="relu",
        ),
        Baseline(
            "spikingjelly",
            "SpikingJelly, multi-step ParametricLIFNode, eager",
            ".spikingjelly:eager",
            builds=OVER_TIME,
            package="spikingjelly",
            neuron=SAME_NEURON,
        ),
        Baseline(
            "spikingjelly-compiled",
            "SpikingJelly, multi-step ParametricLIFNode, under torch.compile",
            ".spikingjelly:compiled",
            builds=ALL_NETWORKS,
            package="spikingjelly",
            compiles=True,
            slow_start=True,
            neuron=SAME_NEURON,
        ),
        Baseline(
            "snntorch",
            "snnTorch, a loop over steps with Leaky(learn_beta=True)",
            ".snntorch:SnnTorch",
            package="snntorch",
            neuron={"leak": 0.5, "gain": 1.0, "reset": "zero"},
        ),
        Baseline(
            "norse",
            "Norse, SequentialState with LIFBoxCell at every step",
            ".norse:Norse",
            package="norse",
            neuron=SAME_NEURON,
        ),
        Baseline(
            "asnn-dsr",
            "asnn with integrate neurons, differentiated on their spike representation",
            ".own:dsr",
            builds=ALL_NETWORKS,
            apart=OTHER_NEURON,
            reference="asnn-dsr",
        ),
        Baseline(
            "spikingjelly-dsr",
            "SpikingJelly, DSRIFNode, eager",
            ".spikingjelly:dsr",
            package="spikingjelly",
            apart=OTHER_NEURON,
            reference="asnn-dsr",
        ),
        *_of_other_neurons("integrate", "integrate neurons of one spike a step"),
        *_of_other_neurons("burst", "integrate neurons of up to five spikes a step"),
        *_of_other_neurons("once", "neurons that fire once"),
    )
}

__all__ = ["BASELINES", "Baseline", "Network", "build", "unavailable"]
