"""`DIALLER_LOG=debug`: show the library's log on stderr, for programs that don't configure logging."""

import logging
import os
import warnings

VARIABLE = "DIALLER_LOG"


def set_up_log() -> None:
    """Make the library's logger silent by default, or let it print each attempt if the environment asks for it."""
    logger = logging.getLogger(__package__)
    # Without this handler, Python prints warnings of an app that has not configured logging. Errors are raised anyway.
    logger.addHandler(logging.NullHandler())
    wanted = os.environ.get(VARIABLE, "")
    if wanted.lower() == "debug":
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    elif wanted:
        # The value is not shown, because a secret may be in a wrong variable.
        warnings.warn(f"{VARIABLE} has only the value debug", stacklevel=2)
