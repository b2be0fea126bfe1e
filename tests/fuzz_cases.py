"""What is thrown at every reader: a command line with the files it names, made from valid ones by mutation."""

from __future__ import annotations

import functools
import importlib.util
import json
import pickle
import random
import re
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_designs
import fuzz_layers
import fuzz_results
from dovetail.components import compound
from dovetail.expression import evaluate
from dovetail.hardware.reader import bundled_designs, design_file
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.mapping.timeloop_yaml import timeloop_mapping_yaml
from dovetail.store import Store
from dovetail.workload.problem import convolution
from dovetail.workload.problem_yaml import write_problem
from fuzz_bombs import bombed, with_holes
from fuzz_case import Case, as_bytes, mutated_cells, mutated_yaml, tree
from fuzz_mutations import NASTY, mutated_bytes, mutated_text, mutated_tree, yaml_of
from mapping_strategies import EYERISS, LAYER, NEST

DATA = Path(__file__).parent / "data"

ARCHITECTURE = """
variables: {version: 0.4, a: 4, b: a * 2, global_cycle_seconds: 1e-9, technology: "45nm"}
constraints: {targets: [{target: buf, type: temporal, factors: 'C=1 M<=4', permutation: RS_MC}]}
components: {version: 0.4, classes: [{name: x, attributes: {d: ceil(log2(depth))}}]}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8, read_bandwidth: b}}
  - !Container {name: PE, spatial: {meshX: a, meshY: 2}, constraints: {spatial: {split: 1, maximize_dims: [[C, M]]}}}
  - !Component
    name: buf
    class: SRAM
    attributes: {width: 64, datawidth: 8, entries: 100, cluster_size: 1, multiple-buffering: 2, shared_bandwidth: 3}
    constraints: {dataspace: {keep_only: [Inputs]}, temporal: {factors: [C=1, M<=4], no_reuse: ['*']}}
  - !Parallel
    nodes:
    - !Component
      name: w
      class: regfile
      attributes: {width: 64, datawidth: 8, depth: 2 ** 3 if a >= 2 else 1}
      constraints: {dataspace: {keep: [Weights]}, temporal: {factors: C=1 M<=4, permutation: [C, M]}}
    - !Nothing {constraints: {dataspace: {keep: [Inputs]}}}
  - !Component {name: mac, class: intmac, spatial: {meshX: 2}, attributes: {multiplier_width: 7}}
"""
ESTIMATED = """
variables: {version: 0.4, global_cycle_seconds: 1e-9}
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {technology: "45nm", voltage: 0.9}}
  - !Component {name: DRAM, class: DRAM, attributes: {type: "HBM2", width: 64, datawidth: 8}}
  - !Component {name: buf, class: smartbuffer_SRAM, attributes: {width: 64, depth: 3000, datawidth: 8, n_instances: 2}}
  - !Component {name: rf, class: storage, subclass: smartbuffer_RF, attributes: {width: 24, depth: 500, datawidth: 8}}
  - !Component {name: sram, class: SRAM, attributes: {width: 64, depth: 3000, datawidth: 8, n_rw_ports: 2}}
  - !Component {name: mac, class: intmac, subclass: intmac_adders, attributes: {multiplier_width: 7}}
"""
TEMPLATE = """
{% set n = bits|default(8) %}
{% for i in range(3) %}
# k{{ i }}: {{ 'a' ~ i }}
{% endfor %}
variables: {version: 0.4, technology: "45nm", n: {{ n * 2 }}, extra: {{ include('inner.yaml', 'x.y') }} }
{{ include_text('text.yaml') }}
"""
PROBLEMS = (
    """
problem:
  version: 0.4
  shape:
    name: mine
    dimensions: [C, M, P, Q, R, S]
    coefficients: [{name: Wstride, default: 1}, {name: Hstride, default: 1}]
    data-spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]]]}
    - {name: Inputs, projection: [[[C]], [[R], [P, Wstride]], [[S], [Q, Hstride]]]}
    - {name: Outputs, projection: [M, Q, P], read_write: true}
  instance: {C: 3, M: 4 * 2, P: 7, Q: 7, R: 3, S: 3, Wstride: 2, Hstride: 2, name: first}
""",
    "problem: {instance: {C: 3, K: 8, P: 7, Q: 7, R: 3, S: 3, N: 1}}",
    "problem: {shape: gemm_ABZ, M: 3, N: 4, K: 8, rename: {K: C, N: P, A: Inputs, B: Weights, Z: Outputs}}",
)
TABLE = [
    ["name", "kind", "repeats", "modules", "C", "M", "P", "Q", "R", "S", "G", "Wstride", "Hstride"],
    ["stem", "convolution", "", "a.b", "3", "64", "112", "112", "7", "7", "", "2", "2"],
    ["body", "", "2", "", "64", "64", "56", "56", "3", "3", "1", "", ""],
    ["dw", "depthwise convolution", "1", "c d", "1", "1", "8", "8", "3", "3", "32", "1", "1"],
    ["relu", "free", "9", "", "", "", "", "", "", "", "", "", ""],
]
LAYERS = """
network: net
batch: 2
source: here
layers:
- {name: a, kind: convolution, shape: cnn-layer, repeats: 2, modules: [x, y], N: 2, C: 3, M: 8, P: 4, Q: 4, R: 3}
- {name: b, shape: product-layer, G: 2, M: 4, C: 5, P: 6, batch_dimension: none}
unmapped: [{name: fft, macs: 1000, repeats: 1}]
free: {relu: 2}
"""
ERTS = (
    """
ERT:
  version: '0.4'
  tables:
  - {name: "a.DRAM[1..1]", actions: [{name: read, arguments: {x: 1}, energy: 2}, {name: write, energy: 1e-3}]}
  - {name: "a.buf[1..4]", actions: [{name: random_read, energy: 2}, {name: fill, energy: 3}, {name: update, energy: 3}]}
  - {name: "a.mac[1..4]", actions: [{name: compute, energy: 0.5}, {name: leak, energy: 0}]}
""",
    """
ERT_summary:
  version: '0.4'
  table_summary:
  - {name: "a.DRAM[1..1]", actions: [{name: read, energy: 2}, {name: write, max_energy: 3, energy: 2}]}
  - {name: "a.buf[1..4]", actions: [{name: read, energy: 2}, {name: write, energy: 3}, {name: update, energy: 3}]}
  - {name: "a.mac[1..4]", actions: [{name: compute, energy: 0.5}]}
""",
    "ERT: {version: 0.2, tables: {DRAM: {access: {energy: 3}}, buf: {access: [{energy: 3}]}, mac: {mac: {energy: 1}}}}",
)
ART = "ART: {version: 0.4, tables: [{name: a.DRAM, area: 0}, {name: 'a.buf[1..4]', area: 10.5}, {name: mac, area: 2}]}"
ART_SUMMARY = "ART_summary: {version: 0.4, table_summary: [{name: a.DRAM, area: 0}, {name: 'a.buf[1..4]', area: 10.5}]}"
SMALL = """
variables: {version: 0.4, technology: "45nm"}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: buf, class: SRAM, attributes: {width: 64, datawidth: 8, depth: 100}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""
#: The layer of the reference's mapping.
_REFERENCE = convolution(C=3, M=32, P=112, Q=112, R=3, S=3, N=1, stride=(2, 2))
EXPRESSIONS = (
    "max(1, ceil(log2(depth))) if depth >= 1 else -width ** 2 // 3 % 5",
    "not (1 < 2) and 'a' == 3",
    "round(depth / 3, 2)",
)


@functools.cache
def _designs() -> list[str]:
    return [ARCHITECTURE, ARCHITECTURE, ESTIMATED, *(design_file(name).read_text() for name in bundled_designs())]


def architecture(chance: random.Random) -> Case:
    """An architecture, shown, estimated or mapped on."""
    text = chance.choice(_designs())
    files = {"a.yaml": mutated_yaml(text, chance, ARCHITECTURE, ESTIMATED, PROBLEMS[0])}
    ways = (("designs", "%DIR%/a.yaml"), ("components", "--on", "%DIR%/a.yaml"),
            ("components", "--on", "%DIR%/a.yaml", "--json"),
            ("map", "alexnet:1", "--on", "%DIR%/a.yaml", "--samples", "2"))  # fmt: skip
    return Case(chance.choice(ways), files)


def template(chance: random.Random) -> Case:
    """A templated document in a folder with others to include."""
    body = SMALL[SMALL.index("architecture") :]
    text = TEMPLATE
    for _ in range(chance.choice((1, 1, 2))):
        found = chance.choice(
            list(re.finditer(r"(?<={{ )[^}]*(?= }})|(?<== )[^%]*(?= %})|(?<= in )[^%]*(?= %})", text))
        )
        text = text[: found.start()] + _template_expression(chance, 0) + text[found.end() :]
    if chance.random() < 0.15:
        text = mutated_text(text, chance)
    text += body if chance.random() < 0.8 else mutated_yaml(SMALL, chance).decode()
    inner = mutated_yaml("x: {y: [1, 2]}", chance) if chance.random() < 0.3 else b"x: {y: 3}\n"
    files = {"a.yaml": as_bytes(text), "inner.yaml": inner, "text.yaml": b"# {{ 1 + 1 }}\n"}
    return Case(("designs", "%DIR%/a.yaml"), files)


TEMPLATE_LEAVES = (
    "n", "i", "1", "0", "2.5", "1e308", "10 ** 9", "'a'", "'a' * 9", "none", "true", "x", "bits", "[1, 2]", "(1,)",
    "[]",
    "range(3)", "range(10 ** 8)", "cwd()", "cwd", "include", "include('inner.yaml')", "include('inner.yaml', 'x.y')",
    "include('a.yaml')", "include_text('text.yaml')", "include_text('a.yaml')", "include_all('*.yaml', 'x')",
    "include('../*.yaml')", "include('/etc/passwd')", "path_exists('/**')", "path_exists('**/*')", "find_path('[')",
    "find_paths('*')", "find_path('')", "find_path(3)", "include(none)", "add_to_path('.')", "add_to_path('..')",
    "'%s' % n", "n.real", "n['a']", "range.__class__", "include_text('text.yaml', 3)", "range(1, 2, 0)", "'\\x1b[31m'",
    "include('inner.yaml', 'x.z')", "include('inner.yaml', 3)", "range('a')", "range(1.5)", "1 if n else 2",
)  # fmt: skip


def _template_expression(chance: random.Random, depth: int) -> str:
    """Return an expression that is a valid template, and may do anything."""
    if depth > 3 or chance.random() < 0.4:
        return chance.choice(TEMPLATE_LEAVES)
    one, two = (_template_expression(chance, depth + 1) for _ in range(2))
    sign = chance.choice(("+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "and", "or", "in"))
    name = chance.choice(
        ("abs", "default(3)", "float", "int", "length", "lower", "max", "min", "string", "trim", "upper")
    )
    test = chance.choice(("defined", "none", "odd", "even", "number", "string", "true"))
    return chance.choice((f"({one} {sign} {two})", f"({one})|{name}", f"({one} is {test})", f"range({one}, {two})",
                          f"[{one}, {two}]", f"-({one})", f"({one} if {two} else 3)"))  # fmt: skip


def problem(chance: random.Random) -> Case:
    """A problem, shown, written again, or mapped."""
    files = {"p.yaml": mutated_yaml(chance.choice(PROBLEMS), chance, *PROBLEMS, LAYERS)}
    ways = (("layers", "%DIR%/p.yaml"), ("layers", "%DIR%/p.yaml", "--json", "--batch", "2"),
            ("layers", "%DIR%/p.yaml", "--timeloop", "%DIR%/out"),
            ("map", "%DIR%/p.yaml", "--on", "simple_weight_stationary", "--samples", "2"))  # fmt: skip
    return Case(chance.choice(ways), files)


def layer_table(chance: random.Random) -> Case:
    """A layer table as CSV or YAML."""
    ways = (("layers",), ("layers", "--all", "--batch", "3"), ("layers", "--csv", "%DIR%/out.csv", "--json"),
            ("layers", "--yaml", "%DIR%/out.yaml"))  # fmt: skip
    command, *rest = chance.choice(ways)
    name = chance.choice(("t.csv", "t.yaml"))
    content = mutated_cells(chance, TABLE) if name == "t.csv" else mutated_yaml(LAYERS, chance, PROBLEMS[0])
    return Case((command, f"%DIR%/{name}", *rest), {name: content})


def folder(chance: random.Random) -> Case:
    """A folder of problems with an index of how often each occurs."""
    files = {f"f/{number}_conv.yaml": text.encode() for number, text in enumerate(PROBLEMS)}
    files["f/index.csv"] = mutated_cells(chance, [["name", "repeats"], ["0_conv", "2"], ["1_conv", "1"]])
    if chance.random() < 0.5:
        files[chance.choice(("f/0_conv.yaml", "f/²_conv.yaml", "f/x٣.yaml"))] = mutated_yaml(
            PROBLEMS[1], chance, *PROBLEMS
        )
    return Case(("layers", "%DIR%/f"), files)


def mapping(chance: random.Random) -> Case:
    """A mapping in either form, evaluated."""
    text = chance.choice(_mappings())
    layer = write_problem(_REFERENCE if "Timeloop's mapper" in text else LAYER).encode()
    way = ("evaluate", "%DIR%/p.yaml", "--on", "eyeriss_like", "--mapping", "%DIR%/m.yaml")
    return Case(
        (*way, *chance.choice(((), ("--json",)))), {"m.yaml": mutated_yaml(text, chance, *_mappings()), "p.yaml": layer}
    )


@functools.cache
def _mappings() -> tuple[str, ...]:
    there = (DATA / "reference_mappings" / "eyeriss_like.yaml").read_text()
    return there, timeloop_mapping_yaml(NEST, EYERISS, LAYER), native_mapping_yaml(NEST, LAYER)


def energies(chance: random.Random) -> Case:
    """An energy and an area table."""
    files = {"a.yaml": SMALL.encode(), "p.yaml": PROBLEMS[1].encode()}
    files |= {"ert.yaml": mutated_yaml(chance.choice(ERTS), chance, *ERTS, ART), "art.yaml": ART.encode()}
    if chance.random() < 0.3:
        files |= {
            "ert.yaml": ERTS[0].encode(),
            "art.yaml": mutated_yaml(chance.choice((ART, ART_SUMMARY)), chance, *ERTS),
        }
    way = ("map", "%DIR%/p.yaml", "--on", "%DIR%/a.yaml", "--samples", "1", "--ert", "%DIR%/ert.yaml", "--art")
    return Case((*way, "%DIR%/art.yaml"), files)


def classes(chance: random.Random) -> Case:
    """Compound component classes of one's own."""
    text = (Path(compound.__file__).parent / "data" / "classes.yaml").read_text()
    mutated = mutated_tree(tree(text), chance, [tree(ESTIMATED)])
    sections = {**tree(ESTIMATED), **mutated} if isinstance(mutated, dict) else mutated
    return Case(("components", "--on", "%DIR%/a.yaml"), {"a.yaml": as_bytes(yaml_of(sections))})


@functools.cache
def _certificate() -> Any:
    from dovetail.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        path, layer = Path(folder) / "c.json", Path(folder) / "p.yaml"
        layer.write_text(PROBLEMS[1])
        main(["map", str(layer), "--on", "simple_weight_stationary", "--certificate", str(path)])
        return json.loads(path.read_text())


def certificate(chance: random.Random) -> Case:
    """A certificate, checked again."""
    mutated = mutated_tree(_certificate(), chance)
    if isinstance(mutated, dict) and chance.random() < 0.3 and isinstance(mutated.get("problem"), dict):
        mutated["problem"] = {"name": "x", "yaml": mutated_yaml(PROBLEMS[1], chance).decode("utf-8", "replace")}
    search = chance.choice((("--no-search",), ("--no-search",), ("--time-limit", "1")))
    way = ("verify", "%DIR%/c.json", *search, *chance.choice(((), ("--json",))))
    return Case(way, {"c.json": json.dumps(mutated).encode()})


def study(chance: random.Random) -> Case:
    """A layer pickle of the founding study."""
    rows = [(224, 224, 3, 1, 64, 7, 7, 3, 3, 2, 2), (56, 56, 64, 1, 64, 3, 3, 1, 1, 1, 1)]
    plain = mutated_tree([list(row) for row in rows], chance, leaves=[*range(-1, 9), 2**31, 2**40, 2**70, [1], "x"])
    content = [tuple(row) if isinstance(row, list) else row for row in plain] if isinstance(plain, list) else plain
    data = pickle.dumps(content, protocol=chance.randint(0, 5))
    data = mutated_bytes(data, chance) if chance.random() < 0.3 else data
    return Case(("layers", "%DIR%/s.pkl", *chance.choice(((), ("--as-published",)))), {"s.pkl": data})


def expression(chance: random.Random) -> Case:
    """An expression."""
    return Case(("expression",), {"x": as_bytes(mutated_text(chance.choice(EXPRESSIONS), chance))})


@functools.cache
def _store_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results-v2.sqlite3"
        with Store.open(path) as store:
            store.put_many({"one": {"cycles": [1, 2.5, None]}, "two": "x" * 300, "three": list(range(50))})
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        return path.read_bytes()


def store(chance: random.Random) -> Case:
    """The store of results, a cell of it or its bytes changed."""
    if chance.random() < 0.3:
        return Case(("store",), {"results-v2.sqlite3": mutated_bytes(_store_file(), chance)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results-v2.sqlite3"
        path.write_bytes(_store_file())
        connection = sqlite3.connect(path)
        table, column = chance.choice([*(("results", c) for c in ("key", "value", "checksum", "stored")),
                                       ("census", "entries"), ("census", "digest")])  # fmt: skip
        value = chance.choice((None, 0, -1, 1e308, "x", b"", b"\x00" * 16, b"x" * 5000, NASTY, 2**62))
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))
        connection.commit()
        connection.close()
        return Case(("store",), {"results-v2.sqlite3": path.read_bytes()})


def bomb(chance: random.Random) -> Case:
    """A YAML file of any kind with something in it that is more than it looks."""
    way, name, text, values = chance.choice(_bombed_ways())
    files = {"a.yaml": SMALL.encode(), "p.yaml": PROBLEMS[1].encode(), "x.yaml": b"x: {{ include_text('x.yaml') }}"}
    return Case(way, {**files, name: bombed(with_holes(text, values), chance)})


@functools.cache
def _bombed_ways() -> list[tuple[tuple[str, ...], str, str, tuple[str, ...]]]:
    """Return, for each kind of file, a command that reads it, its name, a valid text and values in it."""
    words = ("0.4", "a * 2", "'C=1 M<=4'", "RS_MC", "ceil(log2(depth))", "[[C, M]]", "DRAM", "100", "[Inputs]",
             "2 ** 3", "[C=1, M<=4]", "4 * 2", "[C, M, P, Q, R, S]", "mine", "[[[C]], [[M]], [[R]], [[S]]]", "[x, y]",
             "1000", "relu: 2", "{energy: 3}", "1e-3", '"a.DRAM[1..1]"', "10.5", "Wstride: 2", "P=8 Q=2 M=4",
             "0.5")  # fmt: skip
    mapped = ("map", "%DIR%/p.yaml", "--on", "%DIR%/a.yaml", "--samples", "1", "--ert", "%DIR%/ert.yaml")
    evaluated = ("evaluate", "%DIR%/p.yaml", "--on", "eyeriss_like", "--mapping", "%DIR%/m.yaml")
    found = [
        (("designs", "%DIR%/d.yaml"), "d.yaml", ARCHITECTURE, words),
        (("components", "--on", "%DIR%/d.yaml"), "d.yaml", ESTIMATED, words),
        (mapped, "ert.yaml", ERTS[0], words),
        (mapped, "ert.yaml", ERTS[1], words),
        (("layers", "%DIR%/l.yaml"), "l.yaml", LAYERS, words),
        (("verify", "%DIR%/c.json", "--no-search"), "c.json", json.dumps(_certificate()), ("true", "1", "0.0")),
    ]
    found += [(("layers", "%DIR%/q.yaml"), "q.yaml", text, words) for text in PROBLEMS]
    found += [(evaluated, "m.yaml", text, words) for text in _mappings()]
    return found  # fmt: skip


COMMANDS = (
    ("layers", "resnet18@32", "--batch", "2", "--rename", "P=Y", "--input-size", "32"),
    ("layers", "%DIR%/t.csv", "--csv", "%DIR%/o.csv", "--yaml", "%DIR%/o.yaml", "--timeloop", "%DIR%/o"),
    ("designs", "eyeriss_like", "--include", "%DIR%"),
    ("components", "--on", "eyeriss_like", "--estimator", "dram_table", "--ert", "%DIR%/o.yaml",
     "--art", "%DIR%/p.yaml"),
    ("map", "%DIR%/t.csv:1", "--on", "eyeriss_like", "--batch", "1", "--objective", "edp", "--samples", "3",
     "--seed", "1", "--save", "%DIR%/m.yaml"),
    ("evaluate", "%DIR%/t.csv:1", "--on", "eyeriss_like", "--mapping", "%DIR%/m.yaml", "--rename", "M=C,C=M"),
    ("compare", "%DIR%/t.csv", "--on", "eyeriss_like", "--samples", "2", "--csv", "%DIR%/o.csv", "--totals"),
    ("report", "%DIR%/t.csv", "--on", "eyeriss_like", "--html", "%DIR%/o.html", "--svg", "%DIR%/svg", "--csv",
     "%DIR%/csv", "--no-front", "--time-limit", "1", "--accuracy", "t=70", "--workers", "1"),
    ("sweep-layer", "%DIR%/t.csv:1", "--on", "simple_weight_stationary", "--dim", "M", "--values", "1:3", "--svg",
     "%DIR%/o.svg", "--time-limit", "1", "--workers", "1"),
    ("optimum", "%DIR%/t.csv", "--on", "simple_weight_stationary", "--deadline", "100000", "--budget", "5",
     "--time-limit", "1", "--workers", "1"),
    ("verify", "%DIR%/c.json", "--on", "eyeriss_like", "--time-limit", "1"),
    ("map", "%DIR%/t.csv:1", "--on", "simple_weight_stationary", "--pad", "--imperfect", "--time-limit", "1",
     "--memory", "1", "--work", "1000", "--bits", "weights=4", "--densities", "inputs=0.5"),
    ("explore", "%DIR%/t.csv", "--on", "simple_weight_stationary", "--vary", "pe_spad.depth=16,32", "--axes",
     "area,edp", "--budget", "area <= 4 mm2", "--shares", "2", "--time-limit", "1", "--workers", "1",
     "--save-front", "%DIR%/o"),
    ("tokens", "gpt2", "--on", "tpu_like", "--phase", "decode", "--batch", "1,2", "--context", "8:16",
     "--samples", "1", "--resident", "weights@DRAM", "--between", "overlapped", "--expert-load",
     "random", "--csv", "%DIR%/o.csv"),
    ("bound", "%DIR%/t.csv", "--on", "eyeriss_like", "--room", "1,2", "--pj-per-bit", "3", "--bandwidth", "10",
     "--time-limit", "1", "--svg", "%DIR%/o.svg"),
    ("advise", "%DIR%/t.csv", "--on", "simple_weight_stationary", "--time-limit", "1", "--workers", "1", "--json"),
    ("explain", "%DIR%/t.csv:1", "--on", "simple_weight_stationary", "--time-limit", "1"),
    ("check-run", "%DIR%", "%DIR%/t.csv", "--set", "a=1"),
    ("cache", "--json"),
    ("train", "five-layer", "--data", "nowhere", "--epochs", "1", "--width", "2,3", "--seeds", "1", "--batch-size", "8",
     "--learning-rate", "0.1", "--device", "cpu", "--recipe", "modern", "--out", "%DIR%/o", "--workers", "1"),
    ("accuracy", "five-layer", "--data", "nowhere", "--weights", "%DIR%/w.pt", "--batch-size", "3", "--threads", "1"),
    ("shrink", "five-layer-2", "--on", "eyeriss_like", "--target", "edp=0.4x", "--data", "nowhere", "--candidates", "2",
     "--out", "%DIR%/o", "--method", "uniform", "--seeds", "1", "--epochs", "1", "--time-limit", "1"),
)  # fmt: skip
WORDS = (
    "", "0", "-1", "1.5", "²", "١٢", "nan", "inf", "-inf", "1e400", "1_0", " 7 ", "0x10", "9" * 1000, "9" * 5000,
    NASTY,
    "a" * 5000, "resnet18@²", "resnet18@0", "resnet18:0", ":", "a:b", "a:b:c", "@", "=", "a=", "=a", "a=b=c", ",",
    "K=K",
    "%DIR%", "%DIR%/none/x.yaml", "/proc", ".", "..", "/dev/null", "/dev/full", "-", "--", "--x", "--json", "1:2:0",
    "5:1", "1:2:3:4", "1,,2", "0x", "edp=", "front", "edp=nanx", "edp=-1x", "macs=²%", "t=²", "t=nan", "t=101",
    "\udcff",
    "café", "None", "os:system", "%DIR%/t.csv:99", "%DIR%/t.csv:stem", "%DIR%/t.csv:²",
)  # fmt: skip


def arguments(chance: random.Random) -> Case:
    """A command whose words are replaced, left out or said twice."""
    words = list(chance.choice(COMMANDS))
    if words[0] in ("train", "accuracy", "shrink") and not _has("torch"):
        words = list(COMMANDS[0])
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(1, len(words)) if len(words) > 1 else 0
        if chance.random() < 0.8:
            words[at] = chance.choice(WORDS)
        elif chance.random() < 0.5:
            del words[at]
        else:
            words[at:at] = [words[at]] * chance.choice((1, 1, 30))
    words = ["nowhere" if before == "--data" else word for before, word in zip(["", *words], words, strict=False)]
    table = ",".join(("name", "C", "M", "P", "Q")) + "\nstem,3,8,4,4\n"
    return Case(tuple(words), {"t.csv": table.encode(), "m.yaml": _mappings()[0].encode()})


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


#: What can be attacked with the core install: name -> what makes a case.
TARGETS: dict[str, Callable[[random.Random], Case]] = {
    "architecture": architecture, "template": template, "problem": problem, "layer table": layer_table,
    "folder": folder, "mapping": mapping, "energies": energies, "classes": classes, "certificate": certificate,
    "study pickle": study, "expression": expression, "store": store, "arguments": arguments,
    "bomb": bomb, **fuzz_designs.TARGETS, **fuzz_layers.TARGETS, **fuzz_results.TARGETS,
}  # fmt: skip


def _read_expression(folder: Path) -> None:
    evaluate((folder / "x").read_text(encoding="utf-8", errors="surrogatepass"), {"depth": 192, "width": 16})


def _read_store(folder: Path) -> None:
    with Store.open(folder / "results-v2.sqlite3") as opened:
        opened.state()
        found = opened.get_many(["one", "two", "three", "four"])
        assert all(found[key] == value for key, value in _STORED.items() if key in found)
        opened.verify()
        opened.put("new", 1)
        assert opened.get("new") == 1


_STORED = {"one": {"cycles": [1, 2.5, None]}, "two": "x" * 300, "three": list(range(50))}

#: Readers that no command reaches by itself.
READERS: dict[str, Callable[[Path], None]] = {
    "expression": _read_expression, "store": _read_store, **fuzz_designs.READERS, **fuzz_results.READERS,
}  # fmt: skip

if _has("onnx") and _has("torch"):
    import fuzz_networks

    TARGETS |= fuzz_networks.TARGETS
    READERS |= fuzz_networks.READERS

__all__ = ["READERS", "TARGETS", "Case"]
