"""A configuration as a document: its keys with their defaults, each checked where it stands."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean

#: No size of a model is larger.
_MOST = 1 << 24


class Configuration:
    """The keys of a ``config.json``.

    Attributes:
        name: what to call the model.
        family: its ``model_type``.
        source: where it comes from.
    """

    def __init__(self, document: Node, *, name: str, family: str, source: str) -> None:
        self.name, self.family, self.source = name, family, source
        self._document, self._entries = document, document.mapping()

    def fail(self, message: str, key: str | None = None) -> InputError:
        """Return the error to raise about a key, or about the whole."""
        return self._entries.get(key or "", self._document).fail(message)

    def optional(self, *names: str, least: int = 1) -> int | None:
        """Return the first of several keys' size, at least ``least``; None where none is there or it is null."""
        for name in names:
            node = self._entries.get(name)
            if node is not None and node.value is not None:
                size = node.integer(minimum=least)
                if size > _MOST:
                    raise node.fail(f"is {size}; at most {_MOST} is read")
                return size
        return None

    def size(self, *names: str) -> int:
        """Return the first of several keys' size, at least 1; raises InputError where none is there."""
        found = self.optional(*names)
        if found is None:
            raise self._document.fail(f"the key '{names[0]}' is missing; models of the family '{self.family}' have it")
        return found

    def at_most(self, name: str, most: int) -> int:
        """Return a key's size, which must not be above another."""
        found = self.size(name)
        if found > most:
            raise self.fail(f"is {found}, but there are {most}", name)
        return found

    def divides(self, whole: int, part: int, name: str) -> None:
        """Check that a size is a divisor of another."""
        if part < 1 or whole % part:
            raise self.fail(f"is {part}, which does not divide {whole}", name)

    def share(self, name: str) -> float | None:
        """Return a key's share, 0 to 1; None where it is not there."""
        node = self._entries.get(name)
        if node is None or node.value is None:
            return None
        found = float(node.number(minimum=0))
        if found > 1:
            raise node.fail(f"is a share, 0 to 1; found {found:g}")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """Return a key's truth value."""
        node = self._entries.get(name)
        return default if node is None or node.value is None else node.boolean()

    def text(self, name: str, default: str = "") -> str:
        """Return a key's text."""
        node = self._entries.get(name)
        return default if node is None or node.value is None else node.text()

    def says(self, name: str, word: str) -> bool:
        """Tell whether a key is a certain word, where it may be something else."""
        node = self._entries.get(name)
        return node is not None and node.value == word

    def choices(self, name: str, known: Sequence[str]) -> Sequence[str] | None:
        """Return a key's list of words, each a known one; None where it is not there."""
        node = self._entries.get(name)
        if node is None or node.value is None:
            return None
        items = node.sequence()
        for item in items:
            if item.text() not in known:
                raise item.fail(f"'{item.text()}' is not read{did_you_mean(item.text(), known)}")
        return [item.text() for item in items]

    def numbers(self, name: str) -> Sequence[int] | None:
        """Return a key's list of whole numbers; None where it is not there."""
        node = self._entries.get(name)
        return None if node is None or node.value is None else [item.integer(minimum=0) for item in node.sequence()]
