"""A parser of HTML pages, and a check that they have no external parts."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "wbr"}


@dataclass
class Tag:
    name: str
    attributes: dict
    text: str = ""
    parents: tuple = ()


@dataclass
class Page:
    """The elements of an HTML text, in order."""

    source: str
    tags: list[Tag] = field(default_factory=list)

    def all(self, *names: str) -> list[Tag]:
        return [tag for tag in self.tags if tag.name in names]

    def figures(self) -> dict[str, str]:
        """The main figures of the first run, as values."""
        found = {}
        for tag in self.all("data"):
            found.setdefault(tag.attributes["data-figure"], tag.attributes["value"])
        return found

    @property
    def text(self) -> str:
        return " ".join(self.tags[0].text.split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.open: list[Tag] = []

    def handle_starttag(self, tag, attrs):
        found = Tag(tag, dict(attrs), parents=tuple(each.name for each in self.open))
        self.tags.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(Tag(tag, dict(attrs), parents=tuple(each.name for each in self.open)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1].name == tag, f"</{tag}> ends nothing"
        self.open.pop()

    def handle_data(self, data):
        for tag in self.open:
            tag.text += data


def read_page(source: str) -> Page:
    """Parse a page, and check that each tag is closed."""
    reader = _Reader()
    reader.feed(source)
    assert reader.open == []
    return Page(source, reader.tags)


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
