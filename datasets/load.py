"""From a name and its options to a data set in three splits."""

from typing import Any

from ..core.errors import ConfigError, DataError
from ..core.registry import Registry, check_options, keyword_options
from .base import DataSet, Source, fingerprint
from .splits import cut, subset

dataset_registry = Registry(
    "datasets",
    {
        "digits": "datasets.sources.digits:load_digits",
        "mnist": "datasets.sources.mnist:load_mnist",
        "fashion-mnist": "datasets.sources.mnist:load_fashion_mnist",
        "kmnist": "datasets.sources.mnist:load_kmnist",
        "cifar10": "datasets.sources.cifar:load_cifar10",
        "cifar100": "datasets.sources.cifar:load_cifar100",
        "svhn": "datasets.sources.svhn:load_svhn",
        "folder": "datasets.sources.folder:load_folder",
        "npz": "datasets.sources.npz:load_npz",
    },
)

TEST_CUT, VALIDATION_CUT = 1, 2


def load_dataset(
    name: str,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    limit: int | None = None,
    **options: Any,
) -> DataSet:
    """Load the data set called `name` and cut it into training, validation and test splits.

    The cuts are stratified and fixed: they depend on the data alone, not on the run's seed.

    Args:
        name: a name of `dataset_registry`.
        validation: the share of the training part that is kept for validation; not used where
            the source brings a validation part.
        test: the share that is kept for testing, cut before validation; not used where the
            source brings a test part.
        limit: train on that many samples only, classes in proportion; validation and test stay
            whole.
        options: the keyword parameters of the loader.

    Raises:
        ConfigError: an unknown name or option, or a share outside (0, 1).
        DataError: files that are missing, damaged or too few.
    """
    loader = dataset_registry.get(name)
    for key, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1:
            raise ConfigError(
                f"{key} is {share}",
                why="it is a share of the samples, between 0 and 1, both excluded",
                remedy=f"choose for example --set data.{key}=0.1",
            )
    if limit is not None and limit < 1:
        raise ConfigError(
            f"limit is {limit}",
            why="it counts training samples",
            remedy="give at least 1, or leave it out to use them all",
        )
    _check_options(name, loader, options)
    source: Source = loader(**options)

    train, tested, validated = source.train, source.test, source.validation
    if tested is None:
        train, tested = cut(train, test, TEST_CUT)
    if validated is None:
        train, validated = cut(train, validation, VALIDATION_CUT)
    for part, split in (("validation", validated), ("test", tested)):
        if len(split) == 0:
            raise DataError(
                f"{name} has too few samples to cut a {part} part from",
                why=f"every class has a single one ({len(train)} in all)",
                remedy=f"give more samples, or a {part} part of its own",
            )
    if limit is not None:
        train = subset(train, limit)
    return DataSet(
        name=name,
        train=train,
        validation=validated,
        test=tested,
        classes=source.classes,
        full_scale=source.full_scale,
        fingerprint=fingerprint(train, validated, tested),
    )


def _check_options(name: str, loader: Any, options: dict[str, Any]) -> None:
    check_options("data set", name, loader, options)
    for key, parameter in keyword_options(loader).items():
        if parameter.default is parameter.empty and key not in options:
            raise ConfigError(
                f"data set {name} needs {key}",
                why="it cannot be found without",
                remedy=f"give --set data.{key}=...",
            )
