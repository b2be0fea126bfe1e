"""A design as a person holds it: an architecture with its energies, which can be printed and changed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.api.given import kind_of
from dovetail.columns import terminal_width
from dovetail.components.accelergy_tables import read_energy_table, require_actions
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import Scalar
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.hardware.describe import describe, said_of_levels
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.json_text import json_document, save_json
from dovetail.table import Table, headed

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Origin:
    """What a design was read from, so that it can be read again with changes.

    Attributes:
        files: a bundled design's name, or files and folders.
        include: folders that its files may read besides their own.
        variables: values of variables.
        changes: of its nodes, by name.
        ert: file of the energies, where given; art: of the areas.
        art: see ``ert``.
        name: what it is to be called; empty: after its files and changes.
    """

    files: tuple[str | Path, ...]
    include: tuple[Path, ...] = ()
    variables: Mapping[str, Scalar] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ert: Path | None = None
    art: Path | None = None
    name: str = ""

    def read(self) -> Design:
        """Return the design."""
        architecture = load_architecture(
            self.files, include_folders=self.include, data=self.variables, edits=self.changes
        )
        if self.name:
            architecture = replace(architecture, name=self.name)
        energies = None
        if self.ert is not None:
            energies = read_energy_table(self.ert, self.art, architecture)
            require_actions(energies, architecture, self.ert)
        return Design(architecture, energies, self)


@dataclass(frozen=True, repr=False)
class Design:
    """An accelerator: its levels from DRAM to the multipliers, what constrains mappings on it, what actions cost.

    Attributes:
        architecture: the levels.
        given: energies and areas, where they were given; None: they are estimated when they are first needed.
        origin: what it was read from; None where it was made from an object.

    >>> import dovetail
    >>> eyeriss = dovetail.design("eyeriss_like")
    >>> eyeriss
    <Design eyeriss_like: 8 levels, 168 MACs per cycle at 1000 MHz>
    >>> eyeriss.level("shared_glb").depth
    16384
    """

    architecture: Architecture
    given: EnergyTable | None = None
    origin: Origin | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.architecture.name

    @property
    def levels(self) -> tuple[Level, ...]:
        """Storages, fan-outs and compute, outer to inner."""
        return self.architecture.levels

    def level(self, name: str) -> Any:
        """Return the level of that name: a `Storage`, a `Spatial` or a `Compute`.

        Raises:
            InputError: there is none; the nearest name is said.
        """
        return self.architecture.level(name)

    @cached_property
    def energies(self) -> EnergyTable:
        """PJ of every action and um^2 of every component: as given, else estimated."""
        return estimate(self.architecture) if self.given is None else self.given

    @property
    def area_um2(self) -> float:
        """Area of all instances of all levels; 0 where energies were given without areas."""
        return sum(self.energies[level.name].area_um2 * level.instances for level in self.levels)

    def changed(self, *, name: str = "", **changes: Mapping[str, Any]) -> Design:
        """Return the design with nodes changed, by name; see `dovetail.design`.

        >>> import dovetail
        >>> smaller = dovetail.design("eyeriss_like").changed(shared_glb={"depth": 8192})
        >>> smaller.level("shared_glb").words
        65536

        Raises:
            InputError: there is no such node or nothing of that name to change, or the design was not read from a file.
        """
        if self.origin is None:
            raise InputError(f"{self.name} was made from an object; only what was read from files can be changed")
        both = dict(self.origin.changes)
        for node, change in changes.items():
            both[node] = {**both.get(node, {}), **change}
        return replace(self.origin, changes=both, name=name).read()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: the object that ``dovetail designs NAME --json`` prints."""
        from dovetail.network.plain import priced_design

        return json_document("design", priced_design(self.architecture, self.energies))

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def to_frame(self) -> pandas.DataFrame:
        """Return a row per level: kind, class, instances, sizes, pJ per action, um^2; needs the extra ``pandas``."""
        return self._table().to_frame()

    def _table(self) -> Table:
        actions = list(dict.fromkeys(name for cost in self.energies.components.values() for name in cost.actions))
        columns = ("level", "class", "instances", "words", "width", "datawidth", "meshX", "meshY")
        rows = []
        for level in self.levels:
            cost = self.energies.components.get(level.name)
            spends = [None if cost is None else cost.actions.get(name) for name in actions]
            area = None if cost is None else cost.area_um2
            rows.append((level.name, level.component, level.instances, *_sizes(level), *spends, area))
        return Table(headed(*columns, *(f"{name}_pJ" for name in actions), "area_um2"), tuple(rows))

    def __str__(self) -> str:
        """Return its levels and constraints as `dovetail designs` prints them."""
        return describe(self.architecture, terminal_width())

    def __repr__(self) -> str:
        clock = 1e-6 / self.architecture.cycle_seconds
        speed = f"{self.architecture.parallelism} MACs per cycle at {clock:g} MHz"
        return f"<Design {self.name}: {len(self.levels)} levels, {speed}>"

    def _repr_html_(self) -> str:
        lists = (
            f"<p>{head}</p><ul>{''.join(f'<li>{html.escape(item)}</li>' for item in items)}</ul>"
            for head, items in said_of_levels(self.levels)
        )
        return self._table().html(repr(self)[1:-1]) + "".join(lists)


def _sizes(level: Level) -> tuple[int | None, ...]:
    if isinstance(level, Storage):
        return level.words, level.width, level.datawidth, None, None
    if isinstance(level, Spatial):
        return None, None, None, level.fanout_x, level.fanout_y
    return (None,) * 5


def design(
    files: str | Path | Architecture | Design | Sequence[str | Path],
    /,
    *,
    name: str = "",
    include: Sequence[str | Path] = (),
    variables: Mapping[str, Scalar] | None = None,
    ert: str | Path | None = None,
    art: str | Path | None = None,
    **changes: Mapping[str, Any],
) -> Design:
    """Read a design, and change it.

    Args:
        files: a bundled design's name, a file in Timeloop's form, a folder of such, or several that make one design.
        name: what to call it; by default its file's name with the changes behind it.
        include: folders besides the files' own that their includes may read.
        variables: values of the files' variables and template variables.
        ert: energies per action, as Accelergy writes them; by default they are estimated.
        art: areas, likewise; goes with ``ert``.
        changes: per name of a node what becomes of it, as its file would say it: attributes (``depth``, ``width``,
            ``datawidth``, ``read_bandwidth``, ...), ``meshX`` and ``meshY``, ``class``, ``constraints``, laid over the
            node's own. What is None is taken away.

    Raises:
        InputError: there is no such design, its file is wrong, or a change fits nothing in it.

    >>> import dovetail
    >>> small = dovetail.design("eyeriss_like", shared_glb={"depth": 8192}, PE_column={"meshX": 7})
    >>> small
    <Design eyeriss_like shared_glb.depth=8192 PE_column.meshX=7: 8 levels, 84 MACs per cycle at 1000 MHz>
    >>> print(small)  # doctest: +ELLIPSIS
    eyeriss_like shared_glb.depth=8192 PE_column.meshX=7: 84 MACs per cycle at 1000 MHz
    ...
    """
    if isinstance(files, Design):
        return files.changed(name=name, **changes) if changes or name else files
    if isinstance(files, Architecture):
        if changes:
            raise InputError(f"{files.name} is an object; only what is read from files can be changed")
        return Design(replace(files, name=name) if name else files)
    if art is not None and ert is None:
        raise InputError("art needs ert: areas without energies are of no use here")
    return Origin(
        _files(files),
        tuple(map(Path, include)),
        dict(variables or {}),
        changes,
        None if ert is None else Path(ert),
        None if art is None else Path(art),
        name,
    ).read()


def _files(given: Any) -> tuple[str | Path, ...]:
    """Return a design's name or files as they are given.

    Raises:
        InputError: it is none of these.
    """
    listed: list[Any] = [given]
    if isinstance(given, Sequence) and not isinstance(given, str):
        listed = list(given)
    for one in listed:
        if not isinstance(one, str | Path):
            raise InputError(f"a design is a name, a path, several paths or an architecture, found {kind_of(one)}")
    if not listed:
        raise InputError("a design is a name, a path or several paths, found none")
    return tuple(listed)


def designs() -> tuple[str, ...]:
    """Return the names of the designs that come with the package.

    >>> import dovetail
    >>> "eyeriss_like" in dovetail.designs()
    True
    """
    return bundled_designs()
