"""A stranger's run in which a file is a pipe, a device, endless, or holds impossible values."""

import os
import shutil
import signal

import pytest

from asnn.core.errors import AsnnError, DataError
from asnn.datasets.sources.store import open_store
from asnn.inspection import inspect
from asnn.learning import check_recipe, train
from asnn.learning.checkpoints.content import newest_checkpoint
from asnn.learning.observer import SilentObserver
from asnn.records.layout import Run, find_run, list_runs
from asnn.records.open_run import open_run
from asnn.records.record import read_record
from asnn.sweeps.folder import SweepFolder

RECIPE = {
    "data": {"name": "digits", "limit": 60},
    "coding": {"name": "hybrid", "steps": 2},
    "model": {"name": "mlp", "features": [4]},
    "train": {"epochs": 1},
}
DOCUMENTS = ("summary.json", "environment.json", "metrics.jsonl", "config.toml")
SPECIAL = {
    "fifo": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "endless": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 60 << 30),
    "folder": lambda path: path.mkdir(),
    "lost link": lambda path: path.symlink_to("nowhere"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("runs") / "a")
    run.path.mkdir()
    train(check_recipe(RECIPE), run, SilentObserver())
    return run


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "a")
    return Run(tmp_path / "a")


@pytest.fixture(autouse=True)
def in_time():
    """End a test that waits for a pipe."""

    def late(*arguments):
        raise AssertionError("it took too long")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def replace(path, kind):
    path.unlink()
    SPECIAL[kind](path)


def read_all(run):
    """Read a run in every way; return the errors, which are those for users."""
    errors = []
    for read in (
        lambda: find_run(run.path),
        lambda: list_runs(run.path.parent),
        lambda: read_record(run).as_dict(),
        lambda: inspect(run.path),
        lambda: open_run(run.path).load(),
        lambda: open_run(run.path).data,
        lambda: newest_checkpoint(run),
        lambda: train(check_recipe(RECIPE), run, SilentObserver(), resume=True),
    ):
        try:
            read()
        except AsnnError as error:
            errors.append(error)
    return errors


@pytest.mark.slow
def test_the_control_is_read_without_error(run):
    assert read_all(run) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_are_no_regular_file(run, name, kind):
    replace(run.path / name, kind)
    record = read_record(run)
    assert record.state == "damaged" and any(fault.startswith(name) for fault in record.faults)
    assert not run.finished or name != "summary.json"
    errors = read_all(run)
    if name == "config.toml":
        assert any(isinstance(error, DataError) for error in errors)
    elif kind == "fifo" and name != "summary.json":
        assert any(name in text for text in inspect(run.path)["warnings"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SPECIAL)
def test_an_evaluation_says_that_it_does_not_know_the_data_of_the_training(run, kind):
    replace(run.environment, kind)
    with pytest.warns(UserWarning, match="whether the data are those of the training"):
        _ = open_run(run.path).data


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SPECIAL)
def test_weights_that_are_no_regular_file(run, kind):
    replace(run.model, kind)
    with pytest.raises(DataError, match=r"model\.safetensors"):
        open_run(run.path).load_model()
    with pytest.raises(DataError, match=r"model\.safetensors"):
        inspect(run.path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["state.pt", "model.safetensors", "checksums.json"])
def test_checkpoints_that_are_no_regular_file(run, name, kind):
    for folder in run.checkpoints.glob("step-*"):
        replace(folder / name, kind)
    with pytest.raises(DataError, match="no checkpoint of .* is valid"):
        newest_checkpoint(run)


@pytest.mark.parametrize("kind", SPECIAL)
def test_reports_and_evaluations_that_are_no_regular_file(run, kind):
    folder = run.path / "export" / "onnx"
    folder.mkdir(parents=True)
    SPECIAL[kind](folder / "parity.json")
    SPECIAL[kind](run.path / "evaluation.json")
    assert inspect(run.path)["exports"][0]["state"] == "unknown"
    assert SweepFolder(run.path.parent).record("a", "test") is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text", ['{"best": ', "NaN", '{"finished": 1e999}', '{"a": ' + "[" * 10**5, "1" + "0" * 400]
)
@pytest.mark.parametrize("name", [*DOCUMENTS[:3], "export/onnx/parity.json"])
def test_impossible_values(run, name, text):
    (run.path / "export/onnx").mkdir(parents=True)
    (run.path / name).write_text(text)
    if name in DOCUMENTS:
        assert read_record(run).state == "damaged"
    read_all(run)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key", ["seconds", "parameters", "best", "sha256", "config", "metric"])
@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1e300", "[[]]", '{"x": null}', '"text"'])
def test_impossible_values_of_keys(run, key, value):
    text = run.summary.read_text().rstrip().removesuffix("}") + f', "{key}": {value}}}'
    run.summary.write_text(text)
    read_all(run)


@pytest.mark.parametrize("text", ["a" + ".a" * 300_000 + " = 1", "x = " + "[" * 10**5])
def test_a_deep_configuration(run, text):
    run.config.write_text(text)
    assert "nested too deeply" in read_record(run).faults[0]
    with pytest.raises(AsnnError, match="nested too deeply"):
        _ = open_run(run.path).recipe


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_a_pipe_among_the_samples_of_a_folder(tmp_path, kind):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/a.png").write_bytes(b"a")
    assert open_store(str(tmp_path)).sizes == {"cats/a.png": 1}
    SPECIAL[kind](tmp_path / "cats/b.png")
    with pytest.raises(DataError, match=r"b\.png is not a regular file"):
        open_store(str(tmp_path))


def test_a_sample_that_becomes_a_pipe(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    store = open_store(str(tmp_path))
    assert store.read("a.png") == b"a"
    replace(tmp_path / "a.png", "fifo")
    with pytest.raises(DataError, match=r"could not read .*a\.png"):
        store.read("a.png")


def test_links_among_the_folders_of_samples(tmp_path):
    """A link to a class is followed; links that lead back end."""
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/a.png").write_bytes(b"a")
    (tmp_path / "tigers").symlink_to("cats")
    assert set(open_store(str(tmp_path)).sizes) == {"cats/a.png", "tigers/a.png"}
    (tmp_path / "cats/up").symlink_to("..")
    (tmp_path / "cats/self").symlink_to(".")
    assert set(open_store(str(tmp_path)).sizes) == {"cats/a.png", "tigers/a.png"}


def test_links_that_multiply(tmp_path, monkeypatch):
    monkeypatch.setattr("asnn.datasets.sources.store.MAX_FOLDERS", 200)
    for depth in range(20):
        (tmp_path / f"{depth}").mkdir()
        for name in "ab":
            (tmp_path / f"{depth}" / name).symlink_to(f"../{depth + 1}")
    with pytest.raises(DataError, match="more than 200 folders"):
        open_store(str(tmp_path / "0"))
