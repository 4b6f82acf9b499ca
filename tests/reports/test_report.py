"""`asnn report`: the page of a run that was trained."""

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import pytest

from asnn.cli.app import run
from asnn.learning.processes import Processes
from asnn.reports.collect import CONFIDENCE_LEVELS
from asnn.reports.wording import energy, percent
from tests.support.html import read_page


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run `asnn ARGUMENTS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.mark.slow
def test_figures_equal_those_of_the_run_and_of_eval(cli, trained, written):
    page = read_page(written.read_text("utf-8"))
    found = {name: float(value) for name, value in page.figures().items()}
    summary = json.loads((trained / "summary.json").read_text())
    assert found["best_validation_accuracy"] == summary["best"]["validation_accuracy"]
    assert found["best_epoch"] == summary["best"]["epoch"]
    assert found["parameters"] == summary["parameters"]
    rules = [f"--exit=confidence={level}" for level in CONFIDENCE_LEVELS]
    code, out, _ = cli("eval", trained, "--energy", "--json", *rules)
    evaluated = json.loads(out)
    assert code == 0
    for name in ("accuracy", "loss", "spikes_per_sample", "calibration_error"):
        assert found[name] == evaluated[name]
    for name in ("picojoules_per_sample", "accumulates", "multiply_accumulates"):
        assert found[name] == evaluated["energy"][name] > 0
    dense = evaluated["energy"]["ann_twin"]["dense"]
    assert found["ann_twin_picojoules"] == dense["picojoules_per_sample"]
    rows = [tag.text for tag in page.all("tr")]
    assert len(evaluated["exits"]) == evaluated["steps"] + len(CONFIDENCE_LEVELS)
    for each in evaluated["exits"]:
        cells = f"{each['steps']:.2f}{percent(each['accuracy'])}{energy(each['picojoules'])}"
        steps = f"{each['steps']:.0f} step{'s' * (each['steps'] > 1)}"
        rule = each["exit"].replace("=", " ≥ ") if each["exit"] else steps
        assert sum(row.startswith(rule + cells) for row in rows) == 1


@pytest.mark.slow
def test_json_has_the_same_figures(cli, trained):
    code, out, err = cli("report", trained, "-o", "new/a.html", "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    page = read_page(Path("new/a.html").read_text("utf-8"))
    assert printed["page"] == "new/a.html"
    assert printed["bytes"] == Path("new/a.html").stat().st_size < 1_500_000
    (figures,) = printed["runs"]
    for name, value in page.figures().items():
        assert float(value) == figures[name]


def test_the_parts_of_a_run_are_on_its_page(trained, written):
    page = read_page(written.read_text("utf-8"))
    data = json.loads((trained / "environment.json").read_text())["data"]
    for said in ("onnxruntime", "batch_size", "data digits", data["fingerprint"][:12]):
        assert said in page.text
    assert any(s.attributes["aria-label"].startswith("Loss over 2 epochs") for s in page.all("svg"))
    assert len(page.all("img")) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_the_command_on_the_page_reproduces_it(cli, trained):
    options = ("-o", "one page.html", "--sample", "3", "--set", "data.validation=0.1")
    options += ("--device", "cpu", "--batch-size", "50")
    assert cli("report", trained, *options)[0] == 0
    first = Path("one page.html").read_text("utf-8")
    said = next(
        tag.text for tag in read_page(first).all("code") if tag.text.startswith("asnn report")
    )
    assert "--device cpu --batch-size 50" in said
    assert cli(*shlex.split(said)[1:])[0] == 0
    assert Path("one page.html").read_text("utf-8") == first


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_several_runs_are_compared(cli, trained, tmp_path):
    other = tmp_path / "b"
    shutil.copytree(trained, other, ignore=shutil.ignore_patterns("checkpoints", "export"))
    text = (other / "config.toml").read_text()
    (other / "config.toml").write_text(text.replace("seed = 0", "seed = 5"))
    (other / "summary.json").unlink()  # it states another configuration
    code, _, err = cli("report", trained, other)
    assert code == 0 and "wrote report.html" in err
    page = read_page(Path("report.html").read_text("utf-8"))
    assert [tag.text for tag in page.all("h2")][:3] == ["Comparison", "seed 0", "seed 5"]


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_run_that_is_named_twice_is_shown_once(cli, trained):
    again = trained.parent / ".." / "runs" / trained.name
    code, out, _ = cli("report", trained, again, f"{trained}/", "-o", "a.html", "--json")
    assert code == 0
    assert [each["run"] for each in json.loads(out)["runs"]] == [str(trained)]
    assert read_page(Path("a.html").read_text("utf-8")).all("h2")[0].text == "Summary"


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_only_the_first_process_writes(cli, trained, monkeypatch):
    for rank in (0, 1):
        processes = contextlib.nullcontext(Processes(rank, 2, rank))
        monkeypatch.setattr("asnn.learning.processes.joined", lambda found=processes: found)
        assert cli("report", trained, "-o", f"{rank}.html")[:2] == (0, "")
    assert Path("0.html").exists() and not Path("1.html").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_numbers_that_no_float_holds_and_large_ones(cli, trained, tmp_path):
    other = tmp_path / "b"
    shutil.copytree(trained, other, ignore=shutil.ignore_patterns("checkpoints", "export"))
    lines = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]

    def page_with(**changes):
        changed = [lines[0] | changes, *lines[1:]]
        (other / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
        assert cli("report", other)[0] == 0
        page = read_page((other / "report.html").read_text())
        return page, [each.attributes["aria-label"] for each in page.all("svg")]

    page, said = page_with(train_loss=True, validation_loss=True, train_accuracy=10**299)
    (loss,) = (each for each in said if each.startswith("Loss"))
    first, last = (lines[1][f"{part}_loss"] for part in ("train", "validation"))
    # What is no number is a gap: of two epochs the second is left.
    assert f"train from {first:.4g} to {first:.4g}, " in loss.replace(" and", ",")
    assert f"validation from {last:.4g} to {last:.4g}" in loss
    assert any(each.startswith("Accuracy over 2 epochs: train from 1e+301") for each in said)
    page, said = page_with(train_loss=10**400)
    assert "metrics.jsonl: it has the number 1000" in page.text
    assert not [each for each in said if "over 2 epochs" in each]


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_a_run_without_most_of_its_files_has_a_page(cli, trained, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.toml", "model.safetensors"):
        shutil.copy(trained / name, bare)
    (bare / "metrics.jsonl").write_text("{damaged")
    assert cli("report", bare)[0] == 0
    page = read_page((bare / "report.html").read_text("utf-8"))
    assert "metrics.jsonl" in page.text
    assert page.figures()["best_validation_accuracy"] == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 4, "nowhere is not a run"),
        (["RUN", "--split", "tests"], 2, "unknown split 'tests'"),
        (["RUN", "--sample", "9999"], 2, "there is no sample 9999"),
        (["RUN", "--energy-table", "44nm"], 2, "unknown energy table"),
        (["RUN", "--set", "model.name=mlp"], 2, "--set takes keys of data only"),
        (["RUN", "--set", "data.name=mnist", "--set", "data.download=false"], 4, "MNIST is not in"),
        (["RUN", "-o", __file__ + "/a.html"], 1, "could not write"),
        (["RUN", "-o", "."], 2, "-o . is not a file"),
        (["RUN", "-o", "-"], 2, "-o - is not a file"),
    ],
)
def test_invalid_arguments_are_refused(cli, trained, arguments, code, said):
    new = [] if "-o" in arguments else ["-o", "new/a.html"]
    found, out, err = cli("report", *(trained if a == "RUN" else a for a in arguments), *new)
    assert (found, out) == (code, "")
    assert said in err
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_a_file_that_is_no_report_is_not_replaced(cli, trained):
    Path("mine.html").write_text("<title>my page</title>")
    found, _, err = cli("report", trained, "-o", "mine.html")
    assert found == 2 and "would replace a file that is no report" in err
    assert Path("mine.html").read_text() == "<title>my page</title>"
    Path("empty.html").touch()
    for name in ("empty.html", "new.html", "new.html"):  # the last is a report
        assert cli("report", trained, "-o", name)[0] == 0


def test_invalid_arguments_are_refused_before_the_evaluation(cli, trained, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(trained / "config.toml", bare)
    for arguments in (
        (trained, bare),
        (trained, "--split", "tests"),
        (trained, "-o", "bare"),
        (trained, "-o", "bare/config.toml/a.html"),
    ):
        code, _, err = cli("report", *arguments)
        assert code in (1, 2, 4) and "evaluating" not in err
    assert [each.name for each in tmp_path.rglob("*")] == ["bare", "config.toml"]
