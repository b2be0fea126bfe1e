"""What is thrown at the readers of designs that say more than one plain design: families, zeros, neighbours' forms."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from dovetail.document import parse_document
from dovetail.family.family import family_of, load_family
from dovetail.family.members import Members
from fuzz_case import Case, as_bytes, mutated_yaml
from fuzz_mutations import LEAVES, mutated_text, mutated_tree

FAMILY = """
variables: {version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9, kb: !choice [1, 2]}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component
    name: buf
    class: SRAM
    attributes: {width: !range [64, 128, x2], datawidth: 8, depth: kb * 128}
    constraints: {dataspace: !choice [{keep: [Inputs]}, {keep: [Inputs, Weights]}]}
  - !Container {name: PE, spatial: {meshX: !range [1, 2], meshY: 1}}
  - !Component {name: rf, class: regfile, attributes: {width: 8, datawidth: 8, depth: !range [4, 12, 4]}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
family:
  budgets: [area <= 4 mm2, latency <= 5 ms, 'energy<=1 mJ']
  where: [kb * 64 <= buf_width, rf_depth * PE_meshX < 100 or kb == 2]
"""
PLAIN = "name,C,M,P,Q\nstem,3,8,4,4\n"
VARIED = (
    "buf.depth=1,2", "buf.width=64:256:x2", "rf.depth=4:9:3", "PE.meshX=1:3", "PE.meshY=1,2", "kb=1,4",
    "mac.datawidth=8",
    "buf.class=SRAM,regfile", "technology=45nm,65nm", "buf.n_banks=1:3", "rf.depth=1:99999:1", "rf.depth=2:1:x1.1",
    "DRAM.type=HBM2,LPDDR4", "global_cycle_seconds=1e-9,2e-9",
)  # fmt: skip
BUDGETS = ("area <= 1 mm2", "energy <= 3 nJ", "cycles<=900", "edp <= 1e-3", "power <= 2 mW", "latency <= 1 ms")
AXES = ("area,energy,cycles", "area,edp", "area,energy", "energy,cycles", "area,area", "area", "edp,area,x")

PRODUCT = """
problem:
  version: 0.4
  shape:
    name: product
    dimensions: [M, N, K]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[N]], [[K]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance:
    M: 4
    N: 6
    K: 4
    densities:
      A: {distribution: hypergeometric, density: 0.25, workload_tensor_size: 16}
      B: {distribution: fixed-structured, density: 0.5}
      Z: {distribution: actual_data, shape: [4, 6], nonzero: eNr7z88AAAMeAQ8=}
"""
#: Other ways to say where zeros are.
DENSITIES = (
    "problem: {shape: product, instance: {M: 4, N: 4, K: 4, commonDensity: 0.5}}",
    "densities: {A: {distribution: banded, density: 1.0, band_width: 2}, B: 0.3, Z: {density: 1}}",
)
SPARSE = """
variables: {version: 0.4, technology: "45nm"}
architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {width: 64, datawidth: 8, metadata_storage_width: 32, metadata_datawidth: 4}
    sparse_optimizations:
      representation_format: {data_spaces: [{name: A, ranks: [{format: UOP}, {format: CP, metadata_word_bits: 5}]}]}
  - !Component
    name: buffer
    class: SRAM
    attributes:
      {width: 8, depth: 64, datawidth: 8, metadata_storage_width: 8, metadata_storage_depth: 16, metadata_datawidth: 4,
       decompression_supported: true}
    sparse_optimizations:
      action_optimization:
      - {type: skipping, options: [{target: B, condition_on: [A]}, {target: Z, condition_on: [A, B]}]}
  - !Component
    name: mac
    class: intmac
    attributes: {datawidth: 8}
    sparse_optimizations: {compute_optimization: [{type: gating}]}
"""
APART = """
sparse_optimizations:
  version: 0.4
  targets:
  - {name: buffer, action-optimization: [{type: gating, options: [{target: A, condition-on: [B]}]}]}
  - name: DRAM
    representation-format:
      data-spaces: [{name: B, ranks: [{format: B, flattened-rankIDs: [[K, N]]}, {format: RLE}], rank-application-order: inner-to-outer}]
"""  # noqa: E501 - as people write them

ZIGZAG = """
name: chip
memories:
  weights:
    size: 64
    r_cost: 0.5
    w_cost: 0.5
    area: 1
    latency: 1
    operands: [I2]
    ports:
    - {name: r_port_1, type: read, bandwidth_min: 8, bandwidth_max: 8, allocation: ['I2, tl']}
    - {name: w_port_1, type: write, bandwidth_min: 8, bandwidth_max: 8, allocation: ['I2, fh']}
    served_dimensions: []
  dram:
    size: 10000000000
    r_cost: 700
    w_cost: 750
    area: 0
    latency: 1
    operands: [I1, I2, O]
    ports: [{name: rw_port_1, type: read_write, bandwidth_min: 64, bandwidth_max: 64, allocation: ['I1, tl', 'O, fh']}]
    served_dimensions: [D1, D2]
operational_array: {unit_energy: 0.5, unit_area: 1, dimensions: [D1, D2], sizes: [4, 3]}
"""
ACCELFORGE = """
arch:
  variables: {kilobytes: 64}
  extra_attributes_for_all_component_models: {tech_node: 45e-9}
  nodes:
  - !Memory
    name: Main
    size: inf
    leak_power: 0
    area: 0
    tensors: {keep: ~Intermediates, may_keep: All}
    actions:
    - {name: read, energy: 7e-12, throughput: 8 * 38.4e9}
    - {name: write, energy: 7e-12, throughput: 8 * 38.4e9}
  - !Memory
    name: Buffer
    size: kilobytes * 1024 * 8
    leak_power: 1e-3
    area: 2e-6
    total_latency: max(a.n_calls / a.throughput for a in actions)
    tensors: {keep: input | output, may_keep: ~Main}
    actions:
    - {name: read, energy: 0.25e-12, bits_per_action: 64, throughput: 4e9}
    - {name: write, energy: 0.5e-12, bits_per_action: 64, throughput: 2e9}
  - !Container
    name: Array
    spatial: [{name: across, fanout: 16, reuse: input, min_usage: 1}, {name: down, fanout: 8, may_reuse: output}]
  - !Memory
    name: Register
    size: 3 * output.bits_per_value if output else 0
    bits_per_value: {output: 24}
    component_class: Dummy
    tensors: {keep: output}
  - !Compute
    name: Unit
    enabled: len(All) == 3
    leak_power: 0
    area: 1e-9
    actions: [{name: compute, energy: 0.084e-12, throughput: 2e9}]
"""
SYSTOLIC = [
    ["[general]"], ["run_name", '"small"'], ["[architecture_presets]"], ["ArrayHeight", "12"], ["ArrayWidth", "14"],
    ["IfmapSramSzkB", "108"], ["FilterSramSzkB", "64"], ["OfmapSramSzkB", "32"], ["IfmapOffset", "0"],
    ["Bandwidth", "10"], ["Dataflow", "ws"], ["[sparsity]"], ["SparsitySupport", "false"],
]  # fmt: skip


def family(chance: random.Random) -> Case:
    """A family, by file and options, explored or read and written again."""
    files = {"t.csv": PLAIN.encode(), "f.yaml": mutated_yaml(FAMILY, chance, SPARSE)}
    if chance.random() < 0.3:
        files["f.yaml"] = FAMILY.encode()
    if chance.random() < 0.5:
        return Case(("family",), files)
    words = ["explore", "%DIR%/t.csv", "--on", "%DIR%/f.yaml", "--time-limit", "1", "--workers", "1"]
    for option, values in (("--vary", VARIED), ("--budget", BUDGETS), ("--axes", AXES)):
        if chance.random() < 0.4:
            value = chance.choice(values)
            words += [option, mutated_text(value, chance) if chance.random() < 0.5 else value]
    words += chance.choice(((), ("--json",), ("--csv", "%DIR%/o.csv"), ("--html", "%DIR%/o.html")))
    return Case(tuple(word if not word.startswith("-") or word in words[::2] else f" {word}" for word in words), files)


def zeros(chance: random.Random) -> Case:
    """A design that leaves out zeros, and a problem that says where they are."""
    files = {"a.yaml": SPARSE.encode(), "p.yaml": PRODUCT.encode()}
    if chance.random() < 0.5:
        files["p.yaml"] = mutated_yaml(PRODUCT, chance, *DENSITIES)
    else:
        files["a.yaml"] = mutated_yaml(SPARSE + APART * chance.choice((0, 1)), chance, APART)
    ways = (
        ("layers", "%DIR%/p.yaml", "--json"), ("designs", "%DIR%/a.yaml"),
        ("map", "%DIR%/p.yaml", "--on", "%DIR%/a.yaml", "--samples", "5", "--json"),
        ("map", "%DIR%/p.yaml", "--on", "%DIR%/a.yaml", "--time-limit", "0.5"),
    )  # fmt: skip
    return Case(chance.choice(ways), files)


def neighbour(chance: random.Random) -> Case:
    """A design in the form of another tool."""
    way = chance.choice((("designs",), ("map",), ("components", "--on")))
    name = chance.choice(("z.yaml", "f.yaml", "s.cfg"))
    if name == "s.cfg":
        lines = mutated_tree(SYSTOLIC, chance, leaves=[*map(repr, LEAVES), "ws", "os", "12", "true"])
        sign = chance.choice((" : ", "=", ":"))
        texts = (sign.join(map(str, line)) if isinstance(line, list) else str(line) for line in lines)
        text = "\n".join(line.replace("\n", " ") for line in texts)
        content = as_bytes(mutated_text(text, chance) if chance.random() < 0.1 else text)
    else:
        content = mutated_yaml(*((ZIGZAG, chance, ACCELFORGE) if name == "z.yaml" else (ACCELFORGE, chance, ZIGZAG)))
    words = (*way, f"%DIR%/{name}") if way != ("map",) else ("map", "%DIR%/t.csv:stem", "--on", f"%DIR%/{name}",
                                                           "--samples", "2")  # fmt: skip
    return Case(words, {name: content, "t.csv": PLAIN.encode()})


TARGETS: dict[str, Callable[[random.Random], Case]] = {"family": family, "zeros": zeros, "neighbour": neighbour}


def _read_family(folder: Path) -> None:
    """Read a family, look at its members, and see that what is written of it is the same family."""
    read = load_family(folder / "f.yaml")
    Members(read).laid_out(time.monotonic() + 1.0)
    again = family_of(parse_document(read.text(), file="f.yaml"), read.name)
    assert again.key == read.key, f"written and read again it is another family:\n{read.text()}"


READERS: dict[str, Callable[[Path], None]] = {"family": _read_family}
