"""``ocs`` and ``python -m ocs``."""

from __future__ import annotations

import sys


def main() -> None:
    """Refuse to run without asserts, then hand over to the command line."""
    if sys.flags.optimize:
        sys.exit("ocs: `python -O` and PYTHONOPTIMIZE leave out the asserts that guard the money: start without them")
    from ocs.cli.app import app

    app(prog_name="ocs")


if __name__ == "__main__":
    main()
