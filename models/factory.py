"""Networks by name."""

from __future__ import annotations

from typing import Any

from ..coding.factory import create_coding
from ..coding.samples import SampleSpec
from ..core.errors import ConfigError
from ..core.registry import Registry, check_options
from .bounds import bounded
from .clocked import require_windows
from .network import BuildContext, SpikingNetwork
from .neurons.registry import neuron_registry
from .synapses import Synapse
from .timing.check import require_one_kind

model_registry = Registry(
    "models",
    {
        "lenet": "models.networks.lenet:lenet",
        "mlp": "models.networks.mlp:mlp",
        "ms-resnet": "models.networks.ms_resnet:ms_resnet",
        "sew-resnet": "models.networks.sew_resnet:sew_resnet",
        "vgg": "models.networks.vgg:vgg",
        "spikformer": "models.networks.spikformer:spikformer",
        "spiking-yolo": "models.networks.spiking_yolo:spiking_yolo",
        "rsnn": "models.networks.rsnn:rsnn",
        "lstm": "models.networks.lstm:lstm",
        "ode": "models.networks.ode:ode",
        "timing-mlp": "models.networks.timing:timing_mlp",
        "timing-conv": "models.networks.timing:timing_conv",
        "firenet": "models.networks.firenet:firenet",
        "trace-mlp": "models.networks.trace_mlp:trace_mlp",
        "hybrid": "models.networks.hybrid:hybrid",
        "nir": "models.nir.network:nir",
    },
)


def create_model(
    name: str,
    *,
    in_shape: tuple[int, ...],
    classes: int,
    sample: SampleSpec | dict[str, Any] | None = None,
    coding: str = "hybrid",
    steps: int = 4,
    coding_options: dict[str, Any] | None = None,
    neuron: str = "adaptive",
    neuron_options: dict[str, Any] | None = None,
    output_scale: bool | None = None,
    readout: str = "mean",
    readout_options: dict[str, Any] | None = None,
    synapse: str = "none",
    synapse_options: dict[str, Any] | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    **options: Any,
) -> SpikingNetwork:
    """Return the network called `name`.

    Args:
        name: `lenet`, `mlp`, `ms-resnet`, `sew-resnet`, `vgg`, `spikformer`, `rsnn`, `lstm`,
            `trace-mlp`, `hybrid`, or a model of an installed package.
        in_shape: of one step of the samples: (C, H, W) of images, (2, H, W) of the sensor of
            events, (F,) or (C, H, W) of series.
        classes: number of classes, or of the outputs of another task.
        sample: kind of the samples, of the same shape; images by default.
        coding: name of the code, with `coding_options`.
        steps: number of time steps T.
        neuron: name of the neuron, with `neuron_options`.
        output_scale: learnable scale of the logits at each step; by default with every neuron
            except `fixed`.
        readout: name of the readout, with `readout_options`.
        synapse: name of the filter in front of every layer but the first, with `synapse_options`.
        mean, std: of each channel or feature of a step, to normalise analog steps; 0 and 1 by
            default.
        options: keyword options of the model, such as `widths`.

    Raises:
        ConfigError: a name or an option is not valid.

    >>> model = create_model("lenet", in_shape=(1, 8, 8), classes=10, coding="hybrid", steps=4)
    >>> import torch
    >>> model(torch.rand(2, 1, 8, 8)).shape
    torch.Size([4, 2, 10])
    """
    if not hasattr(classes, "__index__") or classes < 1:
        raise ConfigError(f"classes, the number of outputs, must be at least 1, not {classes!r}")
    in_shape = tuple(in_shape)
    spec = _spec(in_shape, sample)
    code = create_coding(coding, steps=steps, **(coding_options or {}))
    code.bind(spec)
    step_shape = code.step_shape(spec)
    channels = step_shape[0]
    mean, std = mean or [0.0] * channels, std or [1.0] * channels
    if len(mean) != channels or len(std) != channels or not min(std) > 0:
        raise ConfigError(
            f"mean and std need {channels} values, one a channel, std above 0, not {mean} and {std}"
        )
    build = model_registry.get(name)
    check_options("model", name, build, options)
    make = neuron_registry.get(neuron)
    check_options("neuron", neuron, make, neuron_options or {})
    ctx = BuildContext(
        in_shape=step_shape,
        classes=classes,
        coding=code,
        make_neuron=lambda channels: make(steps, channels, **(neuron_options or {})),
        scaled=neuron != "fixed" if output_scale is None else output_scale,
        mean=mean,
        std=std,
        readout=readout,
        readout_options=readout_options or {},
        synapse_name=synapse,
        synapse_options=synapse_options or {},
    )
    with bounded():
        model = build(ctx, **options)
    if synapse != "none" and not any(isinstance(each, Synapse) for each in model.modules()):
        raise ConfigError(
            f"model {name} has no synapses",
            why="it does not put a filter in front of its layers",
            remedy="choose another model.name, or synapse.name=none",
        )
    require_one_kind(model)
    require_windows(model)
    drawing = (part for part in model.modules() if getattr(part, "draws", False))
    for stream, part in enumerate(drawing, start=1):
        part.stream = stream  # so that layers draw different numbers
    model.config = {
        "name": name,
        "in_shape": list(in_shape),
        "classes": classes,
        "coding": coding,
        "steps": steps,
        "coding_options": coding_options or {},
        "neuron": neuron,
        "neuron_options": neuron_options or {},
        "output_scale": ctx.scaled,
        "mean": ctx.mean,
        "std": ctx.std,
        **options,
    }
    # Keys that networks of 0.1.0 do not have are left out at their default.
    if spec.has_time:
        model.config["sample"] = spec.document()
    if readout != "mean":
        model.config |= {"readout": readout, "readout_options": readout_options or {}}
    if synapse != "none":
        model.config |= {"synapse": synapse, "synapse_options": synapse_options or {}}
    return model


def _spec(in_shape: tuple[int, ...], sample: SampleSpec | dict[str, Any] | None) -> SampleSpec:
    """Return the spec of the samples, whose steps have the shape `in_shape`."""
    if sample is None:
        if len(in_shape) != 3 or min(in_shape) < 1:
            raise ConfigError(f"in_shape must be (channels, height, width), not {in_shape}")
        return SampleSpec("image", in_shape)
    if isinstance(sample, dict):
        try:
            sample = SampleSpec.from_document(sample)
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"sample is {sample}", why=str(error)) from error
    if sample.shape != in_shape:
        raise ConfigError(f"in_shape is {in_shape}, the samples have the shape {sample.shape}")
    return sample
