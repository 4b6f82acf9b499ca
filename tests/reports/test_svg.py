"""Figures as inline SVG."""

import re

import pytest
from matplotlib.figure import Figure

from asnn.measure.figures.style import as_label, line, panel, style
from asnn.reports.drawing import Drawing
from asnn.reports.svg import inline


def drawn(label="a line"):
    with style():
        figure, axes = panel((3, 2))
        axes.plot([0, 1], [0, 1], **line(0), label=as_label(label))
        axes.legend()
        axes.set_title("<b>&")
    return figure


@pytest.fixture(scope="module")
def svg():
    return str(inline(Drawing(drawn(), 'It "rises" & <falls>.'), "f1"))


def test_text_alternative_is_an_attribute(svg):
    assert 'role="img" aria-label="It &#34;rises&#34; &amp; &lt;falls&gt;."' in svg


def test_ids_and_references_have_the_prefix(svg):
    ids = re.findall(r' id="([^"]*)"', svg)
    used = re.findall(r'(?:url\(|href=")#([^)"]*)', svg)
    assert ids and all(each.startswith("f1-") for each in ids)
    assert set(used) == set(ids)


def test_colours_are_those_of_the_page(svg):
    assert "var(--series-0)" in svg and "var(--line)" in svg and "var(--muted)" in svg
    assert not re.search(r"#(000000|0072b2|888888|dddddd)", svg)


def test_no_metadata(svg):
    assert not re.search(r"<metadata|<!--|<style|xmlns:|\d{4}-\d\d-\d\d", svg)
    assert str(inline(Drawing(drawn(), 'It "rises" & <falls>.'), "f1")) == svg


def test_text_is_text_and_escaped(svg):
    assert "&lt;b&gt;&amp;</text>" in svg
    assert ">a line</text>" in svg


@pytest.mark.parametrize("label", ["_hidden", "$\\frac{", "a$b$c"])
def test_a_name_is_shown_as_it_is(label):
    assert f"{label}</text>" in str(inline(Drawing(drawn(label), "a figure"), "f1"))


def test_figure_of_another_style():
    figure = Figure()
    figure.subplots().imshow([[0, 1]])
    assert "data:image/png" in inline(Drawing(figure, "two pixels"), "f1")
