"""The entry point: finds the command, runs it, turns every error on purpose into one message and exit code 2."""

from __future__ import annotations

import os
import sys

from dovetail.cli import interruption

if __name__ == "__main__":
    interruption.listen()
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109
        del sys.path[0]  # `python -m` puts the working folder before everything

import argparse
import errno
import importlib
from collections.abc import Sequence

from dovetail import inputs
from dovetail.cli import outputs
from dovetail.cli.former import renamed
from dovetail.cli.parser import Parser
from dovetail.errors import DovetailError, InternalError, WriteError
from dovetail.text import shown
from dovetail.version import __version__

#: Command name -> (module under ``dovetail.cli``, summary). A module has ``add_arguments(parser)``,
#: ``run(args) -> int`` and ``EXAMPLES``.
COMMANDS: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "accuracy of a trained network on a data set"),
    "advise": ("advise", "what to change of a network or a design, each change computed"),
    "bits": ("bits", "bits for every layer that meet a cost on a design, trained and measured"),
    "bound": ("bound", "what no design can beat: the least DRAM traffic against the room on the chip"),
    "cache": ("cache", "show, verify or clear the store of results"),
    "check-run": ("check_run", "a run of Timeloop counted again: equal, or what differs and why"),
    "compare": ("compare", "cost of networks on designs, layer by layer"),
    "completion": ("completion", "a script that lets your shell complete commands, options and names"),
    "components": ("components", "energy and area per action of a design's components, with provenance"),
    "designs": ("designs", "the bundled designs, or one architecture in a table"),
    "evaluate": ("evaluate", "cost of one mapping of one problem"),
    "explain": ("explain", "what each constraint of a design costs a layer"),
    "explore": ("explore", "the proven front of area, energy and time over a family of designs"),
    "layers": ("layers", "the layers of a network, as a table, CSV, YAML or Timeloop problems"),
    "map": ("map", "best mapping of one layer, with a certificate"),
    "optimum": ("optimum", "a network's mappings chosen together; deadlines and energy budgets"),
    "report": ("report", "networks on designs as one page that opens from disk"),
    "shrink": ("shrink", "smaller networks that meet a cost on a design, trained and measured"),
    "silicon": ("silicon", "the model beside what two published chips measured"),
    "study": ("study", "the founding study: as published, as reproduced, and corrected"),
    "sweep-layer": ("sweep_layer", "how a layer's cost follows one of its dimensions"),
    "tokens": ("tokens", "what a language model's token costs on a design: prefill, decode, batch, context"),
    "train": ("train", "train networks under several seeds, with accuracy and its interval"),
    "verify": ("verify", "check a saved certificate again"),
}


#: What `dovetail` alone shows: three commands that work at once.
TRY = """\
Dovetail fits neural networks to accelerators: exact costs, provably best mappings. Three commands to try:

  dovetail compare alexnet --on eyeriss_like simple_weight_stationary
      what a network costs on two designs, layer by layer
  dovetail map resnet18:layer1.0.conv1 --on eyeriss_like
      the best mapping of one layer, and why there is no better one
  dovetail report resnet18 --on eyeriss_like --html report.html
      all that as one page, with what to change

`dovetail help` lists every command, `dovetail help COMMAND` explains one."""


def parser_of(wanted: str | None = None, *, every: bool = False) -> Parser:
    """Return the parser of the command line.

    Args:
        wanted: the command whose arguments are declared; the others are only named, so that starting up stays fast.
        every: whether those of all commands are.
    """
    parser = Parser(prog="dovetail", description="Fit neural networks to accelerators.")
    parser.epilog = "`dovetail help COMMAND` explains one, with examples; `dovetail` names three."
    parser.add_argument("--version", action="version", version=f"dovetail {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, (module, summary) in COMMANDS.items():
        described = f"{summary[0].upper()}{summary[1:]}."
        if name != wanted and not every:
            commands.add_parser(name, help=summary, description=described)
            continue
        implementation = importlib.import_module(f"dovetail.cli.{module}")
        command = commands.add_parser(name, help=summary, description=described, examples=implementation.EXAMPLES)
        implementation.add_arguments(command)
        command.add_argument("--wide", action="store_true", help="tables as wide as it takes, whatever the terminal")
        command.set_defaults(run=implementation.run, kept=getattr(implementation, "kept", lambda _args: ""))
    return parser


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _kept(args: argparse.Namespace) -> str:
    """Return what is kept of a command that ended early, as a message's last clause; nothing before it has begun."""
    return f"; {kept}" if args.begun and (kept := shown(args.kept(args))) else ""


def _without_memory(args: argparse.Namespace) -> int:
    """Say that memory has run out, at which layer, and what is kept; returns the exit code."""
    layer = getattr(args, "layer", None) or ()
    at = f" at {shown(layer if isinstance(layer, str) else ' '.join(layer))}" if layer else ""
    print(f"dovetail: error: out of memory{at}{_kept(args)}", file=sys.stderr)
    return 2


def _run(args: argparse.Namespace) -> int:
    from dovetail.cli.tables import show_all_columns  # `--help` does without

    show_all_columns(args.wide)
    with outputs.prepared(args):
        args.begun = True
        interruption.keeping(shown(args.kept(args)))
        code = int(args.run(args))
        sys.stdout.flush()  # what cannot be written shows here, not at the interpreter's end
        return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0: done; 1: a check failed; 2: bad input; 70: Dovetail contradicts itself; 130: interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        print(TRY)
        return 0
    if arguments[0] == "help":
        arguments = [*(word for word in arguments[1:2] if word != "help"), "--help"]
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    arguments = renamed(wanted, arguments)
    args = argparse.Namespace(begun=False)
    try:
        with inputs.noting():
            parser_of(wanted).parse_args(arguments, args)
            return _run(args)
    except BrokenPipeError:  # `dovetail ... | head`
        _discard_output()
        return 0
    except InternalError as error:
        print(f"dovetail: internal error: {error}", file=sys.stderr)
        return 70
    except DovetailError as error:
        print(f"dovetail: error: {error}{_kept(args) if isinstance(error, WriteError) else ''}", file=sys.stderr)
        return 2
    except OSError as error:  # the output's disk is full, a file vanished
        if error.errno == errno.ENOMEM:
            return _without_memory(args)
        _discard_output()
        print(f"dovetail: error: {shown(str(error))}", file=sys.stderr)
        return 2
    except MemoryError:
        return _without_memory(args)
    except KeyboardInterrupt as error:
        if interruption.is_listening():
            interruption.end("SIGINT", str(error))  # as the listening thread does, and only one of the two
        print(f"dovetail: interrupted{_kept(args)}", file=sys.stderr)
        return interruption.INTERRUPTED
    except Exception as error:
        from dovetail.worker import lacks_memory  # only when something is wrong

        if lacks_memory(error):  # which may show as a library that cannot be loaded
            return _without_memory(args)
        raise


if __name__ == "__main__":
    sys.exit(interruption.run(main))
