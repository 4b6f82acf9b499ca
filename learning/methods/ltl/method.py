"""Local tandem learning: each layer learns the activations of the same layer of an ANN."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ....coding.samples import Batch
from ....core.errors import ConfigError
from ....datasets.transforms.mixing import Targets
from ....models.layers.neurons import spiking_neurons
from ....models.layers.spiking import layer_outputs
from ....models.network import SpikingNetwork
from ...device import mixed_precision
from ..base import Method, Stage
from ..trained_network import ANN, TrainedNetwork
from .checks import (
    require_activations,
    require_classes,
    require_learnable_layers,
    require_readout,
)
from .layers import SeparateLayers, require_separable
from .losses import early_loss, layer_loss

LAYERS, READOUT = "layers", "readout"  # the stages


class LocalTandemLearning(Method):
    """Layers that learn the activations of an ANN, each by itself; then an early readout.

    Stage `layers`: all layers at once, but no gradient passes from one to another,

        L = CE(1/T Σ_t logits_t, y) + Σ_l MSE(1/T Σ_t S_l, g A_l)

    with S_l the output of layer l after its pool and A_l the activations of the ANN for the same
    (augmented, also mixed) samples. The logits are those of the readout's affine layer; their loss
    reaches the readout alone. Batch norms keep the statistics of the ANN.

    Stage `readout`: the readout alone learns to answer at its first crossing, see `early_loss`.

    The ANN is the one that the training starts from: the ANN counterpart, or the run of it.

    Args:
        gain: g. The amplitudes become g times those of the calibration, so that the range of the
            targets is that of the neurons. 5 with `neuron.most = 5` is the published variant, in
            which V is the range of the activations; with 1, V is range / most.
        readout_epochs: of the stage `readout`, of the `train.epochs`; with all of them there is no
            stage `layers`.
        readout_lr: learning rate of the stage `readout`.

    Attributes:
        network: the ANN, in evaluation mode; it is not trained.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2305.16594; local tandem learning is arXiv 2210.04532.
    """

    name = "ltl"
    network: SpikingNetwork

    def __init__(
        self, *, gain: float = 1.0, readout_epochs: int = 0, readout_lr: float = 2e-3
    ) -> None:
        if not gain > 0:
            raise ConfigError(f"gain must be above 0, not {gain}")
        if readout_epochs < 0:
            raise ConfigError(f"readout_epochs must be 0 or more, not {readout_epochs}")
        if not readout_lr > 0:
            raise ConfigError(f"readout_lr must be above 0, not {readout_lr}")
        self.gain, self.readout_epochs, self.readout_lr = gain, readout_epochs, readout_lr
        self._trained: TrainedNetwork | None = None

    def stages(self, epochs: int) -> list[Stage]:
        if self.readout_epochs > epochs:
            raise ConfigError(
                f"readout_epochs is {self.readout_epochs}, train.epochs {epochs}",
                why="the epochs of both stages add up to train.epochs",
                remedy=f"set train.epochs to more than {self.readout_epochs}, or "
                f"method.readout_epochs to less than {epochs}",
            )
        stages = [
            Stage(LAYERS, epochs - self.readout_epochs),
            Stage(READOUT, self.readout_epochs, self.readout_lr),
        ]
        return [stage for stage in stages if stage.epochs]

    def check(self, training: Any) -> None:
        train, model = training.recipe.train, training.model
        if train.init == "none":
            raise ConfigError(
                "ltl learns the activations of an ANN, and the training starts from none",
                remedy="set train.init=ann, or to the folder of a run of this network with "
                "model.neuron=relu",
            )
        self.needs_counterpart = train.init == ANN
        if train.init != ANN:
            trained = self._trained = training.load_trained(train.init)
            require_activations(trained.model, train.init)
        require_classes(training)
        require_learnable_layers(model, scaled=self.gain != 1)
        require_readout(model, decides=bool(self.readout_epochs))
        if self.gain != 1 and train.epochs and self.readout_epochs == train.epochs:
            raise ConfigError(
                f"gain is {self.gain}, and no layer learns it",
                why="all epochs are those of the readout",
                remedy="set method.gain=1, or train.epochs to more than method.readout_epochs",
            )
        require_separable(model)

    def load(self, training: Any) -> None:
        trained = self._trained or training.load_trained(training.recipe.train.init)
        self._trained, self.network = trained, trained.model.to(training.device).eval()

    def fingerprints(self) -> dict[str, str]:
        return {} if self._trained is None else {"ANN": self._trained.fingerprint}

    def begin(self, training: Any, stage: Stage) -> list[nn.Module]:
        model = training.model
        if stage.name == LAYERS:
            if self.gain != 1:
                for neuron in spiking_neurons(model).values():
                    neuron.raw_amplitude.data.mul_(self.gain)  # type: ignore[operator]
            return [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if training.best is not None:
            model.load_state_dict(load(training.best))
        hidden = [module for module in model.body.children() if module is not model.readout]
        for module in hidden:
            module.requires_grad_(False)
        return hidden

    def make_forward(self, training: Any) -> nn.Module:
        if training.stage.name == LAYERS:
            return SeparateLayers(training.model)
        return super().make_forward(training)

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        with mixed_precision(training.device, training.recipe.train.precision):
            if training.stage.name == LAYERS:
                outputs, means = training.forward(x)
                loss = training.task.loss(outputs, targets)
                loss = loss + layer_loss(means, self._activations(x), self.gain)
            else:
                outputs = training.forward(x, False)
                loss = self._early_loss(training, outputs, targets)
        training.scaler.scale(loss if weight == 1 else loss * weight).backward()
        return loss, outputs

    def _early_loss(self, training: Any, outputs: Tensor, targets: Targets) -> Tensor:
        readout, task = training.model.readout, training.task
        return early_loss(
            readout.decide(outputs),
            outputs[-1],
            targets,
            level=readout.level,
            # One step is its own mean, which is what the loss of the task compares.
            label_loss=lambda scores, y: task.loss(scores.unsqueeze(0), y),
            score=lambda scores, y: task.score(scores.unsqueeze(0), y),
        )

    @torch.no_grad()
    def _activations(self, x: Batch) -> dict[str, Tensor]:
        """Return A_l of each layer by its name, `[B, C, ...]`: of several steps their mean."""
        with layer_outputs(self.network) as outputs:
            self.network(x)
        return {name: output.float().mean(0) for name, output in outputs.items()}
