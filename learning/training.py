"""Builds what one training needs (data, model, optimizer, method) from a recipe."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import ConfigError, DataError, check_all
from ..datasets import Batches, DataSet, make_augment
from ..datasets.order import balanced_order, shuffled_order
from ..kernels.dispatch import missing_backend
from ..models.factory import create_model
from ..models.layers.spiking import use_kernels
from ..models.layers.synced import sync_norms
from ..models.network import SpikingNetwork
from ..records.layout import Run
from ..tasks.base import Task
from ..tasks.class_weights import BALANCED
from .averaging import Average
from .device import derived_seed, find_device, require_float64
from .methods import Method, Stage
from .methods.trained_network import TrainedNetwork
from .monitoring.log import Log
from .monitoring.registry import find_logs
from .optimizer import make_optimizer
from .processes import ALONE, Processes
from .progress import TrainProgress
from .recipe.schema import Recipe, TrainSection
from .start.begin import check_start, needs_counterpart, needs_start
from .start.freeze import Frozen, find_frozen
from .trained import load_trained

CONVERSION = Stage("conversion", 0)
"""Of a training without epochs: the network keeps the weights that it starts from."""


@dataclass
class Training:
    """The parts and the progress of one training.

    Attributes:
        model: the network that is trained.
        average: of its weights; None without `train.ema`.
        task: loss and figures.
        processes: the rank of this process and the number of processes.
        forward: the network as training calls it, see `Method.make_forward`; with several processes
            it averages the gradients.
        logs: what writes the metrics for other programs, by name.
        frozen: what keeps its weights, by `train.freeze`.
        method: how the weights are learned, in `stages`.
        start: what the network started from, see `begin_from_start`; None without `train.init`.
        rates: learning rates of the steps, in place of those of the schedule.
        evaluated: modules that stay in evaluation mode in the current stage.
        saved: `time.monotonic()` and step of the last checkpoint.
        best: content of `model.safetensors` with the best weights so far.
        config: content of `config.toml` when this session began; empty if no file was written.
        size: number of values that any stage may train, with those that `train.freeze` keeps.
    """

    recipe: Recipe
    run: Run
    device: torch.device
    data: DataSet
    model: SpikingNetwork
    task: Task
    scaler: torch.amp.GradScaler
    progress: TrainProgress
    batches_per_epoch: int
    processes: Processes
    method: Method
    stages: list[Stage]
    logs: dict[str, type[Log]]
    optimizer: torch.optim.Optimizer = field(init=False)
    average: Average | None = field(init=False)
    frozen: Frozen = field(init=False)
    forward: nn.Module = field(init=False)
    evaluated: list[nn.Module] = field(init=False)
    rates: list[float] | None = None
    saved: tuple[float, float] = (0.0, 0)
    best: bytes | None = None
    config: bytes = b""
    start: dict[str, Any] | None = None
    size: int = 0

    @property
    def waits(self) -> bool:
        """Whether something is trained or loaded before the first stage can begin."""
        return needs_counterpart(self) or needs_start(self)

    def load_trained(self, source: str) -> TrainedNetwork:
        """Return the network of the run in the folder `source`, or for `ann` the ANN counterpart.

        Raises:
            DataError: there is no such run, or its weights cannot be read.
        """
        return load_trained(source, self.run)

    @property
    def stage(self) -> Stage:
        """The stage that the training is in; after the last one, the last."""
        return self.stages[min(self.progress.stage, len(self.stages) - 1)]

    @property
    def parameters(self) -> int:
        """Number of values that learn in the current stage."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def frozen_parameters(self) -> int:
        """Number of values that `train.freeze` keeps."""
        return sum(p.numel() for p in self.frozen.parameters.values())

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimization steps in an epoch."""
        of_batches = -(-self.batches_per_epoch // self.recipe.train.accumulate)
        return of_batches * self.method.updates(self.recipe.coding.steps)

    @property
    def result(self) -> SpikingNetwork:
        """The network that is validated and saved: the average of the weights, if there is one."""
        return self.model if self.average is None else self.average.model


def prepare(
    recipe: Recipe, run: Run, processes: Processes = ALONE, data: DataSet | None = None
) -> Training:
    """Load the data, unless given, and build the network and its optimizer.

    The first stage has begun, unless the training `waits` for the ANN counterpart or a start.

    Raises:
        AsnnError: the data cannot be loaded, or the network does not fit them.
    """
    device = processes.device(find_device(recipe.train.device))
    if data is None:
        data = processes.in_turn(recipe.data.load)
    _require_same_data(data, processes)
    task = recipe.make_task(data)
    _weigh_classes(recipe.train, task, data)
    mean, std = data.moments() or (None, None)
    torch.manual_seed(derived_seed(recipe.train.seed))
    model = create_model(
        **recipe.model_arguments(),
        in_shape=data.in_shape,
        classes=task.outputs,
        sample=data.spec,
        mean=mean,
        std=std,
    )
    require_float64(device, model)
    model = model.to(device)
    task.use_readout(model.readout)
    use_kernels(model, recipe.train.kernels)
    if recipe.train.kernels != "reference":
        missing_backend(device.type, torch.float32)  # imports it before the first step
    if recipe.train.sync_norm and processes.count > 1:
        sync_norms(model)
    method = recipe.make_method()
    method.bind(model, recipe.train)
    training = Training(
        recipe=recipe,
        run=run,
        device=device,
        data=data,
        model=model,
        task=task,
        scaler=torch.amp.GradScaler(device.type, enabled=recipe.train.precision == "float16"),
        progress=TrainProgress(),
        batches_per_epoch=0,
        processes=processes,
        method=method,
        logs=find_logs(recipe.train.log),
        stages=method.stages(recipe.train.epochs) if recipe.train.epochs else [CONVERSION],
    )
    training.size = training.parameters
    check_all(
        lambda: method.check(training),
        lambda: check_start(training),
        lambda: find_frozen(model, recipe.train.freeze),
        lambda: _require_outputs(training),
        lambda: _try_kernels(training),
    )
    if not training.waits:
        begin_stage(training)
    training.batches_per_epoch = len(training_batches(training))
    if min(recipe.train.batch_size, len(data.train)) == 1:
        _try_single_sample(training)
    return training


def begin_stage(training: Training) -> None:
    """Let the method prepare the current stage, and make what each stage has of its own."""
    train = training.recipe.train
    training.evaluated = []
    if training.stage is not CONVERSION:
        training.evaluated = list(training.method.begin(training, training.stage))
    training.frozen = find_frozen(training.model, train.freeze)
    training.frozen.apply()
    training.evaluated += training.frozen.norms
    _require_learning(training)
    training.optimizer = make_optimizer(train, training.model)
    training.average = None if train.ema is None else Average(training.model, train.ema)
    training.forward = training.method.make_forward(training)


def _require_learning(training: Training) -> None:
    """Refuse a stage in which `train.freeze` and the method leave nothing to learn."""
    if training.frozen.parameters and not training.parameters:
        raise ConfigError(
            f"train.freeze leaves nothing to learn in the stage {training.stage.name}",
            why=f"the method {training.recipe.method.name} freezes the other parameters",
            remedy="freeze fewer layers",
        )


def join_gradients(training: Training) -> None:
    """Broadcast the weights of the first process, and average all gradients from now on.

    `find_unused_parameters` allows a leak that T = 1 never uses. It also keeps the gradients in
    their initial buckets: torch would otherwise regroup them after the first step of each session,
    and three or more processes would then add them in another order.
    """
    if training.processes.count > 1:
        training.forward = DistributedDataParallel(training.forward, find_unused_parameters=True)


def training_batches(training: Training) -> Batches:
    """Return the remaining batches of the current epoch."""
    recipe, progress = training.recipe, training.progress
    seed = derived_seed(recipe.train.seed, progress.epoch)
    return Batches(
        training.data.train,
        batch_size=recipe.train.batch_size,
        full_scale=training.data.full_scale,
        device=training.device,
        shuffle=True,
        order=balanced_order if recipe.train.sampling == BALANCED else shuffled_order,
        generator=torch.Generator().manual_seed(seed),
        augment=make_augment(training.data.spec, recipe.augment.options(), training.data.target),
        epoch=progress.epoch,
        workers=recipe.train.workers,
        start=progress.batch,
        part=training.processes.part,
    )


def _weigh_classes(train: TrainSection, task: Task, data: DataSet) -> None:
    """Let loss or sampling weigh the classes as the recipe says.

    Raises:
        ConfigError: both do, the task has no classes, or the weights are not of its classes.
    """
    if train.sampling == BALANCED:
        if train.class_weights is not None:
            raise ConfigError(
                "train.class_weights and train.sampling=balanced both weigh the classes",
                why="together they would correct the same imbalance twice",
                remedy="keep one of them",
            )
        if not task.one_class:
            raise ConfigError(
                f"train.sampling=balanced is for one class a sample, the task is {task.name}",
                why="it draws samples by their class",
                remedy="leave train.sampling out; train.class_weights weighs the classes of steps"
                if type(task).use_class_weights is not Task.use_class_weights
                else "leave train.sampling out",
            )
    if train.class_weights is not None:
        task.use_class_weights(train.class_weights, data.train.targets)


def _require_same_data(data: DataSet, processes: Processes) -> None:
    """Refuse data other than those of the first process, or fewer samples than processes."""
    if processes.from_first(lambda: data.fingerprint) != data.fingerprint:
        raise DataError(
            f"the data of process {processes.rank} are not those of the first",
            why="each machine reads its own",
            remedy="give all of them the same files",
        )
    if len(data.validation) < processes.count:
        raise ConfigError(
            f"{len(data.validation)} samples to validate on are too few for {processes.count} "
            "processes",
            remedy="raise data.validation, or start fewer processes",
        )


def _require_outputs(training: Training) -> None:
    """Refuse windows of several steps where the target says something for each step."""
    every = training.model.steps_per_output
    if every > 1 and training.task.each_step:
        raise ConfigError(
            f"the task {training.task.name} needs an output for each step, and this network has "
            f"one for {every}",
            why="it answers once for each window of its accumulator",
            remedy=f"set model.windows={training.model.coding.steps}, or another task",
        )


def _try_kernels(training: Training) -> None:
    """Refuse fused kernels for a network that they do not compute, before anything is written;
    tried on a copy of the network.

    Raises:
        ConfigError: with the reason.
    """
    if training.recipe.train.kernels != "fused":
        return
    step = training.model.step_shape
    assert step is not None
    code = torch.zeros(training.recipe.coding.steps, 2, *step, device=training.device)
    copy.deepcopy(training.model).train().run(code)


def _try_single_sample(training: Training) -> None:
    """Refuse batches of one sample if a batch norm needs two; tried on a copy of the network."""
    step = training.model.step_shape
    assert step is not None
    code = torch.zeros(training.recipe.coding.steps, 1, *step, device=training.device)
    try:
        copy.deepcopy(training.model).train().run(code)
    except ValueError as error:
        raise ConfigError(
            "batches of one sample cannot train this network",
            why=f"batch norm needs more than one value to normalize: {error}",
            remedy="raise train.batch_size or data.limit, or use model.norm=folded",
        ) from error
