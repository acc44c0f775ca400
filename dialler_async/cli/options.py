"""Types of options that several commands share."""

from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option that is on when given; there is no `--no-…`."""
