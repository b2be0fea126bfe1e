"""The entry point: finds the command, runs it, turns every error on purpose into one message and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from dovetail import __version__
from dovetail.errors import DovetailError

#: Command name -> (module under ``dovetail.cli`` with ``add_arguments(parser)`` and ``run(args) -> int``, summary).
COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("compare", "cost of networks on designs, layer by layer"),
    "evaluate": ("evaluate", "cost of one mapping of one problem"),
}


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dovetail", description="Fit neural networks to accelerators.")
    parser.add_argument("--version", action="version", version=f"dovetail {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == wanted:  # import only what runs: starting up stays fast
            implementation = importlib.import_module(f"dovetail.cli.{module}")
            implementation.add_arguments(command)
            command.set_defaults(run=implementation.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 2 bad input, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    args = _parser(wanted).parse_args(arguments)
    try:
        return int(args.run(args))
    except DovetailError as error:
        print(f"dovetail: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `dovetail ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
