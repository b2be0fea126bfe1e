"""Every attribute that the reference knows, and what becomes of each here: counted, refused, or without effect.

Read from Timeloop's sources at their newest public commit (4cf6d4cd, 31 March 2025; ``model/buffer.cpp``,
``arithmetic.cpp``, ``network-*.cpp``, ``topology.cpp``) and from its Python front end (timeloop-python b8aaf2cd, 16
April 2025; ``v4/arch.py``, ``v4_to_v3.py``). Any other attribute belongs to the estimators of energy and area.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dovetail.errors import InputError

Fail = Callable[[str, str], InputError]


class Fate(StrEnum):
    """What becomes of an attribute."""

    COUNTED = "counted"
    REFUSED = "refused"
    NO_EFFECT = "without effect"


@dataclass(frozen=True)
class Attribute:
    """One attribute that the reference knows.

    Attributes:
        names: all names that it has, ours first.
        of: what kinds of component the reference reads it from.
        fate: what becomes of it.
        why: what it does, or why it is refused or does nothing.
        neutral: where refused, the values that mean "without", which are allowed.
    """

    names: tuple[str, ...]
    of: str
    fate: Fate
    why: str
    neutral: tuple[Any, ...] = ()


def _counted(names: str, why: str, of: str = "storage") -> Attribute:
    return Attribute(tuple(names.split()), of, Fate.COUNTED, why)


def _refused(names: str, why: str, *neutral: Any, of: str = "storage") -> Attribute:
    return Attribute(tuple(names.split()), of, Fate.REFUSED, why, neutral)


def _no_effect(names: str, why: str, of: str = "storage") -> Attribute:
    return Attribute(tuple(names.split()), of, Fate.NO_EFFECT, why)


_NAMED = "names a network component, whose energies per word, hop and router count as those of the wires below"

ATTRIBUTES: tuple[Attribute, ...] = (
    _counted("datawidth word_bits word_width", "bits of a word", "storage, compute"),
    _counted("width memory_width data_storage_width", "bits of a line"),
    _counted("depth memory_depth data_storage_depth", "lines"),
    _counted("entries", "words, instead of lines"),
    _counted("sizeKB", "size in KiB, instead of lines"),
    _counted("block_size n_words", "words of a line per clustered instance"),
    _counted("cluster_size", "instances that share a line"),
    _counted("multiple_buffering", "tiles that must fit at once"),
    _counted("read_bandwidth", "words per cycle and instance"),
    _counted("write_bandwidth", "words per cycle and instance"),
    _counted("shared_bandwidth", "words per cycle and instance, both ways together"),
    _counted("bandwidth", "half of it each way"),
    _counted("n_banks num_banks", "by the estimators; without effect on counts"),
    _counted(
        "vector_access_energy",
        "pJ per line read, written or updated; overrules the energy table, and the level does not leak",
    ),
    _counted("addr_gen_energy", "pJ per address generated; below 0: nothing. Not by a search, which refuses it"),
    _counted("router_energy", "pJ per word and router below the level. Not by a search", "storage, fan-out"),
    _counted("energy_per_hop", "pJ per word and hop below the level. Not by a search", "storage, fan-out"),
    _counted("energy-per-ingress", "pJ per word put on the network. Not by a search", "storage, fan-out"),
    _counted("wire_energy", "pJ per bit and mm, unless energy_per_hop is given. Not by a search", "storage, fan-out"),
    _counted("tile_width", "um per hop; otherwise from the areas of what lies inside", "storage, fan-out"),
    _counted("network_word_bits", "bits of a word on the wires; otherwise the storage's", "storage, fan-out"),
    _counted("reduction_supported", "without it the network below carries partial sums back and forth"),
    _refused("min_utilization", "mappings that leave room are never rejected", 0),
    _refused("allow_overbooking", "the reference's own search for a fitting share of tiles may not end", False),
    _refused("network_fill_latency", "networks have no latency", 0),
    _refused("network_drain_latency", "networks have no latency", 0),
    _refused("per_dataspace_bandwidth_consumption_scale", "all words take the same bandwidth", {}),
    _counted(
        "has_power_gating",
        "what lies inside leaks for every instance of the next level that is in use",
        "container, storage",
    ),
    _counted("power_gated_at", "the level for whose instances in use it leaks; its own unless said"),
    _counted("metadata_datawidth metadata_word_bits", "bits of a metadata word, where a format does not say it"),
    _counted("metadata_storage_width metadata_width", "bits of a line of metadata"),
    _counted("metadata_storage_depth metadata_depth", "lines of metadata"),
    _counted("compression_supported", "whether it compresses what it hands outwards"),
    _counted("decompression_supported", "whether it decompresses what it gets from outside"),
    _refused("tile_partition_supported", "the reference stops there", False),
    _refused("network_type", "of the inferred networks only 1:N is modelled", "1:N", "1:1", of="storage, fan-out"),
    _counted("network_read network_update", _NAMED),
    _no_effect("network_fill network_drain", "the storage outside names the same network, and counts it"),
    _no_effect(
        "network_operand network_result", "the storage outside names the same network, and counts it", "compute"
    ),
    _refused("adder_energy", "adding on the way costs nothing in the networks here", 0, of="reduction tree"),
    _no_effect(
        "action_name multicast_factor_argument per_datatype_ERT",
        "a table's energies by destinations are not read; state 'energy-per-ingress'",
        "simple multicast",
    ),
    _no_effect("instances", "it must be the fan-outs' product, here as there", "storage, compute"),
    _no_effect("meshX meshY", "the front end writes the fan-outs' product over them", "storage, compute"),
    _no_effect("fill_latency drain_latency", "read and printed, never added up, in inferred networks", "storage"),
    _no_effect("metadata_block_size", "it must fill a line of metadata; nothing else depends on it"),
    _no_effect("concordant_compressed_tile_traversal", "read, and used nowhere"),
    _no_effect("technology", "by the estimators only; 'DRAM' changes no count where reductions are supported"),
    _no_effect("num_ports n_ports", "by the estimators only"),
    _no_effect("cluster_area", "the area table stands above it"),
    _no_effect("area", "the area table stands above it", "compute"),
    _no_effect("energy", "the energy table stands above it", "compute"),
)

_BY_NAME = {name: attribute for attribute in ATTRIBUTES for name in attribute.names}
#: Names that a slip may have been meant for: those that are counted or refused, but for plain words.
_MEANT = sorted(name for name, attribute in _BY_NAME.items() if attribute.fate is not Fate.NO_EFFECT)


def check_names(attributes: Mapping[str, Any], fail: Fail) -> None:
    """Refuse what the reference counts and the model does not, and slips of names that matter.

    Args:
        attributes: a component's or container's own attributes.
        fail: builds the error for an attribute's name and a message.

    Raises:
        InputError: an attribute asks for what is not supported, or its name is nearly that of one that matters.
    """
    for name, value in attributes.items():
        known = _BY_NAME.get(name)
        if known is None:
            meant = _nearly(name)
            if meant is not None and meant not in attributes:  # beside the one it resembles, it is another
                raise fail(name, f"unknown attribute '{name}', did you mean '{meant}'?")
        elif known.fate is Fate.REFUSED and value is not None and value not in known.neutral:
            but = f" (other than {' and '.join(map(str, known.neutral))})" if known.neutral else ""
            raise fail(name, f"the attribute '{name}' is not supported{but}: {known.why}")


def _nearly(name: str) -> str | None:
    """Return the attribute that a name is a slip of; ``depth2`` and ``own_depth`` are others, ``dpeth`` is a slip."""
    turned = [known for known in _MEANT if sorted(known.lower()) == sorted(name.lower())]
    close = turned or difflib.get_close_matches(name.lower(), _MEANT, n=1, cutoff=0.88)
    if not close or name.rstrip("0123456789_") == close[0] or name.endswith(f"_{close[0]}"):
        return None  # depth2 and phy_metadata_datawidth are attributes of their own
    return close[0]
