"""Errors about unknown names that suggest the name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from dialler_async.errors import ConfigurationError


def require_known(name: str, known: Iterable[str], kind: str, of: str = "", listing: str = "there are") -> None:
    """Check that a name is known.

    Args:
        name: the name in the settings.
        known: all names that there are.
        kind: what the name is of, such as `rule`.
        of: what the names belong to, such as ` of the rule “expired”`.
        listing: how the message introduces the known names.

    Raises:
        ConfigurationError: The name is unknown; the message suggests the most similar one, or lists all.
    """
    names = list(known)
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean “{close[0]}”?" if close else f"{listing} {', '.join(names)}"
        raise ConfigurationError(f"there is no {kind} “{name}”{of}; {hint}")
