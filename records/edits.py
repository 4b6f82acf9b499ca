"""What was edited in a run's `config.toml` after its training, compared with its `summary.json`.

The weights, the header of their file and the summary say what a run was trained with; they win.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

from ..core.documents import plain_tables

Document = dict[str, Any]
MAX_TEXT = 200  # characters of a value in messages

# Keys that an evaluation or an export does not read, or whose effect is checked otherwise: the
# fingerprint of the data tells whether those in another place are the same.
HARMLESS_SECTIONS = ("train", "augment", "method")
HARMLESS = {"format", "name", "description"}
HARMLESS |= {f"data.{key}" for key in ("dir", "path", "test_path", "download", "limit")}
HARMLESS |= {"data.target_images"}
HARMFUL = {f"train.{key}" for key in ("loss", "label_smoothing", "tet_lambda", "tet_phi")}


@dataclass(frozen=True)
class Edits:
    """Edits of a configuration.

    Attributes:
        keys: the values of each changed key in the training and now; None where it is not set.
        rewritten: whether the file changed and no value did: comments, order, spaces.
    """

    keys: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    rewritten: bool = False

    @property
    def harmful(self) -> dict[str, tuple[Any, Any]]:
        """The keys that change what an evaluation or an export computes."""
        return {key: values for key, values in self.keys.items() if not _is_harmless(key)}

    def __bool__(self) -> bool:
        return self.rewritten or bool(self.keys)

    def __str__(self) -> str:
        if not self.keys:
            return "it has other comments or spaces than in the training, and the same values"
        return describe(self.keys)


def find_edits(content: bytes, config: Document, summary: Document) -> Edits:
    """Return the edits of a configuration since the training.

    Args:
        content: of `config.toml`.
        config: its tables.
        summary: `summary.json`; one of 0.1.0, which does not state the configuration, has none.
    """
    trained, sums = summary.get("config"), summary.get("sha256")
    if not isinstance(trained, dict) or not isinstance(sums, dict):
        return Edits()
    then, now = flat(trained), flat(plain_tables(config))
    keys = {
        key: (then.get(key), now.get(key))
        for key in dict.fromkeys([*then, *now])
        if then.get(key) != now.get(key)
    }
    same = hashlib.sha256(content).hexdigest() == sums.get("config.toml")
    return Edits(keys, rewritten=not keys and not same)


def describe(keys: dict[str, tuple[Any, Any]]) -> str:
    """Return changed keys as text: what they were in the training, and what they are now."""
    texts = (
        f"{key} is {_text(now)}, in the training {_text(then)}" for key, (then, now) in keys.items()
    )
    return "; ".join(texts)


def trained_tables(config: Document, edits: Edits) -> Document:
    """Return a configuration with the values that changed keys had in the training."""
    found = copy.deepcopy(config)
    for key, (then, _) in edits.keys.items():
        section, _, name = key.partition(".")
        table = found.setdefault(section, {}) if name else found
        if not isinstance(table, dict):
            table = found[section] = {}
        if then is None:
            table.pop(name or section, None)
        else:
            table[name or section] = then
    return found


def flat(document: Document) -> Document:
    """Return the values of a document by `key` or `section.key`."""
    found: Document = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            found[key] = value
    return found


def _is_harmless(key: str) -> bool:
    in_section = key.partition(".")[0] in HARMLESS_SECTIONS and key not in HARMFUL
    return key in HARMLESS or in_section


def _text(value: Any) -> str:
    shown = "not set" if value is None else repr(value)
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 1]}…"
