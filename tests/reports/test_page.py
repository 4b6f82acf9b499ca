"""The page, parsed as HTML."""

import itertools
import re
from pathlib import Path

import pytest
from markupsafe import Markup

from asnn.reports.page import breakable, page, visible
from tests.support.html import faults, read_page

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def one(report_of):
    return read_page(page([report_of()], command="asnn report runs/a"))


@pytest.fixture(scope="module")
def several(report_of):
    reports = [report_of(path=f"runs/{name}", seed=i) for i, name in enumerate("ab")]
    return read_page(page(reports, command="asnn report", differences={"train.seed": [0, 1]}))


@pytest.fixture(params=["one", "several"])
def each(request):
    return request.getfixturevalue(request.param)


@pytest.mark.slow
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
def test_negative_control_external_parts_are_found(one, more):
    assert faults(read_page(one.source.replace("</main>", f"{more}</main>"))) != []


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


@pytest.mark.slow
def test_names_are_escaped(report_of):
    record = {
        "config": {"name": HOSTILE, "data": {HOSTILE: HOSTILE}},
        "environment": {"command": "\x1b[31m" + HOSTILE},
        "faults": [HOSTILE],
    }
    hostile = report_of(
        path=f"runs/{HOSTILE.replace('/', '-')}\x1b[1m\u202e",
        classes=(HOSTILE, "$\\frac{$", "_c\u202e"),
        record=record,
    )
    found = read_page(page([hostile], command=f"asnn report '{HOSTILE}'"))
    assert faults(found) == []
    assert HOSTILE in found.all("title")[0].text.replace("-s", "/s")
    assert found.text.count(HOSTILE) >= 6
    assert "\x1b" not in found.source and "\u202e" not in found.source
    assert "\\x1b[1m\\u202e" in found.text
    assert "$\\frac{$" in found.text


@pytest.mark.slow
def test_a_hostile_name_in_a_comparison_is_escaped(report_of):
    names = ["runs/_a", f"runs/{HOSTILE.replace('/', '-')}"]
    reports = [report_of(path=name) for name in names]
    found = read_page(page(reports, command="", differences={HOSTILE: [HOSTILE, None]}))
    assert faults(found) == []
    assert HOSTILE in found.text and "_a" in found.text


def test_several_runs_are_compared_first(several):
    heads = [tag.text for tag in several.all("h2")]
    assert heads == ["Comparison", "seed 0", "seed 1", "Reproduce this page"]
    assert len(several.all("details")) == 2 * 3
    assert "train.seed" in several.text


def test_counting_rules_are_explained(one):
    assert "attention costs one for each pair, of spikes an AC, of values a MAC" in one.text
    assert (
        "Operations with 0 are not counted for this network, but for the ANN counterpart"
        in one.text
    )


def test_control_characters_are_shown():
    assert visible("\x1b[1m\u202e\u2066\x85") == "\\x1b[1m\\u202e\\u2066\\x85"
    for usual in ("1\xa0234 µJ", "two\nlines", Markup("\x1b"), 1.5, None):
        assert visible(usual) is usual or visible(usual) == usual
    assert breakable("a\u202e,b") == "a\\u202e,<wbr>b"


def test_long_names_can_break_after_their_parts():
    assert breakable("a=1,b=<2>,c") == "a=1,<wbr>b=&lt;2&gt;,<wbr>c"
    assert breakable("") == ""


def test_templates_are_installed():
    from asnn import reports

    assert (Path(reports.__file__).parent / "templates" / "page.html").is_file()
