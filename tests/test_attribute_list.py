"""The list of the reference's attributes is complete, true to the reader, and what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovetail.errors import InputError
from dovetail.hardware.attribute_list import ATTRIBUTES, Attribute, Fate
from dovetail.hardware.reader import load_architecture
from dovetail.hardware.storage_attributes import DEFAULTS, SYNONYMS

PAGE = Path(__file__).parent.parent / "docs" / "architectures.md"

#: Whatever the reference looks up in a component's attributes, file by file of its ``src/model`` (commit 4cf6d4cd; its
#: names with hyphens written with ``_``, as it does itself, but for the one that it does not write so).
LOOKED_UP = {
    "buffer.cpp": """network_fill_latency network_drain_latency word_bits word_width datawidth block_size n_words
        metadata_block_size metadata_datawidth metadata_word_bits metadata_storage_width metadata_width
        metadata_storage_depth metadata_depth concordant_compressed_tile_traversal tile_partition_supported
        decompression_supported compression_supported cluster_size width memory_width data_storage_width entries depth
        memory_depth data_storage_depth sizeKB technology num_ports n_ports reduction_supported num_banks n_banks
        bandwidth shared_bandwidth read_bandwidth write_bandwidth per_dataspace_bandwidth_consumption_scale
        multiple_buffering min_utilization instances meshX meshY network_read network_fill network_drain network_update
        power_gated_at allow_overbooking vector_access_energy addr_gen_energy cluster_area""",
    "arithmetic.cpp": "instances word_bits datawidth meshX meshY network_operand network_result energy area",
    "network-legacy.cpp": """network_type network_word_bits word_bits word_width datawidth router_energy wire_energy
        tile_width energy_per_hop energy-per-ingress fill_latency drain_latency""",
    "network-reduction-tree.cpp": """network_word_bits word_bits word_width datawidth adder_energy wire_energy
        fill_latency drain_latency""",
    "network-simple-multicast.cpp": """network_word_bits word_bits word_width datawidth action_name
        multicast_factor_argument per_datatype_ERT fill_latency drain_latency""",
    "the front end's arch.py": "has_power_gating power_gated_at",
}


def test_the_list_has_every_attribute_once_and_no_other() -> None:
    listed = [name for attribute in ATTRIBUTES for name in attribute.names]
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for names in LOOKED_UP.values() for name in names.split()}
    assert set(DEFAULTS) | {name for names in SYNONYMS.values() for name in names} <= set(listed)


def architecture_with(folder: Path, name: str, value: str) -> Path:
    path = folder / "arch.yaml"
    path.write_text(
        "architecture:\n  version: 0.4\n  nodes:\n"
        "  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}\n"
        f"  - !Component {{name: mac, class: intmac, attributes: {{{name}: {value}}}}}\n"
    )
    return path


@pytest.mark.parametrize("attribute", [a for a in ATTRIBUTES if a.fate is Fate.REFUSED], ids=lambda a: a.names[0])
def test_what_is_refused_is_refused_but_for_the_value_without_effect(tmp_path: Path, attribute: Attribute) -> None:
    for name in attribute.names:
        with pytest.raises(InputError, match=f"'{name}' is not supported") as caught:
            load_architecture(architecture_with(tmp_path, name, "7"))
        assert caught.value.line == 5
        for value in attribute.neutral:
            load_architecture(architecture_with(tmp_path, name, f'"{value}"' if isinstance(value, str) else str(value)))


def test_the_page_has_the_list() -> None:
    rows = [f"| {', '.join(f'`{name}`' for name in a.names)} | {a.of} | {a.fate} | {a.why} |" for a in ATTRIBUTES]
    page = PAGE.read_text().splitlines()
    start = page.index(rows[0]) if rows[0] in page else 0
    assert page[start : start + len(rows)] == rows
