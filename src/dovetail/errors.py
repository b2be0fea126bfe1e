"""What can go wrong, as one tree.

::

    DovetailError            everything we raise on purpose; the CLI prints it and exits with 2
    ├── InputError           a file, key or value from outside is wrong (file, line, key, found, wanted)
    │   └── WriteError       a result can't be written where it was to go
    ├── MappingError         a mapping does not fit its problem or its architecture
    │   └── CapacityError    a tile is larger than the storage that must hold it
    ├── NoMappingError       no mapping satisfies the constraints and capacities
    │   └── NotMetError      none was met, which does not prove that there is none
    ├── InternalError        we contradict ourselves; the CLI exits with 70
    └── MissingExtraError    an optional dependency is needed and absent
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dovetail.text import shown


class DovetailError(Exception):
    """Base of every error raised on purpose; its text is one message for a person, on one line whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as it is, whatever its class was made from: errors come back from other processes."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[DovetailError], args: tuple[Any, ...], fields: dict[str, Any]) -> DovetailError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class InputError(DovetailError):
    """Something read from outside is wrong.

    Args:
        message: what is wrong, naming what was found and what would be right.
        file: the file it stands in.
        line: its line, counted from 1.
        key: the dotted path of keys that leads to it, e.g. ``architecture.nodes[2].attributes.depth``.
    """

    def __init__(
        self, message: str, *, file: Path | str | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        message, key = shown(message), None if key is None else shown(key)
        self.message, self.file, self.line, self.key = message, file, line, key
        place = "" if file is None else shown(str(file)) + ("" if line is None else f":{line}") + ": "
        super().__init__(place + (f"{key}: " if key else "") + message)

    def placed(self, file: Path | str, line: int | None = None, key: str | None = None) -> InputError:
        """Return the same error at a place, unless it names a file already."""
        return self if self.file is not None else InputError(self.message, file=file, line=line, key=key or self.key)


class WriteError(InputError):
    """A file can't be written; what was to stand in it is not lost where it is kept elsewhere."""


class MappingError(DovetailError):
    """A mapping does not fit its problem or its architecture."""


class CapacityError(MappingError):
    """A tile is larger than the storage that must hold it.

    Attributes:
        level: name of the storage level.
        tile_words: words per tensor that the mapping wants to keep there.
        capacity_words: words that fit.
    """

    def __init__(self, level: str, tile_words: dict[str, int], capacity_words: int) -> None:
        self.level, self.tile_words, self.capacity_words = level, tile_words, capacity_words
        parts = " + ".join(f"{name} {words}" for name, words in tile_words.items())
        super().__init__(
            f"{level}: tiles need {sum(tile_words.values())} words ({parts}) but only {capacity_words} fit"
        )


class NoMappingError(DovetailError):
    """No mapping satisfies the constraints and capacities."""


class NotMetError(NoMappingError):
    """No mapping was met in the time, or among the samples, there were: there may be one all the same."""


class InternalError(DovetailError):
    """Dovetail contradicts itself: the fault is ours, and no answer is better than one that may be wrong.

    Args:
        message: what was found, with both sides of the contradiction.
    """

    def __str__(self) -> str:
        return f"{super().__str__()}; this is a fault of Dovetail: please report it, with the files that led to it"


class MissingExtraError(DovetailError):
    """An optional dependency is needed and absent.

    Args:
        feature: what the user asked for.
        extra: the extra that brings it, e.g. ``torch``.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'dovetail-codesign[{extra}]'")


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the closest known word, or the list of known words."""
    words = sorted(known)
    lowered = {word.lower(): word for word in words}
    close = difflib.get_close_matches(found.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return f", did you mean '{lowered[close[0]]}'?"
    return f"; known: {', '.join(words)}" if words else ""
