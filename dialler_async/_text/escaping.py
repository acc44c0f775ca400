"""Text from elsewhere, made fit to be shown.

Whoever may name a campaign could otherwise send escape sequences to the terminal of whoever lists them: move the
cursor, rewrite lines above, set the window title. In files that only want text, such as XML, most of these characters
are not allowed at all.
"""


def escape_unprintable(text: str) -> str:
    r"""The text with everything that does not print shown as an escape, such as `\x1b`, `\n` or `\u202e`.

    That is: control characters, line breaks, characters that turn the direction of writing, lone surrogates, and blanks
    that only look like a space.
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """A message of ours that may hold text from elsewhere: its line breaks are blanks, the rest is escaped."""
    return escape_unprintable(" ".join(text.splitlines()))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
