"""Text that is safe to print, in Markdown and in a shell."""

import re
import shlex
from pathlib import Path

# What CommonMark or GitHub takes for markup; `_` in a word and brackets without a link are none.
_MARKUP = re.compile(r"[\\`*<&|~$]|\](?=\()|(?<![^\W_])_+|_+(?![^\W_])")


_JOINERS = "\u200c\u200d"  # of letters in Persian and Hindi, and of emoji


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that no terminal obeys them."""
    return "".join(
        c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in text
    )


def shell(path: Path | str) -> str:
    """Return a path as a shell takes it, for commands in messages; most need no quotes."""
    return shlex.quote(str(path))


def left_out(count: int, one: str, many: str) -> str:
    """Return the notice of what is left out.

    >>> left_out(1, "crowd", "crowds"), left_out(2000, "crowd", "crowds")
    ('1 crowd is left out', '2,000 crowds are left out')
    """
    return f"1 {one} is left out" if count == 1 else f"{count:,} {many} are left out"


def markdown(text: str) -> str:
    """Return Markdown in one line that shows `text`: no markup, no HTML, no control characters.

    >>> print(markdown("a|b\\n<i>*c*</i>, label_smoothing [1]"))
    a\\|b\\\\n\\<i>\\*c\\*\\</i>, label_smoothing [1]
    """
    return _MARKUP.sub(lambda found: "".join(rf"\{c}" for c in found[0]), printable(text))


def code_block(text: str) -> str:
    """Return a block of code in Markdown that no text can end, control characters escaped."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *map(printable, text.split("\n")), fence])
