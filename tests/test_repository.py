"""The files around the code agree with it: versions, hooks, workflow, templates, links, paths."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import asnn

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked_files():
    """Return the files that git knows or would add, as paths below the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    # A file that is removed and not yet committed is listed as well.
    return [Path(name) for name in listing.stdout.split("\0") if (ROOT / name).is_file()]


def pages():
    return [path for path in tracked_files() if path.suffix == ".md"]


def load_yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_one_version():
    version = asnn.__version__
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "asnn.__version__"}
    assert load_yaml("CITATION.cff")["version"] == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", changelog, re.M)
    assert headings[0] == version
    as_numbers = [tuple(map(int, heading.split("."))) for heading in headings]
    assert as_numbers == sorted(set(as_numbers), reverse=True)  # newest first, each once


def test_citation():
    citation = load_yaml("CITATION.cff")
    # What the format demands: https://github.com/citation-file-format/citation-file-format
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["project"]["license"]["text"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2408.12407"}]


def hooks():
    repositories = load_yaml(".pre-commit-config.yaml")["repos"]
    return [hook for repository in repositories for hook in repository["hooks"]]


def test_hooks_run_tools_of_the_dev_extra():
    extra = PROJECT["project"]["optional-dependencies"]["dev"]
    tools = {re.match(r"[\w.-]+", requirement)[0] for requirement in extra}
    system = [hook for hook in hooks() if hook["language"] == "system"]
    named = {hook["id"].split("-")[0] for hook in system}
    assert named == {"ruff", "basedpyright"} <= tools
    assert all(hook["entry"].startswith(".venv/bin/") for hook in system)


def test_hooks_fetch_nothing():
    assert {repo["repo"] for repo in load_yaml(".pre-commit-config.yaml")["repos"]} == {"local"}


@pytest.mark.parametrize(
    ("hook", "refused", "accepted"),
    [
        ("trailing-whitespace", ["a \nb\n", "a\t\n"], ["a b\n", "\n"]),
        ("end-of-file", ["a", "a\n\n"], ["a\n", "a\n\nb\n"]),
    ],
)
def test_patterns_of_hooks(hook, refused, accepted):
    (found,) = (each for each in hooks() if each["id"] == hook)
    flags = re.MULTILINE | re.DOTALL if "--multiline" in found.get("args", []) else re.NOFLAG

    def matches(text):
        parts = [text] if flags else text.splitlines(keepends=True)
        return any(re.search(found["entry"], part, flags) for part in parts)

    assert all(map(matches, refused))
    assert not any(map(matches, accepted))


def test_workflow_runs_the_checks():
    (job,) = load_yaml(".github/workflows/ci.yml")["jobs"].values()
    assert job["timeout-minutes"] == 60
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    (python,) = (
        step["with"]["python-version"] for step in job["steps"] if "python" in step.get("uses", "")
    )
    assert PROJECT["project"]["requires-python"] == f">={python}"
    checks = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert {"make lint", "make test"} <= set(checks.splitlines())


@pytest.mark.parametrize("form", ["bug", "wrong-number", "component"])
def test_issue_forms(form):
    content = load_yaml(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert {"name", "description", "body"} <= set(content)  # GitHub ignores a form without them
    identifiers = [field["id"] for field in content["body"]]
    assert len(set(identifiers)) == len(identifiers)
    assert all(field["attributes"]["label"] for field in content["body"])


FENCED = re.compile(r"^(`{3,}).*?^\1`*$", re.M | re.S)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)")


def anchors_of(page):
    """Return the anchors that GitHub gives the headings of a page."""
    found = []
    for heading in re.findall(r"^#+ +(.+?)\s*$", FENCED.sub("", page), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return set(found)


def broken_links(path, text):
    """Return the links of a page that lead to no file, or to no heading, of the repository."""
    broken = []
    for link in LINK.findall(CODE.sub("", FENCED.sub("", text))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name if name else path).resolve()
        exists = target.exists() and target.is_relative_to(ROOT)
        if exists and anchor:
            exists = anchor in anchors_of(target.read_text(encoding="utf-8"))
        if not exists:
            broken.append(link)
    return broken


def test_links():
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in pages()}
    broken = {str(path): broken_links(ROOT / path, text) for path, text in texts.items()}
    assert {path: links for path, links in broken.items() if links} == {}


def test_a_broken_link_is_found():
    text = "[a](docs/runs.md#exit-codes) [b](docs/missing.md) [c](docs/runs.md#missing) `[d](e)`"
    assert broken_links(ROOT / "README.md", text) == ["docs/missing.md", "docs/runs.md#missing"]


def test_paths_and_modules_named_in_pages():
    files = tracked_files()
    folders = {path.parts[0] for path in files if len(path.parts) > 1}
    stale = []
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        if page.name == "CHANGELOG.md":  # names what was, too
            continue
        for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", text):
            if "..." not in name and name.split("/")[0] in folders and not (ROOT / name).exists():
                stale.append(f"{page}: {name}")
        for module in re.findall(r"python -m (studies\.[\w.]+)", text):
            path = ROOT / module.replace(".", "/")
            if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
                stale.append(f"{page}: {module}")
    assert stale == []


def expanded(text):
    """Return the names that `a.{b,c}` abbreviates."""
    head, brace, rest = text.partition("{")
    if not brace:
        return [text]
    middle, _, tail = rest.partition("}")
    return [f"{head}{each}{tail}" for each in middle.split(",")]


def test_moved_modules_are_where_the_changelog_says():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    table = changelog.partition("**Modules.**")[2].partition("\n\n## ")[0]
    rows = re.findall(r"^\| `(asnn\.[^`]+)`(?: \*)? \| `(asnn\.[^`]+)` \|$", table, re.M)
    assert len(rows) > 30
    folders = PROJECT["tool"]["setuptools"]["package-dir"]
    for old, new in rows:
        assert len(expanded(old)) == len(expanded(new))
        for module in expanded(new):
            _, room, *parts = module.split(".")
            file = Path(ROOT, folders[f"asnn.{room}"], *parts)
            assert file.is_dir() or file.with_suffix(".py").is_file(), module


def test_no_host_or_path_of_a_machine():
    # Put together here, so that this file does not hold them.
    forbidden = [
        "/".join(("", "work", "")),
        *(".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))),
        *(".".join(parts) for parts in (("npmjs", "org"), ("proxy", "golang"), ("crates", "io"))),
    ]
    found = [
        f"{path}: {text}"
        for path in tracked_files()
        for text in forbidden
        if text.encode() in (ROOT / path).read_bytes()
    ]
    assert found == []
