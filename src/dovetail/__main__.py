"""``python -m dovetail``: the command line."""

from __future__ import annotations

import os
import sys

from dovetail.cli import interruption

if __name__ == "__main__":
    interruption.listen()
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109
        del sys.path[0]  # `python -m` puts the working folder before everything
    from dovetail.cli.program import program

    sys.exit(program())
