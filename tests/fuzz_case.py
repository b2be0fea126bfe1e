"""One attempt of the fuzzer: a command line and the files it names, made from valid ones by mutation."""

from __future__ import annotations

import base64
import csv
import functools
import io
import random
import zlib
from dataclasses import dataclass
from typing import Any

from fuzz_mutations import LEAVES, NASTY, mutated_text, mutated_tree, tree_of, yaml_of


@dataclass(frozen=True)
class Case:
    """One attempt.

    Attributes:
        arguments: of the command; or the name of one of `READERS`. ``%DIR%`` is the folder the files lie in.
        files: their content, by name.
    """

    arguments: tuple[str, ...]
    files: dict[str, bytes]

    def to_json(self) -> dict[str, Any]:
        """Return plain data: text where a file is text."""
        return {"arguments": list(self.arguments), "files": {name: _shown(data) for name, data in self.files.items()}}

    @staticmethod
    def of_json(content: dict[str, Any]) -> Case:
        """Return the case that `to_json` wrote."""
        files = {
            name: zlib.decompress(base64.b64decode(data["packed"])) if isinstance(data, dict) else data.encode()
            for name, data in content["files"].items()
        }
        return Case(tuple(content["arguments"]), files)


def _shown(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"packed": base64.b64encode(zlib.compress(data, 9)).decode()}


def as_bytes(text: str) -> bytes:
    """Return a text's bytes, halves of surrogate pairs as they are."""
    return text.encode("utf-8", errors="surrogatepass")


def mutated_yaml(text: str, chance: random.Random, *others: str) -> bytes:
    """Mutate a YAML document: its values, and once in a while its text."""
    mutated = mutated_tree(tree(text), chance, [tree(other) for other in others])
    try:
        written = yaml_of(mutated)
    except UnicodeEncodeError:
        written = text
    return as_bytes(mutated_text(written, chance) if chance.random() < 0.1 else written)


@functools.cache
def tree(text: str) -> Any:
    """Return a YAML text as plain values; not to be changed."""
    return tree_of(text)


def mutated_cells(chance: random.Random, rows: list[list[str]]) -> bytes:
    """Mutate a table's cells and rows, and write it as CSV; comments on a network stand before it at times."""
    strings = tuple(str(leaf) for leaf in LEAVES)
    mutated = mutated_tree(rows, chance, leaves=strings)
    text = f"# network: {chance.choice(('net', NASTY, ''))}\n# batch: {chance.choice(('1', '1', '2', '0', '²'))}\n"
    text = as_bytes(chance.choice(("", text))) + written_cells(mutated if isinstance(mutated, list) else [mutated])
    return as_bytes(mutated_text(text.decode(errors="replace"), chance)) if chance.random() < 0.1 else text


def written_cells(rows: list[Any]) -> bytes:
    """Return rows of cells as CSV; what is no row is one of one cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow([str(cell) for cell in row] if isinstance(row, list) else [str(row)])
    return as_bytes(stream.getvalue())
