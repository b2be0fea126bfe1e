"""Reads a document from a file: plain YAML as it is, what has Jinja2 in it through the templates' sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dovetail.document import Node, Scalar, parse_document, read_text

#: What only text with templates in it has.
_MARKS = ("{{", "{%", "{#", "!include ")


def read_document(
    path: Path, *, include_folders: Sequence[Path] = (), data: Mapping[str, Scalar] | None = None
) -> Node:
    """Read a YAML file, with the Jinja2 includes of Timeloop v0.4 when it has any.

    Args:
        path: the file.
        include_folders: further folders that includes may read from; without them only the file's own folder.
        data: values for template variables, e.g. ``{"architecture": "eyeriss_like"}``.

    Raises:
        InputError: the file cannot be read, is not YAML, includes itself, reaches outside its folders, or is a bomb.
    """
    text = read_text(path)
    if not any(mark in text for mark in _MARKS):
        return parse_document(text, file=str(path))
    from dovetail.template import read_template  # only what has templates needs Jinja2

    return read_template(path, include_folders=include_folders, data=data or {})
