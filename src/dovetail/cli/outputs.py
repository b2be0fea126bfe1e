"""Options that name files to write: declared here, so that all of them are seen to before a command begins its work."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dovetail import inputs
from dovetail.errors import InputError


def add_output(parser: argparse._ActionsContainer, option: str, text: str, *, folder: bool = False) -> None:
    """Declare an option that names a file to write, or a folder to write files into; see `prepared`.

    Args:
        parser: the command's, or a group of its options.
        option: such as ``--csv``.
        text: its help.
        folder: whether it names a folder.
    """
    kind = _Folder if folder else _File
    parser.add_argument(option, type=file_path, action=kind, metavar="FOLDER" if folder else "FILE", help=text)


def file_path(text: str) -> Path:
    """Return the path that a word names; for ``type=``. An empty word would name the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("'' names no file")
    return Path(text)


@contextlib.contextmanager
def prepared(args: argparse.Namespace) -> Iterator[None]:
    """Check that everything that a command is to write can be written; missing folders are made.

    While this is entered, an input that is one of the outputs, too, is refused where it is read. Where a file goes to
    standard output, all else that is printed goes to stderr.

    Raises:
        InputError: something can't be written, two options name one file, or two things would stand on stdout.
    """
    is_json, taken = getattr(args, "json", False), dict[Path | None, str]()
    if wanted := getattr(args, "outputs", ()):
        taken = _prepare(wanted, is_json=is_json)
    written = [(option, path) for path, option in taken.items() if path is not None]
    with contextlib.ExitStack() as entered:
        entered.enter_context(inputs.watching(written, words=bool(getattr(args, "set", ()))))
        if None in taken and not is_json:
            from dovetail import files  # `--help` does without

            entered.enter_context(files.for_files_alone())
        yield


def _prepare(wanted: Sequence[tuple[str, Path, bool]], *, is_json: bool) -> dict[Path | None, str]:
    """Return where the output goes, None for standard output -> the option that says so; see `prepared`."""
    from dovetail import files  # `--help` does without

    taken: dict[Path | None, str] = {None: "--json"} if is_json else {}
    for option, path, folder in wanted:
        if folder or (option in _EITHER and path.is_dir()):
            files.prepare_folder(path)
            continue
        target = files.prepare(path)
        if target.path is None and target.path in taken:
            raise InputError(f"{taken[None]} and {option} would both be printed; name a file for one of them")
        if target.path in taken and target.replaced:
            raise InputError(f"{taken[target.path]} and {option} would write the same file", file=path)
        taken[target.path] = option
    return taken


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
