"""Text for people."""


def printable(text: str) -> str:
    """Return a text in which what a terminal would obey is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
