"""`python -m dialler_async`: the `dialler` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
