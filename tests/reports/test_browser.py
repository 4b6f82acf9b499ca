"""The page in headless Chromium: it loads nothing, has no errors, and is accessible."""

import importlib
import json
import os
import re
import shutil

import pytest
import torch

from asnn.reports import page as pages
from tests.support.task_reports import SAMPLES, recordings, report_of_task, series

NEEDED = "ASNN_NEEDS_BROWSER" in os.environ  # a missing browser is a failure, not a skip
playwright = (importlib.import_module if NEEDED else pytest.importorskip)("playwright.sync_api")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and not NEEDED, reason="there is no Chromium: apt-get install chromium"
    ),
]

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
READ = ("body", ".lead", ".muted", "caption", "figcaption", "thead th", "a:not(.skip)", "dt", "dd")
READ += (".formula", ".heat td", "svg text", "h1", "h2", "th", "td", "summary", "code")
COMPARED = (*READ, "h3", ".best", ".fault")
MIN_CONTRAST = 4.5  # WCAG 2.2, AA, for text of any size

# Colours of text and of its backgrounds, from front to back.
COLOURS = """selectors => selectors.flatMap(selector =>
  [...document.querySelectorAll(selector)].slice(0, 400).map(element => {
    const style = getComputedStyle(element), behind = [];
    for (let e = element; e; e = e.parentElement) behind.push(getComputedStyle(e).backgroundColor);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    return [selector, colour, behind, element.textContent];
  }))"""
WORDLESS = """() => [...document.querySelectorAll('img, svg, [role=img]')]
  .filter(e => !(e.getAttribute('alt') || e.getAttribute('aria-label') || '').trim())
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as player:
        found = player.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def shown(browser):
    """Return a function that opens a page and collects its errors."""

    def show(path, *, width=1280, script=True, **options):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=script, **options
        )
        page = context.new_page()
        wrong = []
        page.on(
            "console",
            lambda m: (
                wrong.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda r: wrong.append(f"request: {r.url[:99]}") if r.url != path.as_uri() else None,
        )
        page.goto(path.as_uri(), wait_until="load")
        if script:
            wrong += [f"no words: {found}" for found in page.evaluate(WORDLESS)]
            wide = page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"too wide: {wide}"] if wide > width else []
        return page, wrong

    return show


def channels(colour: str) -> tuple[float, ...]:
    """Red, green, blue and opacity of a computed colour, from 0 to 1."""
    r, g, b, *a = map(float, re.findall(r"[\d.]+", colour))
    return r / 255, g / 255, b / 255, a[0] if a else 1.0


def luminance(colour) -> float:
    """Relative luminance as WCAG defines it."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(front, back) -> float:
    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def behind(colours: list[str]) -> tuple[float, ...]:
    """The visible colour of layers, from front to back."""
    seen = (1.0, 1.0, 1.0)
    for colour in reversed(colours):
        *over, opacity = channels(colour)
        seen = tuple(opacity * o + (1 - opacity) * s for o, s in zip(over, seen, strict=True))
    return seen


def test_contrast_is_that_of_wcag():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    grey = 0x77 / 255  # just below AA on white
    assert contrast((grey,) * 3, (1, 1, 1)) == pytest.approx(4.48, abs=0.005)
    assert behind(["rgba(0, 0, 0, 0.5)", "rgb(255, 255, 255)"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_loads_nothing_and_has_no_errors(shown, written, width, scheme):
    page, wrong = shown(written, width=width, color_scheme=scheme)
    assert wrong == []
    assert page.title() == "a – asnn report"
    assert len(page.query_selector_all("svg")) >= 10


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@pytest.mark.parametrize(
    ("more", "policy", "found"),
    [
        ('<img src="http://127.0.0.1:9/a.png" alt="a">', False, "request: http://127.0.0.1:9"),
        ('<img src="http://127.0.0.1:9/a.png" alt="a">', True, "error: "),
        ("<script>1</script>", True, "error: "),
        ("<script>console.error('broken')</script>", False, "error: broken"),
        ("<script>missing()</script>", False, "error: missing is not defined"),
        ('<img src="data:," alt="">', True, "no words: <img"),
        ("<svg></svg>", True, "no words: <svg"),
        ('<div style="width: 1500px">wide</div>', True, "too wide: "),
    ],
)
def test_negative_control_errors_are_found(shown, written, tmp_path, more, policy, found):
    text = written.read_text("utf-8").replace("</main>", f"{more}</main>")
    tampered = tmp_path / "tampered.html"
    tampered.write_text(text if policy else POLICY.sub("", text), "utf-8")
    page, wrong = shown(tampered)
    page.wait_for_timeout(100)
    assert any(each.startswith(found) for each in wrong), wrong


@pytest.fixture(scope="module")
def compared(report_of, tmp_path_factory):
    """A page of two runs of which one is damaged."""
    reports = [
        report_of(record={"faults": ["it is damaged"]}),
        report_of(path="runs/b", weight=8),
    ]
    path = tmp_path_factory.mktemp("compared") / "report.html"
    path.write_text(pages.page(reports, command="", differences={"train.seed": [0, 1]}), "utf-8")
    return path


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A page of a regression, of classes for steps and of recordings."""
    labels = torch.arange(SAMPLES * 6).view(SAMPLES, 6) % 3 - 1
    reports = [
        report_of_task("regression", series(torch.rand(SAMPLES), 6), path="runs/a"),
        report_of_task("step-classification", series(labels, 6, ["r", "b"]), path="runs/b"),
        report_of_task("classification", recordings(6), coding="frames", steps=3, path="runs/c"),
    ]
    path = tmp_path_factory.mktemp("tasks") / "report.html"
    path.write_text(pages.page(reports, command="", differences={"train.seed": [0, 1, 2]}), "utf-8")
    return path


@pytest.mark.parametrize("width", [320, 1280])
def test_pages_of_other_tasks_have_no_errors(shown, tasks, width):
    page, wrong = shown(tasks, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert wrong == [] and len(page.query_selector_all("svg image")) >= 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("which", "read"), [("written", READ), ("compared", COMPARED), ("tasks", COMPARED[:-2])]
)
def test_text_has_enough_contrast(request, shown, which, read, scheme):
    page, _ = shown(request.getfixturevalue(which), color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    faint = []
    ground = behind([page.evaluate("getComputedStyle(document.body).backgroundColor")])
    assert (luminance(ground) < 0.05) == (scheme == "dark")
    measured = page.evaluate(COLOURS, list(read))
    assert {selector for selector, *_ in measured} == set(read)
    for selector, colour, layers, text in measured:
        # "none" on the error map: white on the black pixels of an image.
        if (selector, colour, text.strip()) == ("svg text", "rgb(255, 255, 255)", "none"):
            continue
        *front, opacity = channels(colour)
        ratio = contrast(front, behind(layers))
        if opacity < 1 or ratio < MIN_CONTRAST:
            faint.append((selector, text[:40], colour, round(ratio, 2)))
    assert faint == []


def test_negative_control_faint_text_is_found(shown, written, tmp_path):
    faint = tmp_path / "faint.html"
    faint.write_text(written.read_text("utf-8").replace("--muted: #57606a", "--muted: #888888"))
    page, _ = shown(faint, color_scheme="light")
    (_, colour, layers, _), *_ = page.evaluate(COLOURS, [".lead"])
    assert contrast(channels(colour)[:3], behind(layers)) < MIN_CONTRAST


def test_without_script_it_shows_the_figures_of_the_run(shown, written):
    page, wrong = shown(written, script=False)
    assert wrong == []
    summary = json.loads((written.parent / "summary.json").read_text())

    def figure(name):
        return page.locator(f"data[data-figure={name}]").first.inner_text().replace("\u00a0", " ")

    assert (
        figure("best_validation_accuracy")
        == f"{100 * summary['best']['validation_accuracy']:.2f} %"
    )
    assert figure("best_epoch") == str(summary["best"]["epoch"])
    assert figure("parameters") == f"{summary['parameters']:,}"


def test_keyboard_and_landmarks(shown, written):
    page, _ = shown(written)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.get_by_role("heading", level=1).count() == 1
    for role in ("banner", "navigation", "main"):
        assert page.get_by_role(role).count() == 1
    assert (
        page.get_by_role("img", name=re.compile("^Accuracy rises from|^Accuracy goes")).count() == 1
    )


def test_print_is_light_and_shows_folded_parts(shown, written):
    page, _ = shown(written, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    ground = behind([page.evaluate("getComputedStyle(document.body).backgroundColor")])
    ink = channels(page.evaluate("getComputedStyle(document.body).color"))[:3]
    assert luminance(ground) > 0.95 and contrast(ink, ground) > 10
    assert not page.locator("nav").is_visible()
    assert page.locator(".pairs").first.bounding_box()["height"] > 0


def test_comparison_has_no_errors(shown, trained, tmp_path, browser):
    from asnn.cli.app import run

    other = tmp_path / "b"
    shutil.copytree(trained, other, ignore=shutil.ignore_patterns("checkpoints"))
    out = tmp_path / "compare.html"
    assert run(["report", str(trained), str(other), "-o", str(out)]) == 0
    for width in (320, 1280):
        page, wrong = shown(out, width=width)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert wrong == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
