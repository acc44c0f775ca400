"""Escape text from the server.

A campaign's name may contain escape sequences, which move the cursor of a terminal, rewrite earlier lines, or set the
window title. Some file formats, such as XML, do not allow most of these characters.
"""


def escape_unprintable(text: str) -> str:
    r"""Return the text with its unprintable characters as escapes, such as `\x1b`, `\n` or `\u202e`.

    Unprintable are control characters, line breaks, characters that change the direction of text, lone surrogates, and
    blanks other than the space.
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """Return a message as one line. Line breaks become blanks; other unprintable characters become escapes."""
    return escape_unprintable(" ".join(text.splitlines()))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
