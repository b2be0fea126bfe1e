"""The fenced blocks of a page, what is said above each of them, and how they are run.

A comment on the lines right above a block says what to do with it; readers do not see it:

- ``<!-- file: my_net.py -->``: the block is this file from here on;
- ``<!-- printed -->``: what the program above prints, ``...`` for any lines;
- ``<!-- needs: torch -->``: skipped where the extra is absent, as is what follows on the page;
- ``<!-- not run: why -->``: commands must still be ones that the command line takes, programs must compile.

A ``console`` block has commands behind ``$`` and what they print, ``...`` for any lines, or commands alone without a
``$``; what a command without output prints is not compared. All of a page happens in one folder, and its programs
share their names.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"((?:^<!--[^\n]*-->\n)*)^([ ]*)```([^\n]*)\n(.*?)^[ ]*```", re.DOTALL | re.MULTILINE)
LANGUAGES = {"console", "csv", "json", "python", "text", "yaml"}
#: What may stand above a block.
MARKS = {"file", "printed", "needs", "not run"}


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        page: the file that it stands in; line: its first line there.
        language: as the page says.
        text: what it holds.
        marks: what is said above it.
    """

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[tuple[str, list[str]]]:
        """Return each command with the lines that it is said to print."""
        found: list[tuple[str, list[str]]] = []
        continued = False
        behind = "" if not re.search(r"^\$ ", self.text, re.MULTILINE) else "$ "
        for line in self.text.splitlines():
            if continued:
                found[-1] = (f"{found[-1][0]} {line.strip()}", [])
            elif line.startswith(behind):
                found.append((line.removeprefix(behind), []))
            else:
                assert found, f"{self.where}: a console block begins with a command, behind '$ '"
                found[-1][1].append(line.rstrip())
            command = found[-1][0]
            continued = command.endswith("\\") and not found[-1][1]
            if continued:
                found[-1] = (command[:-1].rstrip(), [])
        return [(command, _without_last_blank(lines)) for command, lines in found]


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        marks = {}
        for mark in re.findall(r"<!--\s*(.*?)\s*-->", match[1]):
            name, _, rest = mark.partition(":")
            marks[name.strip()] = rest.strip()
        line = text.count("\n", 0, match.start(3)) + 1
        body = re.sub(f"^{match[2]}", "", match[4], flags=re.MULTILINE)
        found.append(Block(page.name, line, match[3].strip(), body, marks))
    return found


def words_of(command: str) -> tuple[list[str], str | None]:
    """Return a command's words without its comment, and the file that its output goes to."""
    words = shlex.split(command, comments=True)
    if ">" in words:
        at = words.index(">")
        return words[:at], words[at + 1]
    return words, None


def is_shown(printed: str, shown: list[str]) -> bool:
    """Return whether a text is what a page shows: line by line, ``...`` for any lines, or a line's rest."""
    pattern = "\n".join(".*" if line.strip() == "..." else _pattern(line.rstrip()) for line in shown)
    text = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern.replace("\n.*\n", "\n(?:.*\n)?"), text, re.DOTALL) is not None


def spans_of(page: Path) -> list[tuple[int, str]]:
    """Return the commands that stand in running text and tables, with their lines; those with an omission aside."""
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"))
    found = re.finditer(r"`(dovetail [^`]*)`", text)
    return [
        (text.count("\n", 0, each.start()) + 1, " ".join(each[1].split()).replace(r"\|", "|"))
        for each in found
        if not re.search(r"\.\.\.|…|[\[|]", each[1])
    ]


def _pattern(line: str) -> str:
    return re.escape(line.removesuffix(" ...")) + (r"[^\n]*" if line.endswith(" ...") else "")


def _without_last_blank(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines
