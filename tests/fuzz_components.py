"""Throws mutated component classes and energy tables at their readers: only an InputError of one line may come out.

Run it for as long as you like::

    python tests/fuzz_components.py --seconds 60

It stops at the first text that brings anything else out, prints it and the traceback, and ends with code 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from dovetail.components import compound
from dovetail.components.accelergy_tables import read_energy_table
from dovetail.components.compose import Composer, instantiate
from dovetail.components.estimate import explain
from dovetail.components.estimator import ask
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.reader import read_architecture
from fuzz_readers import mutated

CLASSES = (Path(compound.__file__).parent / "data" / "classes.yaml").read_text()
SIZES = {
    "width": 16,
    "depth": 192,
    "technology": "45nm",
    "global_cycle_seconds": 1e-9,
    "metadata_storage_width": 8,
    "metadata_storage_depth": 8,
}
DESIGN = """
variables: {version: 0.4, global_cycle_seconds: 1e-9}
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {technology: "45nm", voltage: 0.9}}
  - !Component {name: DRAM, class: DRAM, attributes: {type: "HBM2", width: 64, datawidth: 8}}
  - !Component {name: buf, class: smartbuffer_SRAM, attributes: {width: 64, depth: 3000, datawidth: 8, n_instances: 2}}
  - !Component {name: rf, class: storage, subclass: smartbuffer_RF, attributes: {width: 24, depth: 5, datawidth: 8}}
  - !Component {name: sram, class: SRAM, attributes: {width: 64, depth: 3000, datawidth: 8, n_rw_ports: 2}}
  - !Component {name: mac, class: intmac, subclass: intmac_adders, attributes: {multiplier_width: 7}}
"""
ERT = """
ERT:
  version: '0.4'
  tables:
  - {name: "a.PE[1..4].buf[1..4]", actions: [{name: read, arguments: {x: 1}, energy: 2}, {name: write, energy: 1e-3}]}
  - {name: "a.mac[1..4]", actions: [{name: compute, energy: 0.5}, {name: leak, energy: 0}]}
"""


def compose_classes(text: str) -> None:
    """Read a text as component classes, and compose every action of every one."""
    section = parse_document(text).mapping(required=("compound_components",))["compound_components"]
    classes = compound.read_classes(section.mapping(required=("classes",))["classes"].sequence())
    for name, definition in list(classes.items())[:20]:
        instance = instantiate(name, SIZES, classes)
        composer = Composer(ask)
        composer.area(name, instance)
        for action in list(definition.actions)[:20]:
            composer.energy(name, instance, action)


def estimate_design(text: str) -> None:
    """Read a text as an architecture, and estimate it."""
    explain(read_architecture(parse_document(text), "fuzzed"))


def read_table(text: str) -> None:
    """Read a text as an energy table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ert.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        read_energy_table(path)


SEEDS = {compose_classes: CLASSES, estimate_design: DESIGN, read_table: ERT}


def attempt(number: int) -> str | None:
    """Feed one mutated text to one reader; returns what went wrong, if anything did."""
    chance = random.Random(number)
    reader = chance.choice(list(SEEDS))
    text = mutated(SEEDS[reader], chance)
    try:
        reader(text)
    except InputError as error:
        return f"{number}: a message of several lines: {error}" if "\n" in str(error) else None
    except Exception:
        return f"{number}: {reader.__name__}\n{text}\n{traceback.format_exc()}"
    return None


def main() -> int:
    """Run until the time is over or something escapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--start", type=int, default=0, help="number of the first text")
    args = parser.parse_args()
    number, end = args.start, time.monotonic() + args.seconds
    while time.monotonic() < end:
        if wrong := attempt(number):
            sys.stderr.write(wrong + "\n")
            return 1
        number += 1
    sys.stdout.write(f"{number - args.start} texts, nothing but InputError escaped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
