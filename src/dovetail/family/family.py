"""A family of designs: one document, what varies in it, and which of its members count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dovetail.content import content_key
from dovetail.document import Node, Scalar
from dovetail.errors import InputError
from dovetail.expression import evaluate
from dovetail.family.budgets import Budget, read_budget
from dovetail.family.design_text import document_text
from dovetail.family.front import Choice
from dovetail.family.parameters import CHOICE, Parameter, asked_for, check_names, declared, with_values
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.design_files import read_design
from dovetail.hardware.reader import design_name, design_paths_of, read_architecture

#: Designs that a family may have: each is looked at, if only to say that it is not worth mapping.
MOST_DESIGNS = 1_000_000
_SECTION = "family"


@dataclass(frozen=True)
class Family:
    """A design in which something varies.

    Attributes:
        name: what to call it.
        document: the design, every parameter at its first value.
        parameters: what varies.
        budgets: what every member must keep to.
        conditions: expressions over the parameters (a ``.`` in a name is written ``_``) that every member fulfils.
    """

    name: str
    document: Node = field(repr=False)
    parameters: tuple[Parameter, ...]
    budgets: tuple[Budget, ...] = ()
    conditions: tuple[Node, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each parameter has."""
        return tuple(len(parameter.values) for parameter in self.parameters)

    @property
    def size(self) -> int:
        """How many members there are, those that a condition rules out included."""
        return math.prod(self.shape)

    def values(self, choice: Choice) -> dict[str, Any]:
        """Return a member's values by the parameters' names."""
        return {each.name: each.labels[at] for each, at in zip(self.parameters, choice, strict=True)}

    def document_of(self, choice: Choice) -> Node:
        """Return a member's document."""
        chosen = {each.place: each.values[at] for each, at in zip(self.parameters, choice, strict=True)}
        return with_values(self.document, chosen)

    def architecture(self, choice: Choice) -> Architecture:
        """Return a member; raises InputError where its values make no design."""
        return read_architecture(self.document_of(choice), self.member_name(choice))

    def member_name(self, choice: Choice) -> str:
        """Return what to call a member."""
        number = 0
        for at, size in zip(choice, self.shape, strict=True):
            number = number * size + at
        return f"{self.name}-{number}"

    def broken_condition(self, choice: Choice) -> str | None:
        """Return the first condition that a member does not fulfil; None when it fulfils all."""
        names = {name.replace(".", "_").replace("-", "_"): value for name, value in self.values(choice).items()}
        for condition in self.conditions:
            try:
                holds = evaluate(condition.text(), names)
            except InputError as error:
                raise condition.fail(error.message) from None
            if not isinstance(holds, bool):
                raise condition.fail(f"is no condition: its value is {holds!r}")
            if not holds:
                return condition.text()
        return None

    def text(self) -> str:
        """Return the family as YAML that `family_of` reads back to an equal one."""
        said = {"budgets": [str(each) for each in self.budgets], "where": [each.text() for each in self.conditions]}
        section = {
            key: Node([Node(text, "", 1, quoted=True) for text in texts], "", 1) for key, texts in said.items() if texts
        }
        varied = _varied(self.document, self.parameters)
        entries = {**varied.mapping(), **({_SECTION: Node(section, "", 1)} if section else {})}
        return document_text(replace(varied, value=dict(entries)))

    @property
    def key(self) -> str:
        """The key of its content."""
        varied = [(each.name, each.place, [node.plain() for node in each.values]) for each in self.parameters]
        conditions = [each.text() for each in self.conditions]
        return content_key("family", self.document.plain(), varied, [str(each) for each in self.budgets], conditions)


def load_family(
    name_or_path: str | Path | Sequence[str | Path],
    vary: Mapping[str, str] | None = None,
    *,
    budgets: Sequence[str] = (),
    include_folders: Sequence[Path] = (),
    data: Mapping[str, Scalar] | None = None,
) -> Family:
    """Read a family: a design's files with ``!range`` and ``!choice`` where values are, and a section ``family``.

    Args:
        name_or_path: as `dovetail.hardware.reader.load_architecture` takes it.
        vary: values by the name of what varies besides; see `dovetail.family.parameters.asked_for`.
        budgets: such as ``area <= 4 mm2``; they join those of the files.
        include_folders: folders besides the files' own that their includes may read.
        data: values for the files' template variables; they also stand above their ``variables``.

    Raises:
        InputError: a file is wrong, nothing varies, or far too much; with file, line and key.
    """
    paths = design_paths_of(name_or_path)
    document = read_design(paths, include_folders=include_folders, data=data)
    return family_of(document, design_name(paths, document), vary, budgets)


def family_of(whole: Node, name: str, vary: Mapping[str, str] | None = None, budgets: Sequence[str] = ()) -> Family:
    """Return the family that a document describes; see `load_family`."""
    entries = dict(whole.mapping())
    section = entries.pop(_SECTION, None)
    said = {} if section is None or section.value is None else section.mapping(known=("budgets", "where"))
    document = replace(whole, value=entries)
    parameters = declared(document)
    document = with_values(document, {each.place: each.values[0] for each in parameters})
    parameters += tuple(asked_for(document, name, text) for name, text in (vary or {}).items())
    check_names(parameters)
    places = [each.place for each in declared(_varied(document, parameters))]
    parameters = tuple(sorted(parameters, key=lambda each: places.index(each.place)))  # whoever says what varies
    document = with_values(document, {each.place: each.values[0] for each in parameters})
    if not parameters:
        raise InputError("nothing varies: write !range or !choice where values are, or --vary NODE.KEY=VALUES")
    size = math.prod(len(each.values) for each in parameters)
    if size > MOST_DESIGNS:
        raise InputError(f"the family has {size:.3g} designs; at most {MOST_DESIGNS:,} are looked at")
    kept = [read_budget(text) for text in budgets]
    if "budgets" in said:
        kept += [_placed(node) for node in said["budgets"].sequence()]
    conditions = tuple(said["where"].sequence()) if "where" in said else ()
    return Family(name, document, parameters, tuple(kept), conditions)


def _varied(document: Node, parameters: Sequence[Parameter]) -> Node:
    """Return a document with ``!choice`` where values vary."""
    return with_values(document, {each.place: Node(list(each.values), "", 1, tag=CHOICE) for each in parameters})


def _placed(node: Node) -> Budget:
    try:
        return read_budget(node.text())
    except InputError as error:
        raise node.fail(error.message) from None
