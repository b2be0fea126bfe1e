"""Reads what a design says about zeros: ``sparse_optimizations`` of one level, of versions 0.3 and 0.4.

As in the reference (``model/sparse-optimization-parser.cpp``): formats and left-out accesses stand at storages, what
the compute units can do at compute. ``-`` in a key is ``_``. What the reference refuses is refused here, where it
stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import MOST_BITS, MOST_WORDS, Said
from dovetail.hardware.attribute_list import Fail
from dovetail.hardware.sparse import Choice, Format, LeaveOut, Leaving, MetadataStore, Rank, Sparse, TensorFormat
from dovetail.hardware.values import Scope, place_of, whole_number, without_ignored

_KEYS = ("representation_format", "action_optimization", "compute_optimization", "target", "name")
_RANK_KEYS = ("format", "metadata_word_bits", "payload_word_bits", "flattened_rankIDs", "name")
_ORDERS = {"outer_to_inner": False, "inner_to_outer": True}
_LEAVING = {"gating": Leaving.GATING, "skipping": Leaving.SKIPPING}
_COMPUTING = {
    **_LEAVING,
    "gate_on_zero_operand": Leaving.GATING,
    "skip_on_not_aligned_operands": Leaving.SKIPPING,
}
#: Kinds of leaving out that the reference has or had beside those -> why they are refused.
_REFUSED = {
    "skipping_spatial": "work that is skipped in space is not modelled",
    "spatial_skipping": "work that is skipped in space is not modelled (nor does the reference know this name)",
    "position_skipping": "the reference no longer knows it",
}


def read_sparse(nodes: Sequence[Node], scope: Scope, level: str, *, computes: bool) -> tuple[Sparse, tuple[Said, ...]]:
    """Read what one level does about zeros, and where it names tensors and dimensions.

    Args:
        nodes: its ``sparse_optimizations``; more than one where a document's own section names the level, too.
        scope: names for expressions.
        level: its name.
        computes: whether it is the compute level, else a storage.

    Raises:
        InputError: with file, line and key.
    """
    formats: list[TensorFormat] = []
    leaves_out: list[LeaveOut] = []
    computing: list[Leaving] = []
    said: list[Said] = []
    for node in nodes:
        entries = _entries(node, _KEYS)
        for key in ("name", "target"):
            if key in entries and entries[key].text() != level:
                raise entries[key].fail(f"'{entries[key].text()[:60]}' is not {level}, whose zeros this is about")
        for name, of_compute in (
            ("representation_format", False), ("action_optimization", False), ("compute_optimization", True),
        ):  # fmt: skip
            if name in entries and entries[name].value and of_compute is not computes:
                where = "the compute level" if of_compute else "storages"
                raise entries[name].fail(f"'{name}' stands at {where} only")
        formats += _formats(entries.get("representation_format"), scope, said)
        leaves_out += [_leave_out(one, said) for one in _items(entries.get("action_optimization"))]
        for one in _items(entries.get("compute_optimization")):
            computing += _computing(one)
    for written in formats:
        if [one.tensor for one in formats].count(written.tensor) > 1:
            raise nodes[0].fail(f"{written.tensor} has two formats")
    return Sparse(tuple(formats), tuple(leaves_out), frozenset(computing)), tuple(said)


def metadata_store(attributes: Mapping[str, Any], fail: Fail) -> MetadataStore:
    """Return where a storage keeps metadata.

    Args:
        attributes: evaluated ones, inherited ones included.
        fail: builds the error for an attribute's name and a message.

    Raises:
        InputError: a size is no whole number, or a metadata line holds no whole number of words.
    """

    def size(*names: str, most: int = MOST_BITS) -> int:
        given = {name: attributes[name] for name in names if attributes.get(name) is not None}
        if len(set(map(str, given.values()))) > 1:
            raise fail(names[1], f"is {str(given[names[1]])[:40]}, but '{names[0]}', which says the same, another")
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
                raise fail(name, f"must be a whole number of at least 0, found {str(value)[:40]!r}")
            if value > most:
                raise fail(name, f"must be at most {most:.3g}, found {value:.3g}")
            return int(value)
        return 0

    def able(name: str) -> bool:
        value = attributes.get(name, False)
        if value not in (True, False, None):
            raise fail(name, f"must be true or false, found {str(value)[:40]!r}")
        return bool(value)

    bits, width = size("metadata_datawidth", "metadata_word_bits"), size("metadata_storage_width", "metadata_width")
    block = size("metadata_block_size") or 1
    if bits and width % (bits * block):
        raise fail(
            "metadata_storage_width",
            f"a line of {width} bits holds no whole number of "
            + (f"blocks of {block} " if block > 1 else "")
            + f"metadata words of {bits} bits",
        )
    return MetadataStore(
        datawidth=bits,
        width=width,
        depth=size("metadata_storage_depth", "metadata_depth", most=MOST_WORDS),
        compresses=able("compression_supported"),
        decompresses=able("decompression_supported"),
    )


def _entries(node: Node, known: Sequence[str]) -> dict[str, Node]:
    """Return a mapping's entries, ``-`` in keys written as ``_``."""
    entries: dict[str, Node] = {}
    for key, value in without_ignored(node).mapping().items():
        plain = key.replace("-", "_")
        if plain not in known:
            raise InputError(
                f"unknown key '{key}'{did_you_mean(plain, known)}", file=value.file, line=value.line, key=node.key
            )
        if plain in entries:
            raise value.fail(f"'{key}' is given twice")
        entries[plain] = value
    return entries


def _items(node: Node | None) -> list[Node]:
    return [] if node is None or node.value is None else node.sequence()


def _formats(node: Node | None, scope: Scope, said: list[Said]) -> list[TensorFormat]:
    if node is None or not node.value:
        return []
    spaces = _entries(node, ("data_spaces",))
    return [_format(one, scope, said) for one in _items(spaces.get("data_spaces"))]


def _format(node: Node, scope: Scope, said: list[Said]) -> TensorFormat:
    entries = _entries(node, ("name", "ranks", "rank_application_order", "compression_rate"))
    for key in ("name", "ranks"):
        if key not in entries:
            raise node.fail(f"the key '{key}' is missing")
    order = entries["rank_application_order"].text().replace("-", "_") if "rank_application_order" in entries else ""
    if order and order not in _ORDERS:
        raise entries["rank_application_order"].fail(f"unknown order '{order}'{did_you_mean(order, _ORDERS)}")
    rate = entries.get("compression_rate")
    if rate is not None and rate.value not in (None, 1):
        raise rate.fail("is not modelled: a format that leaves zeros out leaves out all of them")
    tensor = _tensor(entries["name"], said)
    ranks = tuple(_rank(rank, scope, said) for rank in entries["ranks"].sequence())
    try:
        return TensorFormat(tensor, ranks, _ORDERS.get(order, False))
    except InputError as error:
        raise entries["ranks"].fail(error.message) from None


def _rank(node: Node, scope: Scope, said: list[Said]) -> Rank:
    entries = _entries(node, _RANK_KEYS)
    if "format" not in entries:
        raise node.fail("the key 'format' is missing")
    word = entries["format"].text()
    if word not in (*Format, *(name.lower() for name in Format)):
        raise entries["format"].fail(f"unknown format '{word}'{did_you_mean(word, Format)}")
    metadata, payload = (
        whole_number(entries[name], scope, 0) if name in entries and entries[name].value is not None else None
        for name in ("metadata_word_bits", "payload_word_bits")
    )
    return Rank(Format(word.upper()), metadata, payload, _flattened(entries.get("flattened_rankIDs"), said))


def _flattened(node: Node | None, said: list[Said]) -> tuple[frozenset[str], ...]:
    lists = []
    for listed in _items(node):
        names = []
        for name in listed.sequence():
            names.append(name.text())
            said.append(Said("dimension", name.text(), place_of(name)))
        lists.append(frozenset(names))
    return tuple(lists)


def _tensor(node: Node, said: list[Said]) -> str:
    said.append(Said("tensor", node.text(), place_of(node)))
    return node.text()


def _leave_out(node: Node, said: list[Said]) -> LeaveOut:
    entries = _entries(node, ("type", "options", "target", "condition_on"))
    if "type" not in entries:
        raise node.fail("the key 'type' is missing: gating or skipping")
    how = _leaving(entries["type"], _LEAVING)
    if "options" in entries:
        for key in ("target", "condition_on"):
            if key in entries:
                raise entries[key].fail(f"'{key}' stands beside 'options', each of which has its own; one must go")
        choices = tuple(
            _choice(one, _entries(one, ("target", "condition_on")), said) for one in _items(entries["options"])
        )
    else:
        choices = (_choice(node, entries, said),)
    if not choices:
        raise entries["options"].fail("is empty")
    return LeaveOut(how, choices)


def _choice(node: Node, entries: Mapping[str, Node], said: list[Said]) -> Choice:
    for key in ("target", "condition_on"):
        if key not in entries:
            raise node.fail(f"the key '{key}' is missing")
    target = _tensor(entries["target"], said)
    conditions = tuple(_tensor(one, said) for one in entries["condition_on"].sequence())
    if not conditions:
        raise entries["condition_on"].fail("is empty: the tensors whose zeros decide are needed")
    twice = next((one for one in conditions if conditions.count(one) > 1), None)
    if twice is not None:
        raise entries["condition_on"].fail(f"names {twice} twice, whose zeros would count twice")
    if target in conditions:
        raise entries["condition_on"].fail(f"accesses to {target} cannot depend on {target} itself")
    return Choice(target, conditions)


def _computing(node: Node) -> list[Leaving]:
    entries = _entries(node, ("type", "options"))
    if "type" not in entries:
        raise node.fail("the key 'type' is missing: gating or skipping")
    if _items(entries.get("options")):
        raise entries["options"].fail("says nothing about computing, which depends on all operands")
    listed = entries["type"].value if isinstance(entries["type"].value, list) else [entries["type"]]
    return [_leaving(one, _COMPUTING) for one in listed]


def _leaving(node: Node, known: Mapping[str, Leaving]) -> Leaving:
    word = node.text().replace("-", "_")
    if word in _REFUSED:
        raise node.fail(f"'{node.text()}' is not supported: {_REFUSED[word]}")
    if word not in known:
        raise node.fail(f"unknown type '{node.text()[:60]}'{did_you_mean(word, ('gating', 'skipping'))}")
    return known[word]
