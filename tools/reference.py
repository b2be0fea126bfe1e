"""The site's reference, made from docstrings and from the commands' own help when the site is built.

A hook of MkDocs (`mkdocs.yml`): adds ``reference/python.md``, every name of ``import dovetail``, and
``reference/commands.md``, every command. Docstrings are in Google's style.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import dovetail
from dovetail.cli.main import COMMANDS, parser_of

#: Sections of a docstring whose entries are listed.
_SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; called by MkDocs."""
    from mkdocs.structure.files import File

    for name, text in (("python", python_page()), ("commands", commands_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def python_page() -> str:
    """Return the page of all names, functions first."""
    names = sorted(name for name in dovetail.__all__ if not name.startswith("_"))
    values = {name: getattr(dovetail, name) for name in names}
    functions = [name for name in names if inspect.isfunction(values[name])]
    rest = [name for name in names if name not in functions]
    parts = ["# Python\n", "What stands behind `import dovetail`; each name is loaded when it is first used.\n"]
    parts += [_entry(name, values[name]) for name in (*functions, *rest)]
    return "\n".join(parts)


def commands_page() -> str:
    """Return the page of all commands."""
    parser = parser_of(every=True)
    parts = ["# Commands\n", "As `dovetail help COMMAND` says it.\n"]
    (commands,) = (each.choices for each in parser._actions if isinstance(each.choices, dict))
    for name in COMMANDS:
        parts.append(f"## {name}\n\n```text\n{commands[name].format_help().rstrip()}\n```\n")
    return "\n".join(parts)


def _entry(name: str, value: Any) -> str:
    """Return what is to be said of one name, its public methods and properties below it."""
    parts = [f"## {name}\n"]
    if inspect.isfunction(value):
        parts.append(f"```python\n{_signature(name, value)}\n```\n")
    parts.append(_described(inspect.getdoc(value) or ""))
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for member, one in sorted(vars(value).items()):
            text = inspect.getdoc(getattr(one, "func", one)) or ""
            if member.startswith("_") or not text or not (inspect.isfunction(one) or _is_property(one)):
                continue
            head = f"`{member}`" if _is_property(one) else f"`{_signature(member, one, bare=True)}`"
            parts.append(f"### {head}\n\n{_described(text)}")
    return "\n".join(parts)


def _is_property(value: Any) -> bool:
    return isinstance(value, property) or type(value).__name__ == "cached_property"


def _signature(name: str, value: Any, *, bare: bool = False) -> str:
    """Return a call's form, an argument a line unless it is to be ``bare``."""
    given = [each for key, each in inspect.signature(value).parameters.items() if key != "self"]
    if bare:
        return f"{name}({', '.join(each.name for each in given)})"
    lines = [line.strip().rstrip(",") for line in _arguments(given)]
    returned = inspect.signature(value).return_annotation
    arrow = "" if returned is inspect.Signature.empty else f" -> {returned}"
    return f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + f"){arrow}"


def _arguments(given: list[inspect.Parameter]) -> list[str]:
    """Return parameters as they are written, with the marks between their kinds."""
    found: list[str] = []
    starred = False
    for place, each in enumerate(given):
        if each.kind is each.KEYWORD_ONLY and not starred:
            found.append("*")
            starred = True
        found.append(str(each))
        following = given[place + 1].kind if place + 1 < len(given) else None
        if each.kind is each.POSITIONAL_ONLY and following is not each.POSITIONAL_ONLY:
            found.append("/")
    return found


def _described(text: str) -> str:
    """Return a docstring as Markdown: sections as lists, examples as programs."""
    lines: list[str] = []
    in_section = in_example = False
    for line in text.splitlines():
        stripped = line.strip()
        if in_example and not stripped:
            lines += ["```", ""]
            in_example = False
        elif not in_example and stripped.startswith(">>> "):
            lines += ["", "```python", line]
            in_example, in_section = True, False
        elif in_example:
            lines.append(line)
        elif stripped.removesuffix(":") in _SECTIONS and stripped.endswith(":"):
            lines += [f"**{stripped}**", ""]
            in_section = True
        elif in_section and re.match(r"    \S", line):
            lines.append(_item(stripped))
        else:
            in_section = in_section and (not stripped or line.startswith(" "))
            lines.append(stripped if in_section else line)
    if in_example:
        lines.append("```")
    return re.sub("(?<!`)``(?!`)", "`", "\n".join(lines)).rstrip() + "\n"


def _item(text: str) -> str:
    name, colon, rest = text.partition(":")
    return f"- `{name}`: {rest.strip()}" if colon and re.fullmatch(r"[\w.* ]+(\(.*\))?", name) else f"- {text}"
