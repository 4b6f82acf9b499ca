"""The registry of data sets, and their three splits."""

from collections.abc import Iterable
from typing import Any

from ..coding.samples import SampleSpec
from ..core.errors import ConfigError, DataError
from ..core.registry import Registry, check_options, keyword_options
from .base import DataSet, Source, fingerprint
from .check import check_source
from .copies import copies_between
from .splits import cut, subset
from .target_images import match, read_target_images

dataset_registry = Registry(
    "datasets",
    {
        "digits": "datasets.sources.images.digits:load_digits",
        "mnist": "datasets.sources.images.mnist:load_mnist",
        "fashion-mnist": "datasets.sources.images.mnist:load_fashion_mnist",
        "kmnist": "datasets.sources.images.mnist:load_kmnist",
        "cifar10": "datasets.sources.images.cifar:load_cifar10",
        "cifar100": "datasets.sources.images.cifar:load_cifar100",
        "svhn": "datasets.sources.images.svhn:load_svhn",
        "folder": "datasets.sources.images.folder:load_folder",
        "npz": "datasets.sources.images.npz:load_npz",
        "nmnist": "datasets.sources.events.nmnist:load_nmnist",
        "shd": "datasets.sources.events.shd:load_shd",
        "events-folder": "datasets.sources.events.folder:load_events_folder",
        "events-npz": "datasets.sources.events.npz:load_events_npz",
        "flow-nmnist": "datasets.sources.flow.nmnist:load_flow_nmnist",
        "flow-simulated": "datasets.sources.flow.simulated:load_flow_simulated",
        "flow-events": "datasets.sources.flow.recordings:load_flow_events",
        "series-npz": "datasets.sources.series.npz:load_series_npz",
        "wav-folder": "datasets.sources.series.wav_folder:load_wav_folder",
        "qtdb": "datasets.sources.series.qtdb:load_qtdb",
        "yin-yang": "datasets.sources.images.yin_yang:load_yin_yang",
        "noise-task": "datasets.sources.series.noise_task:load_noise_task",
        "scatter": "datasets.sources.boxes.scatter:load_scatter",
        "scatter-events": "datasets.sources.boxes.scatter_events:load_scatter_events",
        "coco": "datasets.sources.boxes.coco:load_coco",
        "voc": "datasets.sources.boxes.voc:load_voc",
        "lorenz": "datasets.sources.series.lorenz:load_lorenz",
        "none": "datasets.sources.none:load_none",
    },
)

TEST_CUT, VALIDATION_CUT = 1, 2  # the random stream of each cut
# Characters; names stand in tables, in reports and in the header of the weights.
MAX_CLASS_NAME = 1024


def load_dataset(
    name: str,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    limit: int | None = None,
    target_images: str | None = None,
    **options: Any,
) -> DataSet:
    """Load the data set called `name` and cut it into training, validation and test splits.

    The cuts are stratified and fixed: they depend on the data alone, not on the run's seed.

    Args:
        name: a name of `dataset_registry`.
        validation: the share of the training part for validation; not used if the source has a
            validation part.
        test: the share for testing, cut before validation; not used if the source has a test part.
        limit: the number of training samples, classes in proportion; validation and test are not
            reduced.
        target_images: a file of images, one of each sample, which become the targets; see
            `read_target_images`. The splits are those of the data set without it.
        options: the keyword parameters of the loader.

    Raises:
        ConfigError: an unknown name or option, or a share outside (0, 1).
        DataError: missing or damaged files, or too few samples.
    """
    for key, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1:
            raise ConfigError(
                f"{key} is {share}",
                why="it is a share of the samples, above 0 and below 1",
                remedy=f"choose for example --set data.{key}=0.1",
            )
    if limit is not None and limit < 1:
        raise ConfigError(
            f"limit is {limit}",
            why="it counts training samples",
            remedy="give at least 1, or leave it out to use them all",
        )
    source = load_source(name, **options)
    images = None if target_images is None else read_target_images(target_images)
    if images is not None:
        source = match(name, source, images)
    train, test_part, validation_part = source.train, source.test, source.validation
    notes = list(source.notes)
    if test_part is None:
        train, test_part = cut(train, test, TEST_CUT)
    if validation_part is None:
        train, validation_part = cut(train, validation, VALIDATION_CUT)
    for part, split in (("validation", validation_part), ("test", test_part)):
        if len(split) == 0:
            raise DataError(
                f"{name} has too few samples to cut a {part} part from",
                why=f"every class has a single sample ({len(train)} in all)",
                remedy=f"give more samples, or a {part} part of its own",
            )
    if source.test is None:
        notes += copies_between(train, validation_part, test_part)
    if limit is not None and limit < len(train):
        notes.append(
            f"data.limit: {limit:,} of {len(train):,} training samples; validation and test are "
            "not limited"
        )
        train = subset(train, limit)
    if images is not None:
        train, validation_part, test_part = map(images.of, (train, validation_part, test_part))
    return DataSet(
        name=name,
        train=train,
        validation=validation_part,
        test=test_part,
        classes=source.classes,
        full_scale=source.full_scale,
        fingerprint=fingerprint(train, validation_part, test_part),
        spec=spec_of(source),
        notes=notes,
        target=source.target,
    )


def load_source(name: str, **options: Any) -> Source:
    """Return the parts of the data set called `name` as its files have them.

    Args:
        name: a name of `dataset_registry`.
        options: the keyword parameters of the loader.

    Raises:
        ConfigError: an unknown name or option.
        DataError: missing or damaged files.
    """
    loader = dataset_registry.get(name)
    _check_options(name, loader, options)
    source = check_source(name, loader(**options))
    longest = max(source.classes, key=len, default="")
    if len(longest) > MAX_CLASS_NAME:
        raise DataError(
            f"{name} has a class with a name of {len(longest):,} characters",
            why=f"it begins with {longest[:40]!r}; at most {MAX_CLASS_NAME} are allowed",
            remedy="shorten it",
        )
    return source


def spec_of(source: Source) -> SampleSpec:
    """Return kind and shape of the samples of a source."""
    return source.spec or SampleSpec("image", tuple(map(int, source.train.inputs.shape[1:])))


def no_folder(what: str, known: Iterable[str]) -> ConfigError:
    """Return the error for the folder `dir`, `--data-dir`, of a data set that has no such option.

    Args:
        what: the data set, in words.
        known: its options.
    """
    keys = [f"data.{key}" for key in ("path", "test_path") if key in known]
    return ConfigError(
        f"a folder (--data-dir) does not place the files of {what}",
        why=f"they are at {' and '.join(keys)}" if keys else "dir is no option of it",
        remedy=" and ".join(f"--set {key}=..." for key in keys)
        or "leave data.dir (--data-dir) out",
    )


def _check_options(name: str, loader: Any, options: dict[str, Any]) -> None:
    try:
        check_options("data set", name, loader, options)
    except ConfigError:
        known = keyword_options(loader)
        if "dir" in options and "dir" not in known:
            raise no_folder(f"the data set {name}", known) from None
        raise
    for key, parameter in keyword_options(loader).items():
        if parameter.default is parameter.empty and key not in options:
            raise ConfigError(
                f"data set {name} needs {key}",
                why="the data cannot be found without it",
                remedy=f"give --set data.{key}=...",
            )
