"""The command ``layers``: a network's layers in a table, written as a layer table or as Timeloop problems."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dovetail.cli import arguments
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, table_width
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.text import file_name, printable
from dovetail.workload.describe import describe
from dovetail.workload.language.reader import bundled_models, read_bundled_model
from dovetail.workload.layer_densities import with_densities
from dovetail.workload.layer_table import bundled_names, write_csv, write_yaml
from dovetail.workload.network import Network
from dovetail.workload.plain import network_document
from dovetail.workload.problem_yaml import write_problem
from dovetail.workload.study_pickle import read_study_pickle

#: Command lines to begin with.
EXAMPLES = (
    "layers --list",
    "layers resnet18",
    "layers model.py:Net --input 1x3x48x320 --csv layers.csv",
    "layers llama3-8b --phase decode --batch 8 --context 4096",
    "layers model.onnx --input input_ids=1x128:int64",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "model",
        metavar="NETWORK",
        nargs="?",
        help=arguments.NETWORK,
    )
    parser.add_argument("--list", action="store_true", help="list the bundled networks")
    arguments.add_model(parser)
    arguments.add_settings(parser)
    parser.add_argument(
        "--as-published", action="store_true", help="read a pickle of the founding study as it did, mistakes included"
    )
    parser.add_argument("--all", action="store_true", help="every layer on its own line, not each distinct one once")
    add_output(parser, "--csv", "write the layers as a table")
    add_output(parser, "--yaml", "write the layers as YAML (into a folder: NAME.yaml)")
    add_output(parser, "--timeloop", "write each distinct layer as Timeloop problem", folder=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 0."""
    if args.list:
        for name, sizes in bundled_names().items():
            print(f"{name:20} {', '.join(f'{size}x{size}' for size in sizes)}")
        for name in bundled_models():
            print(f"{name:20} {read_bundled_model(name).parameters / 1e9:.3g} billion parameters")
        return 0
    if args.model is None:
        raise InputError("say which network, or list the bundled ones with --list")
    with Console(stderr=True).status(Text(printable(f"reading {args.model}"))):  # shown on a terminal only
        network = _load(args)
        arguments.check_settings(args)
    if args.csv:
        write_text(args.csv, write_csv(network))
    if args.yaml:
        target = args.yaml / f"{file_name(network.name)}.yaml" if args.yaml.is_dir() else args.yaml
        write_text(target, write_yaml(network))
    if args.timeloop:
        _write_problems(network, args.timeloop)
    if args.json:
        print_json("network", network_document(network))
    else:
        print_notes(network.notes)
        print(describe(network, every=args.all, width=table_width()))
    return 0


def _load(args: argparse.Namespace) -> Network:
    if not args.as_published:
        return arguments.network_of(args, args.model)
    if not args.model.endswith((".pkl", ".pickle")):
        raise InputError("--as-published is for the founding study's pickles (.pkl)", file=args.model)
    network = read_study_pickle(Path(args.model), as_published=True)
    network = network if args.batch is None else network.with_batch(args.batch)
    network = (network.renamed(args.rename) if args.rename else network).with_bits(args.bits)
    return with_densities(network, args.densities)


def _write_problems(network: Network, folder: Path) -> None:
    """Write one Timeloop problem per distinct layer, and an index of how often each occurs."""
    distinct = network.distinct()
    digits = len(str(len(distinct)))
    names = [f"{number:0{digits}}_{file_name(layer.name)}" for number, layer in enumerate(distinct, start=1)]
    index = ["name,repeats", *(f"{name},{layer.repeats}" for name, layer in zip(names, distinct, strict=True))]
    write_text(folder / "index.csv", "\n".join(index) + "\n")  # first: what an interruption leaves out is missed
    for name, layer in zip(names, distinct, strict=True):
        modules = " ".join(layer.modules)
        header = f"# {network.name}: {layer.kind}, occurs {layer.repeats} x: {modules}".replace("\n", " ")
        write_text(folder / f"{name}.yaml", f"{header}\n{write_problem(layer.problem)}")
