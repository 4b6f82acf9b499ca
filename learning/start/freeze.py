"""Layers that keep the weights that a training starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...core.errors import ConfigError
from ...core.registry import nearest

BODY = "body."  # the part of a network that has its layers; names of layers leave it out


@dataclass(frozen=True)
class Frozen:
    """What does not learn.

    Attributes:
        parameters: by name.
        norms: batch norms whose running statistics stay too.
    """

    parameters: dict[str, nn.Parameter]
    norms: Sequence[nn.Module]

    @property
    def layers(self) -> list[str]:
        """The names of the layers that have one of the parameters."""
        return list(dict.fromkeys(list(_names(name))[-1] for name in self.parameters))

    def apply(self) -> None:
        """Keep the parameters out of gradients and optimizer."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)


def find_frozen(model: nn.Module, patterns: list[str]) -> Frozen:
    """Return what `train.freeze` names: parameters, or layers with all that is in them.

    A pattern is that of a shell (`*`, `?`, `[...]`), compared with the whole name. A batch norm
    is frozen with its layer, or if none of its parameters learns: it then normalises by its running
    statistics, which stay.

    Raises:
        ConfigError: a pattern names nothing, or nothing is left to learn.
    """
    parameters = dict(model.named_parameters())
    used: set[str] = set()

    def is_frozen(name: str) -> bool:
        hits = {p for p in patterns for each in _names(name) if fnmatchcase(each, p)}
        used.update(hits)
        return bool(hits)

    found = {name: each for name, each in parameters.items() if is_frozen(name)}
    norms = [
        module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and (is_frozen(name) or _is_all_frozen(module, found.values()))
    ]
    unknown = [pattern for pattern in patterns if pattern not in used]
    if unknown:
        raise _unknown(unknown, model)
    if parameters and len(found) == len(parameters):
        raise ConfigError(
            f"train.freeze freezes all {len(found)} parameters",
            why=f"{', '.join(patterns)} leaves nothing to learn",
            remedy="leave a layer out, such as the readout; train.epochs=0 keeps a start as it is",
        )
    return Frozen(found, norms)


def _names(name: str) -> Iterator[str]:
    """Yield a name and those of the layers around it, without `body.`."""
    parts = name.removeprefix(BODY).split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


def _is_all_frozen(module: nn.Module, frozen: Iterable[nn.Parameter]) -> bool:
    chosen = {id(each) for each in frozen}
    own = list(module.parameters())
    return bool(own) and all(id(each) in chosen for each in own)


def _unknown(patterns: list[str], model: nn.Module) -> ConfigError:
    names = [name.removeprefix(BODY) for name, _ in model.named_parameters()]
    layers = list(dict.fromkeys(name.partition(".")[0] for name in names))
    near = nearest(patterns[0], layers)
    hint = f"did you mean {near}? " if near else ""
    return ConfigError(
        f"train.freeze names no layer or parameter: {', '.join(patterns)}",
        why=f"the layers are {', '.join(layers)}",
        remedy=f"{hint}a parameter has the name of its layer in front: {', '.join(names[-1:])}",
    )
