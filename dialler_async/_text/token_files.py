"""Files that hold a token."""

from pathlib import Path

from ..errors import ConfigurationError


def read_token_file(path: Path, name: str) -> str:
    """Return the token in a file, without surrounding whitespace.

    Args:
        path: the file.
        name: the file's name in error messages. The path is not shown, because a user may pass a token as the path.
    Raises:
        ConfigurationError: the file can't be read, is not text, or is empty.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"can't read {name}: {reason}") from None
    if not token:
        raise ConfigurationError(f"{name} is empty")
    return token
