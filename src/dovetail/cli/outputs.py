"""Options that name files to write: declared here, so that all of them are seen to before a command begins its work."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail.errors import InputError


def add_output(parser: argparse._ActionsContainer, option: str, text: str, *, folder: bool = False) -> None:
    """Declare an option that names a file to write, or a folder to write files into; see `prepare`.

    Args:
        parser: the command's, or a group of its options.
        option: such as ``--csv``.
        text: its help.
        folder: whether it names a folder.
    """
    kind = _Folder if folder else _File
    parser.add_argument(option, type=Path, action=kind, metavar="FOLDER" if folder else "FILE", help=text)


def prepare(args: argparse.Namespace) -> None:
    """Check that everything that a command is to write can be written; missing folders are made.

    Raises:
        InputError: something can't be, or two options name one file.
    """
    if not (wanted := getattr(args, "outputs", ())):
        return
    from dovetail import files  # `--help` does without

    taken: dict[Path, str] = {}
    for option, path, folder in wanted:
        if folder or (option in _EITHER and path.is_dir()):
            files.prepare_folder(path)
            continue
        target = files.prepare(path)
        if target.replaced and target.path is not None:
            if target.path in taken:
                raise InputError(f"{taken[target.path]} and {option} would write the same file", file=path)
            taken[target.path] = option


#: Options that take a file, and also a folder that is there already.
_EITHER = ("--yaml",)


class _File(argparse.Action):
    _folder = False

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        others = [each for each in getattr(namespace, "outputs", []) if each[0] != self.option_strings[0]]
        namespace.outputs = [*others, (self.option_strings[0], values, self._folder)]


class _Folder(_File):
    _folder = True
