"""Refuse unknown names, and suggest the most similar valid name."""

from collections.abc import Iterable
from difflib import get_close_matches

from ..errors import ConfigurationError


def require_known(name: str, known: Iterable[str], kind: str, of: str = "", listing: str = "there are") -> None:
    """Check that a name is known.

    Args:
        name: the name in the settings.
        known: all valid names.
        kind: the noun before the name in the message, such as `rule`.
        of: the text after the name in the message, such as ` of the rule “expired”`.
        listing: the words before the list of valid names in the message.
    Raises:
        ConfigurationError: the name is unknown; the message suggests the most similar one, or lists all.
    """
    names = list(known)
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean “{close[0]}”?" if close else f"{listing} {', '.join(names)}"
        raise ConfigurationError(f"there is no {kind} “{name}”{of}; {hint}")
