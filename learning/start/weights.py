"""Weights of a trained network as the start of another of the same architecture, by name."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ...core.errors import ConfigError
from ...models.layers.norm import TimeNorm
from ...models.layers.spiking import SpikingLayer
from ...models.layers.stem import Stem
from ...models.network import SpikingNetwork
from ...models.readouts import Readout

SHOWN = 4  # names in a message


@dataclass(frozen=True)
class Transfer:
    """Which tensors go over.

    Attributes:
        tensors: new values, by name in the target.
        kept: names of tensors of the target that keep their values: what its neurons have and the
            source's have not, scales of the readout for other steps, and a readout of other
            classes.
        new_readout: whether the readout begins anew, because the numbers of outputs differ.
    """

    tensors: dict[str, Tensor]
    kept: list[str]
    new_readout: bool = False

    def apply(self, target: SpikingNetwork) -> None:
        """Write the tensors into the target."""
        target.load_state_dict(self.tensors, strict=False)


def plan_transfer(source: SpikingNetwork, target: SpikingNetwork, name: str) -> Transfer:
    """Return what goes over from a trained network to another.

    Tensors go over by their names. Of a stem with one set of weights both sets of a dual stem are
    made; a norm with one set of statistics gives every set of a norm that has several. The
    parameters of neurons go over between neurons of the same kind, and the readout between networks
    with as many outputs.

    Args:
        source: the trained network.
        target: the network that starts from it.
        name: of the source, in messages.

    Raises:
        ConfigError: the architectures differ: other layers, or other shapes.
    """
    if source.config["name"] != target.config["name"]:
        raise ConfigError(
            f"{name} cannot be the start of this network",
            why=f"it is a {source.config['name']}, not a {target.config['name']}",
            remedy="name a run of the same architecture as train.init",
        )
    found, wanted = source.state_dict(), target.state_dict()
    optional, of_source = _optional(target), _optional(source)
    same_neurons = source.config["neuron"] == target.config["neuron"]
    new_readout = source.config["classes"] != target.config["classes"]
    new_keys = _of_readout(target) if new_readout else set()
    former_keys = _of_readout(source) if new_readout else set()
    names = _Names(source, target)
    tensors: dict[str, Tensor] = {}
    kept: list[str] = []
    faults: list[str] = []
    used: set[str] = set()
    for key, value in wanted.items():
        origin = names.origin(key, found)
        fits = origin is not None and found[origin].shape == value.shape
        goes_over = fits and (same_neurons or optional.get(key) != "neuron")
        if key in new_keys or (key in optional and not goes_over):
            kept.append(key)
        elif origin is None:
            faults.append(f"it has no {key}")
        elif not fits:
            shapes = f"{list(found[origin].shape)}, not {list(value.shape)}"
            faults.append(f"{origin} has the shape {shapes}")
        else:
            tensors[key] = found[origin]
        if origin is not None:
            used.add(origin)
    unused = [
        key
        for key in found
        if key not in used
        and key not in of_source
        and not names.is_half(key)
        and key not in former_keys
    ]
    faults += [f"this network has no {key}" for key in unused]
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ConfigError(
            f"{name} cannot be the start of this network",
            why="; ".join(faults[:SHOWN]) + more,
            remedy="name a run of the same architecture, with the same keys of [model] and "
            "[synapse], as train.init",
        )
    return Transfer(tensors, kept, new_readout)


class _Names:
    """Where a tensor of the target comes from."""

    def __init__(self, source: SpikingNetwork, target: SpikingNetwork) -> None:
        self._stems = [f"{key}." for key, each in target.named_modules() if isinstance(each, Stem)]
        self._norms = {
            f"{key}.": sorted(_batch_norms(each, f"{key}."))
            for key, each in source.named_modules()
            if isinstance(each, TimeNorm) and not _is_part_of_norm(key, source)
        }

    def origin(self, key: str, found: dict[str, Tensor]) -> str | None:
        """Return the name in the source of a tensor of the target; None if it has none."""
        if key in found:
            return key
        half = self._other_half(key)
        if half in found:
            return half
        for prefix, norms in self._norms.items():
            if key.startswith(prefix) and len(norms) == 1:
                single = norms[0] + key.rpartition(".")[2]
                return single if single in found else None
        return None

    def is_half(self, key: str) -> bool:
        """Return whether a tensor of the source is of a stem, which may have more weights."""
        return self._other_half(key) is not None

    def _other_half(self, key: str) -> str | None:
        for prefix in self._stems:
            for half, other in (("analog.", "spikes."), ("spikes.", "analog.")):
                if key.startswith(prefix + half):
                    return prefix + other + key.removeprefix(prefix + half)
        return None


def _of_readout(network: SpikingNetwork) -> set[str]:
    """Return the names of the tensors of the readout."""
    return {
        f"{name}.{key}"
        for name, module in network.named_modules()
        if isinstance(module, Readout)
        for key in module.state_dict()
    }


def _is_part_of_norm(key: str, network: nn.Module) -> bool:
    parent = key.rpartition(".")[0]
    return isinstance(network.get_submodule(parent), TimeNorm)


def _batch_norms(norm: TimeNorm, prefix: str) -> set[str]:
    """Return the prefixes of the tensors of each batch norm in a norm over time."""
    return {f"{prefix}{key.rpartition('.')[0]}." for key in norm.state_dict()}


def _optional(network: SpikingNetwork) -> dict[str, str]:
    """Return the names of tensors that need not go over, each with what it belongs to."""
    found: dict[str, str] = {}
    for key, module in network.named_modules():
        if isinstance(module, SpikingLayer):
            prefix = f"{key}.neuron."
            inner = module.neuron
            # Recurrent weights around a neuron are not of the neuron.
            while isinstance(within := getattr(inner, "neuron", None), nn.Module):
                prefix, inner = f"{prefix}neuron.", within
            found |= {f"{prefix}{name}": "neuron" for name in inner.state_dict()}
        elif isinstance(module, Readout):
            # Of one step there is no scale, and of an ANN no neuron.
            own = [name for name in module.state_dict() if name.startswith(("scale", "neuron."))]
            found |= {f"{key}.{name}": "readout" for name in own}
    return found
