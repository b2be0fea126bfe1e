"""Mapping files: tells Timeloop's form and ours apart, reads and checks, writes in either."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dovetail.document import Node, parse_document
from dovetail.document_file import read_document
from dovetail.errors import MappingError
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.check import check_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.native_yaml import native_mapping_yaml, parse_native_mapping
from dovetail.mapping.timeloop_yaml import parse_timeloop_mapping, timeloop_mapping_yaml
from dovetail.workload.problem import Problem

Form = Literal["timeloop", "native"]


def read_mapping(path: Path, architecture: Architecture, problem: Problem) -> Mapping:
    """Read a mapping file in either form and check it.

    Raises:
        InputError: with file, line and key, when something in the file is wrong.
        MappingError: naming the file, when the mapping does not fit the problem or the architecture.
    """
    return _mapping_of(read_document(path), architecture, problem)


def parse_mapping(text: str, architecture: Architecture, problem: Problem, *, file: str = "<mapping>") -> Mapping:
    """Read a mapping from text in either form and check it; see ``read_mapping``."""
    return _mapping_of(parse_document(text, file=file), architecture, problem)


def write_mapping(
    path: Path, mapping: Mapping, architecture: Architecture, problem: Problem, form: Form = "timeloop"
) -> None:
    """Write a mapping file: all of it or, when interrupted, nothing.

    Args:
        path: the file; replaced when it exists.
        mapping: what to write.
        architecture: whose levels it names.
        problem: whose dimensions and tensors it names.
        form: ``timeloop`` for directives, ``native`` for the compact form.
    """
    is_native = form == "native"
    text = native_mapping_yaml(mapping, problem) if is_native else timeloop_mapping_yaml(mapping, architecture, problem)
    write_text(path, text)


def _mapping_of(document: Node, architecture: Architecture, problem: Problem) -> Mapping:
    is_native = isinstance(document.value, dict) and "loop_nest" in document.value
    parse = parse_native_mapping if is_native else parse_timeloop_mapping
    mapping = parse(document, architecture, problem)
    try:
        check_mapping(mapping, problem, architecture)
    except MappingError as error:
        raise MappingError(f"{document.file}: {error}") from None
    return mapping
