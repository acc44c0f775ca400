"""Option types that several commands use."""

from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""A flag without a `--no-…` form."""
