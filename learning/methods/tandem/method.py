"""Progressive tandem learning: an ANN becomes a spiking network layer by layer."""

from __future__ import annotations

from typing import Any, Literal

from safetensors.torch import load
from torch import nn

from ....core.errors import ConfigError, check_all
from ....core.registry import unknown
from ....models.network import SpikingNetwork
from ..base import Stage
from ..bptt import Bptt
from ..forward import TrainableForward
from .calibration import calibrate_block
from .chain import Chain, find_chain
from .network import Coupled, Hybrid

LAST_LR = 0.1  # of the published schedule: factor of the learning rate for the readout alone
FREEZES = ("progressive", "none")


class Tandem(Bptt):
    """Training of an ANN whose layers are replaced by spiking ones, one in each stage.

    Stage l of L calibrates the amplitude of layer l, lets it spike, and freezes it with the
    statistics of its norm. What is behind it learns, as an ANN, from the means over the steps of
    its outputs (`Hybrid`): without surrogate gradients, and in a memory that does not grow with T.
    In the last stage the readout alone learns, with a tenth of the learning rate. A stage begins
    with the best weights of the one before, and ends after its epochs or by `train.patience`.

    With `freeze = "none"` all layers are coupled from the beginning, and all learn (`Coupled`).

    The range of the activations of a layer is found for the input that it has from the spiking
    layers before it, by `train.calibrate`.

    Args:
        freeze: `progressive` or `none`.
        stage_epochs: epochs of each stage, in place of equal ones, of which later stages have the
            rest.

    Raises:
        ConfigError: an option out of range.

    Source: Wu et al., "Progressive Tandem Learning for Pattern Recognition With Deep Spiking Neural
    Networks", arXiv 2007.01204 (TPAMI 2021).
    """

    name = "tandem"
    _chain: Chain
    _lr: float

    def __init__(
        self,
        *,
        freeze: Literal["progressive", "none"] = "progressive",
        stage_epochs: list[int] | None = None,
    ) -> None:
        if freeze not in FREEZES:
            raise unknown("freeze", freeze, list(FREEZES))
        if stage_epochs is not None and (not stage_epochs or min(stage_epochs) < 1):
            raise ConfigError(
                f"stage_epochs must be positive, one for each stage, not {stage_epochs}"
            )
        if stage_epochs is not None and freeze == "none":
            raise ConfigError(
                "stage_epochs has no effect with freeze 'none'",
                why="it has one stage of train.epochs",
                remedy="leave method.stage_epochs out, or set method.freeze=progressive",
            )
        self.freeze, self.stage_epochs = freeze, stage_epochs

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        self._chain, self._lr = find_chain(model), train.lr

    def stages(self, epochs: int) -> list[Stage]:
        """Return a stage for each layer of neurons, by its name; with `freeze = "none"` one.

        Raises:
            ConfigError: the epochs are fewer than the stages, or `stage_epochs` are others.
        """
        if self.freeze == "none":
            return [Stage(self.name, epochs)]
        names = list(self._chain.blocks)
        shares = self._shares(epochs, names)
        *first, last = zip(names, shares, strict=True)
        return [*(Stage(*each) for each in first), Stage(*last, lr=LAST_LR * self._lr)]

    def check(self, training: Any) -> None:
        check_all(
            lambda: self._require_start(training.recipe.train),
            lambda: self._require_one_end(training.recipe.train),
            lambda: self._require_one_output(training),
        )

    def _require_start(self, train: Any) -> None:
        if train.init == "none":
            raise ConfigError(
                "the method tandem converts a trained ANN, and there is none",
                remedy="set train.init=ann, or to the folder of a run",
            )

    def _require_one_end(self, train: Any) -> None:
        if self.stage_epochs is not None and train.patience is not None:
            raise ConfigError(
                "method.stage_epochs and train.patience both say when a stage ends",
                remedy="keep one of them",
            )

    def _require_one_output(self, training: Any) -> None:
        if training.recipe.train.epochs and not training.task.needs_mean_only:
            raise ConfigError(
                "the method tandem has one output for all steps, which this loss or task has not",
                why="layers that do not spike yet see the mean over the steps",
                remedy="set train.loss=mean, or method.name=bptt",
            )

    def begin(self, training: Any, stage: Stage) -> list[nn.Module]:
        coupled = self._coupled(stage)
        blocks = range(coupled) if self.freeze == "none" else [coupled - 1]
        if self.freeze != "none" and coupled > 1:
            # The best weights of the stage before, on which alone this one depends.
            training.model.load_state_dict(load(training.best))
        for block in blocks:
            calibrate_block(training, self._chain, block)
        training.processes.same_weights(training.model)
        if self.freeze == "none":
            return []
        frozen = list(self._chain.before(coupled).values())
        for layer in frozen:
            layer.requires_grad_(False)
            for parameter in layer.parameters():
                parameter.grad = None  # of the stage before
        return frozen

    def make_forward(self, training: Any) -> nn.Module:
        if not training.stage.epochs:  # a conversion without training
            return super().make_forward(training)
        if self.freeze == "none":
            return TrainableForward(Coupled(training.model, self._chain))
        return TrainableForward(Hybrid(training.model, self._chain, self._coupled(training.stage)))

    def validated(self, training: Any) -> SpikingNetwork:
        """Return what the stage has made of the network: behind its layer, an ANN."""
        coupled = self._coupled(training.stage)
        if coupled == len(self._chain.blocks):
            return training.result
        return Hybrid(training.result, find_chain(training.result), coupled)

    def _coupled(self, stage: Stage) -> int:
        """Return the number of layers that spike in a stage."""
        names = list(self._chain.blocks)
        return names.index(stage.name) + 1 if stage.name in names else len(names)

    def _shares(self, epochs: int, names: list[str]) -> list[int]:
        """Return the epochs of each stage.

        Raises:
            ConfigError: they do not add up, or a stage would have none.
        """
        if self.stage_epochs is None:
            if epochs < len(names):
                raise ConfigError(
                    f"{epochs} epochs are fewer than the {len(names)} stages of the method tandem",
                    why=f"the layers {', '.join(names)} are converted one after the other",
                    remedy=f"set train.epochs to {len(names)} or more, or method.freeze=none",
                )
            shares, rest = divmod(epochs, len(names))
            return [shares + (at >= len(names) - rest) for at in range(len(names))]
        if len(self.stage_epochs) != len(names):
            raise ConfigError(
                f"method.stage_epochs has {len(self.stage_epochs)} stages, the network "
                f"{len(names)}",
                why=f"each of the layers {', '.join(names)} has one",
                remedy=f"give {len(names)} numbers, or leave method.stage_epochs out",
            )
        if sum(self.stage_epochs) != epochs:
            raise ConfigError(
                f"method.stage_epochs adds up to {sum(self.stage_epochs)} epochs, train.epochs is "
                f"{epochs}",
                remedy=f"set train.epochs={sum(self.stage_epochs)}",
            )
        return list(self.stage_epochs)
