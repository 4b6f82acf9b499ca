"""The page, parsed as HTML."""

import dataclasses
import itertools
import math
import re
from pathlib import Path

import pytest

from asnn.measure.cost.tables import read_cost_table
from asnn.reports.page import breakable, page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def one(report_of, read):
    return read(page([report_of()], command="asnn report runs/a"))


@pytest.fixture(scope="module")
def several(report_of, read):
    reports = [report_of(path=f"runs/{name}", seed=i) for i, name in enumerate("ab")]
    return read(page(reports, command="asnn report", differences={"train.seed": [0, 1]}))


@pytest.fixture(params=["one", "several"])
def each(request):
    return request.getfixturevalue(request.param)


def faults(found) -> list[str]:
    """What makes a page load or run something, or unreadable for a screen reader."""
    wrong = [f"<{tag.name}>" for tag in found.all("script", "iframe", "object", "embed", "base")]
    for tag in found.tags:
        wrong += [f"{tag.name} {key}" for key in tag.attributes if key.startswith("on")]
        for key in ("href", "src", "xlink:href", "action", "srcset", "poster"):
            value = tag.attributes.get(key, "#")
            if not value.startswith(("#", "data:")):
                wrong.append(f"{tag.name} {key}={value}")
        if tag.name in ("img", "svg"):
            words = tag.attributes.get("alt" if tag.name == "img" else "aria-label", "")
            if len(words) < 10:
                wrong.append(f"{tag.name} without words")
    if re.search(r"@import|url\((?!#|[\"']?data:)", found.source):
        wrong.append("an address in a style")
    return wrong


def test_page_has_no_external_parts(each):
    assert faults(each) == []
    policy = next(t for t in each.all("meta") if "http-equiv" in t.attributes)
    assert "default-src 'none'" in policy.attributes["content"]


@pytest.mark.parametrize(
    "more",
    [
        "<script></script>",
        '<img src="https://example.org/a.png" alt="a picture from elsewhere">',
        '<img src="data:," alt="">',
        '<svg role="img"></svg>',
        '<a href="file:///etc/passwd">a</a>',
        '<p onclick="a()">a</p>',
        "<style>p { background: url(//example.org) }</style>",
    ],
)
def test_negative_control_external_parts_are_found(one, read, more):
    assert faults(read(one.source.replace("</main>", f"{more}</main>"))) != []


def test_language_title_landmarks_and_skip_link(each):
    assert each.all("html")[0].attributes["lang"] == "en"
    assert each.all("title")[0].text.endswith("– asnn report")
    for name in ("header", "nav", "main", "h1"):
        assert len(each.all(name)) == 1
    assert each.all("a")[0].attributes["href"] == "#main"


def test_headings_are_in_order(each):
    levels = [int(tag.name[1]) for tag in each.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_references_exist(each):
    ids = [tag.attributes["id"] for tag in each.tags if "id" in tag.attributes]
    assert len(set(ids)) == len(ids)
    wanted = {
        tag.attributes["href"][1:]
        for tag in each.tags
        if tag.attributes.get("href", "").startswith("#")
    }
    wanted |= set(re.findall(r"url\(#([^)]*)\)", each.source))
    assert wanted <= set(ids)


def test_tables_have_captions_and_scopes_and_figures_have_roles(each):
    assert len(each.all("table")) == len(each.all("caption")) > 4
    assert all(tag.text.strip() for tag in each.all("caption"))
    assert all("scope" in tag.attributes for tag in each.all("th"))
    assert all("figure" in tag.parents for tag in each.all("svg"))
    assert all(tag.attributes["role"] == "img" for tag in each.all("svg"))


@pytest.mark.usefixtures("stub_figures")
def test_schedules_that_change_with_the_step_are_drawn(report_of, read):
    report = report_of()
    schedules = {"spikes1": {"leak": [0.5, 0.7, 0.9], "gain": [0.5] * 3}}
    found = read(page([dataclasses.replace(report, schedules=schedules)], command=""))
    said = [tag.attributes["aria-label"] for tag in found.all("svg")]
    assert "Leak: spikes1 from 0.50 at step 1 to 0.90 at step 3." in said
    assert not any(s.startswith("Gain") for s in said)


def test_text_of_figures_stays_text(one):
    assert "Accuracy after each step, %" in one.text
    said = [tag.attributes["aria-label"] for tag in one.all("svg")]
    assert any(
        re.match(r"Accuracy \w+ from [\d.]+\s% at step 1 to [\d.]+\s% at step 3", s) for s in said
    )


@pytest.mark.slow
def test_the_same_reports_give_the_same_page(report_of):
    made = [page([report_of()], command="asnn report") for _ in range(2)]
    assert made[0] == made[1]


def test_names_are_escaped(report_of, read):
    record = {
        "config": {"name": HOSTILE, "data": {HOSTILE: HOSTILE}},
        "environment": {"command": "\x1b[31m" + HOSTILE},
        "faults": [HOSTILE],
    }
    hostile = report_of(
        path=f"runs/{HOSTILE.replace('/', '-')}",
        classes=(HOSTILE, "$\\frac{$", "_c"),
        record=record,
    )
    found = read(page([hostile], command=f"asnn report '{HOSTILE}'"))
    assert faults(found) == []
    assert HOSTILE in found.all("title")[0].text.replace("-s", "/s")
    assert found.text.count(HOSTILE) >= 6
    assert "\x1b" not in found.source
    assert "$\\frac{$" in found.text


@pytest.mark.slow
def test_a_hostile_name_in_a_comparison_is_escaped(report_of, read):
    names = ["runs/_a", f"runs/{HOSTILE.replace('/', '-')}"]
    reports = [report_of(path=name) for name in names]
    found = read(page(reports, command="", differences={HOSTILE: [HOSTILE, None]}))
    assert faults(found) == []
    assert HOSTILE in found.text and "_a" in found.text


def test_several_runs_are_compared_first(several):
    heads = [tag.text for tag in several.all("h2")]
    assert heads == ["Comparison", "seed 0", "seed 1", "Reproduce this page"]
    assert len(several.all("details")) == 2 * 3
    assert "train.seed" in several.text


@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "The run holds no metrics of its epochs."),
        ({}, "The run has no verified export yet."),
        ({}, "The run holds no configuration."),
        ({"neuron": "relu", "coding": "direct"}, "No layer of this network has spikes."),
        ({"neuron": "relu", "coding": "direct"}, "there is no raster"),
        ({"neuron": "fixed"}, "it has no learned schedules"),
        ({"coding": "direct", "steps": 1}, "The network has a single step"),
        ({"classes": tuple(map(str, range(21))), "samples": 42}, "only the worst confusions"),
        ({"record": {"faults": ["metrics.jsonl: it is missing"]}}, "Damaged: metrics.jsonl"),
        ({"sample": 5}, "Sample 5 of the test split, as requested"),
        ({"table": "45nm-fp32-memory"}, "9.2 pJ per neuron update"),
        ({"shape": (3, 6, 6)}, "spikes per value"),
        ({"shape": (2, 6, 6), "coding": "rate"}, "in the code rate of 3 steps"),
    ],
)
def test_missing_part_leaves_a_sentence(report_of, read, options, sentence):
    found = read(page([report_of(**options)], command="asnn report"))
    assert faults(found) == []
    said = found.text + " ".join(tag.attributes["aria-label"] for tag in found.all("svg"))
    assert sentence in said


@pytest.mark.usefixtures("stub_figures")
def test_no_misclassified_sample_leaves_a_sentence(report_of, read):
    found = dataclasses.replace(report_of(), confusions=[])
    assert "No sample is misclassified." in read(page([found], command="")).text


@pytest.mark.usefixtures("stub_figures")
def test_metrics_that_are_not_numbers_are_omitted(report_of, read):
    history = [{"validation_accuracy": 0.5, "train_loss": "much", "spike_rate": float("nan")}]
    found = read(page([report_of(record={"history": history})], command=""))
    said = [tag.attributes["aria-label"] for tag in found.all("svg")]
    assert "Accuracy after one epoch: from 50 to 50." in said
    assert not any(s.startswith(("Loss", "Spike rate")) for s in said)


@pytest.mark.usefixtures("stub_figures")
def test_damaged_parity_file_is_reported(report_of, read, tmp_path):
    folder = tmp_path / "export" / "onnx"
    folder.mkdir(parents=True)
    for text in ("{", '{"runtimes": [{}]}', '{"runtimes": 3}'):
        (folder / "parity.json").write_text(text)
        found = read(page([report_of(path=tmp_path)], command=""))
        assert "unknown: damaged file" in found.text


def warnings(found) -> list[str]:
    return [tag.text for tag in found.all("p") if tag.attributes.get("class") == "fault"]


@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, False),
        ({"data": "damaged"}, False),
        ({"data": {"fingerprint": "f" * 64}}, False),
        ({"data": {"fingerprint": "e" * 64}}, True),
        ({"data": {"fingerprint": [HOSTILE]}}, True),
    ],
)
def test_other_data_than_in_training_are_a_warning(report_of, read, environment, said):
    found = read(page([report_of(record={"environment": environment})], command=""))
    assert faults(found) == []
    assert [t.partition(":")[0] for t in warnings(found)] == said * [
        "The data are not those of the training"
    ]


@pytest.mark.usefixtures("stub_figures")
def test_uncounted_layers_are_a_warning(report_of, read):
    report = report_of()
    energy = {**report.energy, "uncounted": ["a\x1b", "b"]}
    found = read(page([dataclasses.replace(report, energy=energy)], command=""))
    assert len(warnings(found)) == 1 and "\x1b" not in found.source
    assert warnings(found)[0].endswith("layers of unknown type: a\\x1b and b.")


@pytest.mark.usefixtures("stub_figures")
def test_nonfinite_loss_is_a_warning(report_of, read):
    found = read(page([report_of(weight=math.nan)], command=""))
    assert warnings(found)[0].startswith("The loss is not a finite number")
    assert not re.search(r"\bnan\b", found.text)
    assert found.figures()["loss"] == found.figures()["calibration_error"] == ""
    beside = read(page([report_of(), report_of(path="runs/b", weight=math.nan)], command=""))
    assert len(warnings(beside)) == 1 and not re.search(r"\bnan\b", beside.text)


def test_counting_rules_are_explained(one):
    assert "attention costs one for each pair, of spikes an AC, of values a MAC" in one.text
    assert (
        "Operations with 0 are not counted for this network, but for the ANN counterpart"
        in one.text
    )


@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(("coding", "random"), [("rate", True), ("hybrid", False)])
def test_random_code_is_reported(report_of, read, coding, random):
    found = read(page([report_of(coding=coding)], command=""))
    assert ("Its code is random and drawn again here" in found.text) == random


@pytest.mark.usefixtures("stub_figures")
def test_energy_follows_from_the_columns(report_of, read):
    table = read_cost_table("45nm-fp32-memory")
    report = report_of(table=table.name, samples=1)  # counts of one sample are integers
    found = read(page([report], command=""))
    start = next(
        i for i, t in enumerate(found.tags) if t.text.startswith("Operations and energy of")
    )
    cells = [
        t.text
        for t in itertools.takewhile(lambda t: t.name != "h2", found.tags[start:])
        if t.name in ("th", "td")
    ]
    heads, *rows = [cells[i : i + 10] for i in range(0, len(cells), 10)]
    number = [{h: _number(c) for h, c in zip(heads, row, strict=True)} for row in rows]
    *layers, total = number
    cost = table.picojoules
    for row in (*layers, total):
        energy = (
            cost.mac * row["MAC"]
            + cost.ac * row["AC"]
            + cost.neuron_update * row["updates"]
            + cost.memory_byte * row["bytes"]
        )
        assert row["energy"] == pytest.approx(energy, rel=0.01)
    for head in ("weights", "AC", "MAC", "if dense", "updates", "bytes"):
        assert sum(row[head] for row in layers) == total[head] > 0
    kinds = {row[0]: row[1:] for row in rows}
    assert [k[0] for k in kinds.values()].count("neurons") == 2
    assert {"linear, spikes", "linear, values"} & {k[0] for k in kinds.values()}
    assert all(row[6] == "–" for row in rows if row[1] == "neurons")
    parts = re.search(r"By part: synapses (.*?), neurons (.*?) and memory (.*?);", found.text)
    assert sum(map(_number, parts.groups())) == pytest.approx(total["energy"], rel=0.01)
    assert f"{total['bytes']:,.0f} bytes are moved" in found.text


def _number(text: str) -> float:
    """Return the number of a cell, energy in pJ; 0 if it has none."""
    found = re.fullmatch(r"([\d.,]+)(?:\s(.?)J)?", text)
    if found is None:
        return 0
    return float(found[1].replace(",", "")) * {"p": 1, "n": 1e3, "µ": 1e6, None: 1}[found[2]]


def test_long_names_can_break_after_their_parts():
    assert breakable("a=1,b=<2>,c") == "a=1,<wbr>b=&lt;2&gt;,<wbr>c"
    assert breakable("") == ""


def test_templates_are_installed():
    from asnn import reports

    assert (Path(reports.__file__).parent / "templates" / "page.html").is_file()
