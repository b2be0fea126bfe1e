"""Mapping files: tells Timeloop's forms and ours apart, reads and checks, writes YAML in either."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dovetail.document import Node, parse_document, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError, MappingError
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.check import check_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.native_yaml import native_mapping_yaml, parse_native_mapping
from dovetail.mapping.printed import parse_printed_mapping
from dovetail.mapping.timeloop_yaml import MappingFile, parse_timeloop_mapping, timeloop_mapping_yaml
from dovetail.workload.problem import Problem

Form = Literal["timeloop", "native"]


def read_mapping(path: Path, architecture: Architecture, problem: Problem) -> Mapping:
    """Read a mapping file in any form and check it; see `read_mapping_file`, which also returns what it says besides.

    Raises:
        InputError: with file, line and key, when something in the file is wrong, or says of the hardware what the
            architecture does not.
        MappingError: naming the file, when the mapping does not fit the problem or the architecture.
    """
    read = read_mapping_file(path, architecture, problem)
    if read.architecture != architecture:
        raise InputError("says of the hardware (no_link_transfer, ...) what the architecture does not", file=path)
    return read.mapping


def read_mapping_file(path: Path, architecture: Architecture, problem: Problem) -> MappingFile:
    """Read a mapping file and check it: YAML in Timeloop's form or ours, or a printed loop nest (``.txt``).

    Raises:
        InputError: with file, line and key, when something in the file is wrong.
        MappingError: naming the file, when the mapping does not fit the problem or the architecture.
    """
    if path.suffix == ".txt":
        mapping = parse_printed_mapping(read_text(path), architecture, problem, file=str(path))
        return _checked(MappingFile(mapping, architecture), problem, str(path))
    return _mapping_of(read_document(path), architecture, problem)


def parse_mapping(text: str, architecture: Architecture, problem: Problem, *, file: str = "<mapping>") -> Mapping:
    """Read a mapping from YAML text in either form and check it; see `read_mapping_file`."""
    return _mapping_of(parse_document(text, file=file), architecture, problem).mapping


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


def _mapping_of(document: Node, architecture: Architecture, problem: Problem) -> MappingFile:
    if isinstance(document.value, dict) and "loop_nest" in document.value:
        read = MappingFile(parse_native_mapping(document, architecture, problem), architecture)
    else:
        read = parse_timeloop_mapping(document, architecture, problem)
    return _checked(read, problem, document.file)


def _checked(read: MappingFile, problem: Problem, file: str) -> MappingFile:
    try:
        check_mapping(read.mapping, problem, read.architecture)
    except MappingError as error:
        raise MappingError(f"{file}: {error}") from None
    return read
