"""The program's entry: listens for signals before it imports the command line, which takes longer."""

from __future__ import annotations

from dovetail.cli import interruption


def program() -> int:
    """Run the command of the command line; returns its exit code."""
    interruption.listen()
    from dovetail.cli.main import main

    return interruption.run(main)
