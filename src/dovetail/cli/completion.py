"""``dovetail completion``: scripts with which bash, zsh and fish complete commands, options, choices and names."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Command lines to begin with.
EXAMPLES = (
    "completion bash > ~/.local/share/bash-completion/completions/dovetail",
    "completion zsh >> ~/.zshrc",
    "completion fish > ~/.config/fish/completions/dovetail.fish",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose script to print")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from dovetail.cli.main import parser_of

    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell](_commands(parser_of(every=True))), end="")
    return 0


@dataclass(frozen=True)
class _Option:
    """An option, or what stands without one.

    Attributes:
        names: such as ``--on``; empty for what stands without one.
        help: its first words.
        takes: whether words follow.
        words: what they may be, as far as is known here; files may always follow.
        several: whether more than one may follow.
    """

    names: tuple[str, ...]
    help: str
    takes: bool
    words: tuple[str, ...]
    several: bool


@dataclass(frozen=True)
class _Command:
    name: str
    help: str
    options: tuple[_Option, ...]

    @property
    def names(self) -> list[str]:
        return [name for option in self.options for name in option.names]


def _commands(parser: argparse.ArgumentParser) -> list[_Command]:
    (sub,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    helps = {each.dest: each.help or "" for each in sub._choices_actions}
    return [
        _Command(name, helps.get(name, ""), tuple(_options(command._actions))) for name, command in sub.choices.items()
    ]


def _options(actions: Sequence[argparse.Action]) -> Iterator[_Option]:
    from dovetail.hardware.reader import bundled_designs
    from dovetail.workload.language.reader import bundled_models
    from dovetail.workload.layer_table import bundled_names

    for each in actions:
        known = tuple(map(str, each.choices or ())) or _listed_in(each.metavar)
        if not known and each.metavar in ("DESIGN", "FAMILY"):
            known = tuple(bundled_designs())
        elif not known and each.metavar in ("NETWORK", "LAYER"):
            known = (*bundled_names(), *bundled_models())
        elif not known and each.metavar == "LANGUAGE_MODEL":
            known = tuple(bundled_models())
        words = (each.help or "").replace("%%", "%").split(";")[0]
        yield _Option(tuple(each.option_strings), words, each.nargs != 0, known, each.nargs in ("+", "*"))


def _listed_in(metavar: object) -> tuple[str, ...]:
    """Return the words of a placeholder that lists them, as ``edp|energy``."""
    parts = str(metavar or "").split("|")
    return tuple(parts) if len(parts) > 1 and all(part.islower() or part.isdigit() for part in parts) else ()


def _bash(commands: Sequence[_Command]) -> str:
    lines = [
        "# bash completion of dovetail; written by `dovetail completion bash`",
        "_dovetail() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}" command="${COMP_WORDS[1]}" option="" options="" words="" place',
        "  COMPREPLY=()",
        '  if [ "$COMP_CWORD" -eq 1 ]; then',
        f'    COMPREPLY=($(compgen -W "{_listed([c.name for c in commands] + ["help", "--help", "--version"])}"'
        ' -- "$cur"))',
        "    return",
        "  fi",
        "  for ((place = COMP_CWORD - 1; place > 1; place--)); do",
        '    case "${COMP_WORDS[place]}" in -*) option="${COMP_WORDS[place]}"; break ;; esac',
        "  done",
        '  case "$command" in',
        f'    help) words="{_listed([c.name for c in commands])}" ;;',
    ]
    for command in commands:
        free = [word for option in command.options if not option.names for word in option.words]
        lines.append(f'    {command.name}) options="{_listed(command.names)}"; words="{_listed(free)}" ;;')
    lines += ["  esac", '  case "$command $option" in']
    for command in commands:
        for option in command.options:
            if option.names and option.takes:
                patterns = "|".join(f'"{command.name} {name}"' for name in option.names)
                near = "" if option.several else '[ "$place" -eq $((COMP_CWORD - 1)) ] && '
                lines.append(f'    {patterns}) {near}words="{_listed(option.words)}" ;;')
    lines += [
        "  esac",
        '  case "$cur" in -*) words="$options" ;; esac',
        '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "}",
        "complete -o default -o bashdefault -F _dovetail dovetail",
        "",
    ]
    return "\n".join(lines)


def _zsh(commands: Sequence[_Command]) -> str:
    return f"autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n{_bash(commands)}"


def _fish(commands: Sequence[_Command]) -> str:
    lines = ["# fish completion of dovetail; written by `dovetail completion fish`"]
    for command in commands:
        top = f"complete -c dovetail -n __fish_use_subcommand -a {command.name} -d {shlex.quote(command.help)}"
        lines.append(top + " -f")
        here = f"complete -c dovetail -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            words = f"-a {shlex.quote(_listed(option.words))}" if option.words else ""
            takes = "-r" if option.names and option.takes else ""
            if names or words:
                parts = (here, names, takes, words, f"-d {shlex.quote(option.help)}" if names else "")
                lines.append(" ".join(filter(None, parts)))
    return "\n".join([*lines, ""])


def _listed(words: Sequence[str]) -> str:
    return " ".join(words)
