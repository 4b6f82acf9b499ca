"""The recipe `own`: made for the data at a path."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.text import shell

READ = {
    "folder": "images by class folders or a table",
    "events-folder": "recordings of events by class folders or a table",
    "wav-folder": "WAV files by class folders or a table",
    "npz": "arrays of images",
    "series-npz": "arrays of series",
    "events-npz": "one file of recordings of events",
    "coco": "images with boxes, annotated as COCO",
    "voc": "images with boxes, annotated as Pascal VOC",
}


@dataclass
class Own:
    """A recipe for the data at a path.

    Attributes:
        document: its tables.
        about: one line on the data.
        reasons: why a key has its value, by key; what is obvious has none.
    """

    document: dict[str, Any]
    about: str = ""
    reasons: dict[str, str] = field(default_factory=dict)

    def choose(self, key: str, value: Any, why: str = "") -> None:
        """Set a key such as `train.epochs`."""
        section, _, name = key.partition(".")
        self.document.setdefault(section, {})[name] = value
        if why:
            self.reasons[key] = why

    def lines(self, path: str, asked: Container[str] = ()) -> list[str]:
        """Return what was chosen and how to change it, a line each.

        Args:
            path: of the data.
            asked: keys that the user sets to something else.
        """
        reasons = {key: why for key, why in self.reasons.items() if key not in asked}
        shown = {key: f"{key} = {self._shown(key)}" for key in reasons}
        width = max(map(len, shown.values()), default=0)
        return [
            f"own data: {self.about}",
            "without a recipe, this one is made for them:",
            *(f"  {shown[key]:{width}}  {why}" for key, why in reasons.items()),
            "change a key with --set KEY=VALUE, or write the recipe to a file and edit that:",
            f"  asnn train {shell(path)} --dry-run > {self.document['name']}.toml",
        ]

    def _shown(self, key: str) -> str:
        section, _, name = key.partition(".")
        value = self.document[section][name]
        return f'"{value}"' if isinstance(value, str) else str(value).lower()


def own_recipe(path: str, asked: Mapping[str, Any]) -> Own:
    """Return a recipe for the data at a path, by what a sample of them shows.

    Args:
        path: of a folder, a zip, a table or an array file.
        asked: keys that the user set, such as `data.size`; they are taken into account.

    Raises:
        ConfigError, DataError: it is no data with classes; see `detect`.
    """
    from ...core.registry import keyword_options
    from ...datasets.detect import detect
    from ...datasets.load import dataset_registry
    from .own_choices import (
        choose_for_arrays,
        choose_for_audio,
        choose_for_boxes,
        choose_for_images,
        choose_for_recordings,
        whole_number,
    )

    options = {key[5:]: value for key, value in asked.items() if key.startswith("data.")}
    found = detect(path, options)
    name = options.get("name")
    name = name if name in READ else found.name
    known = keyword_options(dataset_registry.get(name))
    options = {key: value for key, value in options.items() if key in known}
    own = Own({"name": run_name(path), "description": "", "data": {"name": name}})
    for key, value in found.options.items():
        own.choose(f"data.{key}", value)
    own.reasons["data.name"] = "; ".join(found.notes) or READ[name]
    wanted = {**found.options, **options}
    if name == "folder":
        choose_for_images(own, wanted)
    elif name == "wav-folder":
        choose_for_audio(own, wanted, whole_number(asked.get("coding.steps")))
    elif name == "events-folder":
        choose_for_recordings(own, wanted)
    elif name in ("coco", "voc"):
        choose_for_boxes(own, name, wanted)
    else:
        choose_for_arrays(own, name, wanted, whole_number(asked.get("coding.steps")))
    own.document["description"] = f"own data: {own.about}"
    return own


def run_name(path: str) -> str:
    """Return the name of the data in the names of runs: letters, digits, `_`, `-` and `.`."""
    stem = Path(path).expanduser().resolve()
    name = stem.name if stem.is_dir() else stem.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "own"
