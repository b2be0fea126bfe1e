"""What a command reads: no output of it takes the place of an input, and every name given to its files stands in one.

Only while a command is at work is anything noted (`noting`), and refused once it has said what it will write
(`watching`). Who uses the library may read a file, change what it says, and write it again.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dovetail.errors import InputError

_NAME = re.compile(r"[^\W\d]\w*")
#: What tells a file, whatever it is called: its device and its number there.
_Identity = tuple[int, int]


@dataclass
class _Command:
    """What is known of the command at work.

    Attributes:
        outputs: files that are there and that it will write -> the option that says so.
        notes_words: whether the words of what it reads are wanted.
        read: the files that it has read, by what they were called.
        words: the names in them.
    """

    outputs: dict[_Identity, str] = field(default_factory=dict)
    notes_words: bool = False
    read: dict[_Identity, Path] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)


_command: _Command | None = None


@contextlib.contextmanager
def noting() -> Iterator[None]:
    """While a command is at work, note what it reads: options name files that are read before outputs are known."""
    global _command
    before, _command = _command, _Command()
    try:
        yield
    finally:
        _command = before


@contextlib.contextmanager
def watching(outputs: Iterable[tuple[str, Path]], *, words: bool = False) -> Iterator[None]:
    """While a command is at work, refuse to read what it will write, and note what it reads.

    Args:
        outputs: options and the files that they name.
        words: whether the names in what it reads are wanted, for `names`.

    Raises:
        InputError: it has read one of them already.
    """
    global _command
    before = _command
    there = ((_identity(path), option) for option, path in outputs)
    known = {} if before is None else dict(before.read)
    _command = _Command({place: option for place, option in there if place is not None}, words, known)
    try:
        for path in known.values():
            refuse_output(path)
        yield
    finally:
        _command = before


def reading(path: Path, text: str = "") -> None:
    """Say that a file is an input, before any work is done on it.

    Args:
        path: the file.
        text: what stands in it.

    Raises:
        InputError: the command is to write the same file, by whatever name.
    """
    refuse_output(path)
    if _command is not None:
        if (place := _identity(path)) is not None:
            _command.read[place] = path
        if _command.notes_words:
            _command.words.update(_NAME.findall(text))


def refuse_output(path: Path) -> None:
    """Raise InputError where the command at work is to write a file that is there and that it needs as it is."""
    if _command is not None and _command.outputs and (option := _command.outputs.get(_identity(path) or (-1, -1))):
        raise InputError(f"is read, and {option} would write over it; name another file", file=path)


def was_read(path: Path) -> bool:
    """Whether the command at work has read a file that stands there, by whatever name."""
    return _command is not None and _identity(path) in _command.read


def names() -> frozenset[str]:
    """Return every name in the files that the command at work has read, if it asked for them."""
    return frozenset() if _command is None else frozenset(_command.words)


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
