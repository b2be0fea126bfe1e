"""The commands' parsers: words in any order, the nearest word for a mistyped one, examples below every help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from dovetail.text import shown


class Parser(argparse.ArgumentParser):
    """Says what is wrong on one line, with the nearest word that is right, whatever stands in the words it quotes.

    Args:
        examples: command lines to show below the help, without ``dovetail``.
        options: what `argparse.ArgumentParser` takes.
    """

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        lines = "\n".join(f"  dovetail {line}" for line in examples)
        epilog = f"examples:\n{lines}" if examples else None
        super().__init__(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.examples = tuple(examples)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end with exit code 2."""
        self.exit(2, f"{self.prog}: error: {shown(message)} (see `{self.prog} --help`)\n")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; what is not known ends here, not at the parser above, which does not know what would be."""
        if args is not None and self._subparsers is None and "--" not in args:
            args = _words_first(self, list(args))
        found, rest = super().parse_known_args(args, namespace)
        if rest and self._subparsers is None:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of an argument's choices, with the nearest that is."""
        if action.choices is not None and value not in action.choices:
            words = [str(choice) for choice in action.choices]
            known = [*words, "help"] if isinstance(action, argparse._SubParsersAction) else words
            listed = "" if (near := _nearest(str(value), known)) else f" (choose from {', '.join(words)})"
            raise argparse.ArgumentError(action, f"invalid choice: '{value}'{near}{listed}")


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known word; nothing when none is close."""
    import difflib  # only when something is wrong

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def _words_first(parser: Parser, args: list[str]) -> list[str]:
    """Return the arguments with all words that are no option's before the options: then they may stand anywhere.

    An option that takes as many words as there are (``--on``) also takes what was meant for the command where that
    stands behind it. When the command would be left without, the option keeps its first word only, and a command that
    wants one word takes the last.
    """
    wanted = [each for each in parser._actions if not each.option_strings and each.nargs in (None, "+")]
    words: list[str] = []
    options: list[list[str]] = []
    place = 0
    while place < len(args):
        if not _is_option(args[place]):
            words.append(args[place])
            place += 1
            continue
        taken = _taken(parser, args, place)
        options.append(args[place : place + 1 + taken])
        place += 1 + taken
    long = [each for each in options if len(each) > 2]
    if wanted and not words and long:
        run = long[-1]
        kept = 2 if wanted[0].nargs == "+" else len(run) - 1
        words, run[:] = run[kept:], run[:kept]
    return [*words, *(word for option in options for word in option)]


def _is_option(word: str) -> bool:
    return word.startswith("-") and re.fullmatch(r"-|-\d*\.?\d+", word) is None


def _taken(parser: Parser, args: list[str], place: int) -> int:
    """Return how many of the words behind an option are its own."""
    known = parser._option_string_actions
    name, sign, _ = args[place].partition("=")
    meant = [name] if name in known else [each for each in known if each.startswith(name) and name.startswith("--")]
    if not meant:
        parser.error(f"unrecognized argument {name}{_nearest(name, known)}")
    action = known[meant[0]]
    if sign or action.nargs == 0:
        return 0
    free = 0
    while place + 1 + free < len(args) and not _is_option(args[place + 1 + free]):
        free += 1
    return free if action.nargs == "+" else min(1, free)
