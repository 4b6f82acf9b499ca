"""Text that is safe to print."""


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that no terminal obeys them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
