"""What is thrown at the readers of what a run has left: runs of the reference, our JSON, fronts."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dovetail.api.loading import load
from fuzz_case import Case, as_bytes, mutated_yaml
from fuzz_designs import FAMILY, PLAIN
from fuzz_mutations import LEAVES, mutated_text, mutated_tree

#: A run as published in Accelergy-Project/timeloop-accelergy-exercises (MIT): a convolution along one line.
DESIGN = """
architecture:
  version: 0.3
  local:
  - {name: System.PE.Buffer, class: regfile, attributes: {block-size: 1, depth: 64, width: 8, word-bits: 8}}
  - {name: System.PE.MACC, class: intmac, attributes: {datawidth: 8}}
  - {name: System.MainMemory, class: SRAM, attributes: {block-size: 8, depth: 32768, width: 64, word-bits: 8}}
"""
ERT = """
ERT:
  version: 0.3
  tables:
  - {name: System.PE.Buffer, actions: [{name: read, energy: 0.42}, {name: write, energy: 0.42}]}
  - {name: System.PE.MACC, actions: [{name: mac_random, energy: 0.561}]}
  - {name: System.MainMemory, actions: [{name: read, energy: 39.878}, {name: write, energy: 32.398}]}
"""
MAP = """\
MainMemory [ Weights:3 Inputs:18 Outputs:16 ]
---------------------------------------------
| for P in [0:16)

Buffer [ Weights:3 Inputs:3 Outputs:1 ]
---------------------------------------
|   for R in [0:3)
"""
STATS = """\
Buffer and Arithmetic Levels
----------------------------
=== Buffer ===

    STATS
    -----
    Cycles               : 48
    Weights:
        Partition size                           : 3
        Utilized capacity                        : 3
        Utilized instances (max)                 : 1
        Scalar reads (per-instance)              : 48
        Scalar fills (per-instance)              : 3
        Energy (total)                           : 21.42 pJ
    Outputs:
        Scalar updates (per-instance)            : 48
        Temporal reductions (per-instance)       : 32
=== MainMemory ===
    Inputs:
        Scalar reads (per-instance)              : 18
        Energy (total)                           : 119.63 pJ
MainMemory <==> Buffer
    Weights:
        Multicast factor                         : 1
        Ingresses                                : 3
Summary Stats
-------------
Cycles: 48
MACCs = 48
"""
CONVOLUTION = """
problem:
  shape:
    name: conv1d
    dimensions: [R, P]
    data_spaces:
    - {name: Weights, projection: [[[R]]]}
    - {name: Inputs, projection: [[[R], [P]]]}
    - {name: Outputs, projection: [[[P]]], read_write: true}
  instance: {R: 3, P: 16}
"""
_NUMBERS = (
    "0",
    "-1",
    "1",
    "1e9",
    "9" * 18,
    "9" * 40,
    "1e999",
    "nan",
    "3.5",
    "²",
    "[0:0)",
    "0x3",
    "",
    "16",
    "2147483649",
)
_SMALL = ("--on", "simple_weight_stationary", "--samples", "2", "--json")
#: Commands whose JSON is read back.
PRINTED = (
    ("map", "%DIR%/t.csv:stem", *_SMALL), ("map", "%DIR%/t.csv:stem", *_SMALL[:2], "--front", "--json"),
    ("compare", "%DIR%/t.csv", *_SMALL, "--workers", "1"), ("layers", "%DIR%/t.csv", "--json"),
    ("designs", "simple_weight_stationary", "--json"),
    ("evaluate", "%DIR%/t.csv:stem", *_SMALL[:2], "--mapping", "%DIR%/m.yaml", "--json"),
)  # fmt: skip


def run(chance: random.Random) -> Case:
    """A folder that a run of the reference left, one of its files changed."""
    files = {"r/x.stats.txt": STATS, "r/x.map.txt": MAP, "r/x.ERT.yaml": ERT, "r/x.flattened_architecture.yaml": DESIGN,
             "r/problem.yaml": CONVOLUTION}  # fmt: skip
    if chance.random() < 0.4:
        del files["r/problem.yaml"]  # its sizes are those of the loops then
    name = chance.choice(sorted(files))
    data = {each: text.encode() for each, text in files.items()}
    if name.endswith(".yaml"):
        data[name] = mutated_yaml(files[name], chance, *(text for each, text in files.items() if each.endswith("yaml")))
    else:
        data[name] = as_bytes(_mutated_lines(files[name], chance))
    if chance.random() < 0.2:
        data |= {each.replace("r/", "r/s/"): content for each, content in data.items()}
    return Case(("check-run", "%DIR%/r", *chance.choice(((), ("--json",)))), data)


def _mutated_lines(text: str, chance: random.Random) -> str:
    """Return a text with numbers replaced, lines moved, doubled and left out, or pieces changed."""
    lines: list[str] = text.splitlines()
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(lines))
        match chance.randint(0, 4):
            case 0:
                lines[at:at] = [chance.choice(lines)] * chance.choice((1, 1, 50))
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines[at] = mutated_text(lines[at], chance)
            case _:
                words = lines[at].replace(":", " : ").split(" ")
                words[chance.randrange(len(words))] = chance.choice(_NUMBERS)
                lines[at] = " ".join(words).replace(" : ", ":")
    return "\n".join(lines)


@functools.cache
def _printed(command: tuple[str, ...]) -> Any:
    """Return what a command prints as JSON, or writes into ``c.json``."""
    from dovetail.cli.main import main

    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
        (Path(folder) / "t.csv").write_text(PLAIN)
        (Path(folder) / "f.yaml").write_text(FAMILY)
        with contextlib.redirect_stderr(io.StringIO()):
            if "--mapping" in command:
                main(["map", f"{folder}/t.csv:stem", *_SMALL[:4], "--save", f"{folder}/m.yaml"])
                out.seek(0)
                out.truncate()
            main([word.replace("%DIR%", folder) for word in command])
        written = Path(folder) / "c.json"
        return json.loads(written.read_text() if written.exists() else out.getvalue())


def front(chance: random.Random) -> Case:
    """The certificate of a family's front, checked again."""
    made = ("explore", "%DIR%/t.csv", "--on", "%DIR%/f.yaml", "--axes", "area,edp", "--workers", "1")
    tree = mutated_tree(_printed((*made, "--certificate", "%DIR%/c.json")), chance)
    if isinstance(tree, dict) and chance.random() < 0.4:
        family = mutated_yaml(FAMILY, chance).decode("utf-8", "replace")
        tree[chance.choice(("family", "axes"))] = chance.choice((family, family, "area,energy", "edp"))
    search = chance.choice((("--no-search",), ("--no-search",), ("--samples", "1")))
    return Case(("verify", "%DIR%/c.json", "--time-limit", "1", *search), {"c.json": json.dumps(tree).encode()})


def result(chance: random.Random) -> Case:
    """What a command has printed as JSON, read back."""
    leaves = [*LEAVES, 2, 3, "Weights", "DRAM", "edp", {"tensor": "Inputs"}]
    tree = mutated_tree(_printed(chance.choice(PRINTED)), chance, leaves=leaves)
    return Case(("result",), {"r.json": json.dumps(tree).encode()})


TARGETS: dict[str, Callable[[random.Random], Case]] = {"run": run, "front certificate": front, "result": result}


def _read_result(folder: Path) -> None:
    """Read a result back, and use what was read: it prints itself, and is written again."""
    read = load(folder / "r.json")
    repr(read)
    if hasattr(read, "to_dict"):
        json.dumps(read.to_dict())


READERS: dict[str, Callable[[Path], None]] = {"result": _read_result}
