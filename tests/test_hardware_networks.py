"""Networks that storages name: whose energies count, what is said of them, what is refused."""

from __future__ import annotations

import pytest

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import read_architecture

_DESIGN = """
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16, network_read: "down"}}
  - !Component {name: down, class: XY_NoC, attributes: {router_energy: 1.5, network_word_bits: 32}}
  - !Component
    name: buffer
    class: SRAM
    attributes: {width: 64, depth: 16, datawidth: 16, network_fill: "down"}
  - !Component {name: idle, class: Legacy}
  - !Component {name: mac, class: intmac}
"""


def _read(text: str = _DESIGN) -> Architecture:
    return read_architecture(parse_document(text, file="a.yaml"), "a")


def test_a_named_network_costs_what_the_same_attributes_of_the_storage_do() -> None:
    said = _DESIGN.replace('network_read: "down"', "router_energy: 1.5, network_word_bits: 32")
    assert _read().levels[0].wires == _read(said).levels[0].wires
    assert _read().levels[0].wires is not None
    assert [note.partition(": ")[2] for note in _read().notes] == [
        "down is a network (XY_NoC) that a storage names: its energies count as those of the wires below",
        "idle is a network (Legacy) that no storage names: no part of the model",
    ]


def test_a_network_without_energies_is_said_to_cost_nothing() -> None:
    free = _read(_DESIGN.replace("router_energy: 1.5, network_word_bits: 32", 'datawidth: 16, action_name: "transfer"'))
    assert free.levels[0].wires is None
    assert "states no energy ('energy-per-ingress', say): its words cost nothing" in free.notes[0]


def test_older_forms_name_networks_likewise() -> None:
    older = """
architecture:
  version: 0.3
  subtree:
  - name: chip
    local:
    - {name: DRAM, class: DRAM, attributes: {width: 64, word-bits: 16, network_read: down}}
    - {name: down, class: XY_NoC, attributes: {router_energy: 1.5, network_word_bits: 32}}
    - {name: buffer, class: SRAM, attributes: {width: 64, depth: 16, word-bits: 16, network_fill: down}}
    - {name: mac, class: intmac}
"""
    assert _read(older).levels[0].wires == _read().levels[0].wires


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('network_read: "down"', 'network_read: "dwon"', "no network component is named 'dwon'"),
        ('network_fill: "down"', 'network_fill: "buffer"', "no network component is named 'buffer'"),
        ('network_read: "down"', 'network_read: "down", network_update: "idle"', "differ in 'router_energy'"),
        ("router_energy: 1.5,", "adder_energy: 2,", "adding on the way costs nothing"),
    ],
)
def test_what_is_not_modelled_of_networks_is_refused(old: str, new: str, said: str) -> None:
    text = _DESIGN.replace("class: Legacy", "class: Legacy, attributes: {router_energy: 9}").replace(old, new)
    with pytest.raises(InputError, match=said):
        _read(text)
