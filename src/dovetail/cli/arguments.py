"""Arguments that several commands share, and the values they stand for."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail import inputs
from dovetail.cli.numbers import gigabytes as gigabytes
from dovetail.cli.numbers import number_above_0 as number_above_0  # commands declare their options with this module
from dovetail.cli.numbers import positive as positive
from dovetail.cli.numbers import seconds as seconds
from dovetail.cli.numbers import seed as seed
from dovetail.cli.outputs import file_path
from dovetail.cli.samples import image_densities
from dovetail.cluster import cluster_address
from dovetail.components.accelergy_tables import read_energy_table, require_actions
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import Node, Scalar, parse_document
from dovetail.document_file import read_document
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.attribute_list import ATTRIBUTES
from dovetail.hardware.contents import evaluated_variables
from dovetail.hardware.design_files import SUFFIXES
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.allowance import MEMORY, Allowance, Limit
from dovetail.mapper.certificate_file import MOST_SAMPLES
from dovetail.mapper.objective import Objective
from dovetail.network.between import Between
from dovetail.network.jobs import Imperfect, Padded, Sampled, odd_search
from dovetail.store import cache_folder
from dovetail.text import shown
from dovetail.workload.bits_file import read_bits
from dovetail.workload.inputs import NetworkInput, parse_input
from dovetail.workload.language.experts import Routing
from dovetail.workload.language.layers import PHASES, Asked
from dovetail.workload.layer_densities import LayerDensities, read_densities
from dovetail.workload.loading import load_network, load_network_or_layer
from dovetail.workload.network import Network
from dovetail.workload.roles import parse_renaming
from dovetail.workload.widths import LayerBits

#: What ``--set`` may give a value to though no file says it: the readers look for it all the same.
_UNSAID = frozenset(("technology", "global_cycle_seconds", *(name for each in ATTRIBUTES for name in each.names)))


def add_layer(parser: argparse.ArgumentParser) -> None:
    """Declare the layer, as the words ``args.layer``, and its batch size; `dovetail.cli.given` sorts the words."""
    parser.add_argument(
        "layer",
        nargs="+",
        metavar="LAYER",
        help="a problem YAML, or NETWORK:LAYER with the layer's name or its row in `dovetail layers`, as resnet18:5; "
        "without --on, the design's files beside it, in any order",
    )
    add_model(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare where layers are mapped, as ``args.workers``: `dovetail.executors.Workers`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, metavar="N", help="processes (one per CPU)")
    where.add_argument(
        "--cluster",
        dest="workers",
        type=_cluster,
        metavar="dask://HOST:PORT",
        help="map on the workers of this Dask scheduler instead",
    )


def _cluster(text: str) -> str:
    try:
        return cluster_address(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Declare the networks, as ``args.networks``, and what they are given."""
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help=NETWORK)
    add_model(parser)


#: What a network may be, in a command's help.
NETWORK = (
    "a bundled network (`dovetail layers --list`), a file (.yaml, .csv, .onnx, .pt2, .pkl, a language model's "
    "config.json), a folder of problems, a torchvision or timm model, or your own as package.module:factory or "
    "file.py:Class"
)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare what a network, or the network of a layer, is given, and how its words are read."""
    add_batch(parser)
    parser.add_argument(
        "--input",
        type=network_input,
        action="append",
        default=[],
        dest="inputs",
        metavar="[NAME=]SHAPE[:KIND]",
        help="what the network is given, as 1x3x48x320 or input_ids=1x128:int64, or an ONNX file's open axis by its "
        "name, as sequence=128; the first axis is the batch (may be repeated)",
    )
    parser.add_argument(
        "--input-size", type=positive, metavar="PIXELS", help="rows and columns of a square image, instead of --input"
    )
    add_asked(parser)
    add_rename(parser)
    add_bits(parser)
    add_densities(parser)


def add_densities(parser: argparse.ArgumentParser) -> None:
    """Declare where zeros are, as ``args.densities``: in all layers, or in some."""
    parser.add_argument(
        "--densities",
        type=densities,
        action="extend",
        default=[],
        metavar="TENSOR=D,...",
        help="shares of values that are not zero, as inputs=0.5,weights=2:4 (at random places; 2 of every 4), "
        "LAYER:inputs=0.5 for some layers, a CSV file of layers (layer,weights,inputs,outputs), 'published', or what "
        "to measure them on, for a PyTorch network with its weights: a .npy file of inputs, digits, cluttered-digits, "
        "cifar10, a folder of images; may be repeated, the last stands",
    )


def densities(text: str) -> tuple[LayerDensities, ...]:
    """Return densities by layer; for ``type=``."""
    try:
        return image_densities(text) or read_densities(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_bits(parser: argparse.ArgumentParser) -> None:
    """Declare widths of values, as ``args.bits``: of all layers, or of some."""
    parser.add_argument(
        "--bits",
        type=bits,
        action="extend",
        default=[],
        metavar="TENSOR=N,...",
        help="bits of values, as weights=4,inputs=8,outputs=16,sums=24, or 8 for all; LAYER:weights=8 for some layers, "
        "or a CSV or YAML file of layers and their bits; may be repeated, the last one stands (the design's words)",
    )


def bits(text: str) -> tuple[LayerBits, ...]:
    """Return widths by layer; for ``type=``."""
    try:
        return read_bits(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_asked(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked of a language model."""
    parser.add_argument(
        "--phase", choices=PHASES, help="of a language model: a prompt, or one more token a sequence (decode)"
    )
    parser.add_argument("--tokens", type=positive, metavar="N", help="tokens of a language model's prompt (2048)")
    parser.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="positions that a decode step attends to, its own included (2048); that a prompt finds in the cache (0)",
    )
    add_expert_load(parser)


def add_expert_load(parser: argparse.ArgumentParser) -> None:
    """Declare how a mixture's experts are loaded."""
    parser.add_argument(
        "--expert-load",
        choices=("even", "random"),
        default="even",
        help="tokens of the experts that get any: as many each (even), or spread as chance has it",
    )
    parser.add_argument(
        "--expert-shares",
        type=Path,
        metavar="FILE",
        help="how often each expert is taken, relative to the others: a YAML or JSON list of numbers (all as often)",
    )


def routing_of(args: argparse.Namespace) -> Routing | None:
    """Return how experts are loaded; None as usual."""
    if args.expert_load == "even" and args.expert_shares is None:
        return None
    shares = None
    if args.expert_shares is not None:
        shares = tuple(float(each.number(minimum=0)) for each in read_document(args.expert_shares).sequence())
    return Routing(shares, args.expert_load == "random")


def network_of(args: argparse.Namespace, name: str, design: Sequence[str] = ()) -> Network:
    """Return a network with what `add_model` and `add_values` declare.

    Args:
        args: what they declare.
        name: of the network.
        design: the words of the design that it is for, whose variables sizes in problem files may use.
    """
    model = model_of(args)
    if design and _reads_variables(name):
        model["variables"] = variables_of(args, design)
    return load_network(name, **model)


def networks_on(args: argparse.Namespace, names: Sequence[str], designs: Sequence[str]) -> list[list[Network]]:
    """Return for each network what it is on each design; one object where designs say the same of their variables."""
    found: list[list[Network]] = []
    for name in names:
        known: dict[str, Network] = {}
        said = [
            repr(sorted(variables_of(args, [design]).items())) if _reads_variables(name) else "" for design in designs
        ]
        for design, values in zip(designs, said, strict=True):
            if values not in known:
                known[values] = network_of(args, name, [design])
        found.append([known[values] for values in said])
    return found


def variables_of(args: argparse.Namespace, design: Sequence[str]) -> dict[str, Scalar]:
    """Return what sizes of problems may use: a design's own variables, and what `--set` gives above them."""
    given = dict(args.set)
    files = [Path(word) for word in design if word not in bundled_designs()]
    return {**evaluated_variables(files, args.include, given), **given} if files else given


def _reads_variables(name: str) -> bool:
    """Say whether a network may be a file of problems, one layer of it, or a folder of such."""
    files = (Path(name), Path(name.rpartition(":")[0]))
    return any(file.suffix in SUFFIXES for file in files) or Path(name).is_dir()


def network_or_layer_of(args: argparse.Namespace, name: str, design: Sequence[str] = ()) -> Network:
    """Return a network, or one of a single layer where the word names a layer; ``design`` as `network_of` has it."""
    model = model_of(args)
    if design and _reads_variables(name):
        model["variables"] = variables_of(args, design)
    return load_network_or_layer(name, **model)


def model_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_model` and `add_settings` declare, as `load_network` and `load_layer` take it."""
    given = {"batch": args.batch, "input_size": args.input_size, "inputs": args.inputs}
    given["asked"] = Asked(args.phase, args.tokens, args.context, routing_of(args))
    given |= {"rename": args.rename, "bits": args.bits, "densities": args.densities}
    return {**given, "variables": dict(args.set), "include_folders": args.include}


def network_input(text: str) -> NetworkInput:
    """Return one input of a network; for ``type=``."""
    try:
        return parse_input(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def add_rename(parser: argparse.ArgumentParser) -> None:
    """Declare the new names of dimensions and tensors."""
    parser.add_argument(
        "--rename",
        type=renaming,
        metavar="OLD=NEW,...",
        help="call dimensions and tensors otherwise, in the design's words, as K=C,N=M,B=Weights",
    )


def renaming(text: str) -> dict[str, str]:
    """Return new names by old ones; for ``type=``."""
    try:
        return parse_renaming(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Declare the batch size."""
    parser.add_argument("--batch", type=positive, metavar="N", help="batch size (a file's own, else 1)")


def add_hardware(parser: argparse.ArgumentParser, *, several: bool = False, beside_layer: bool = False) -> None:
    """Declare the architecture, or several, and the energy tables; it may stand among the words of a layer instead."""
    parser.add_argument(
        "--on",
        required=not beside_layer,
        metavar="DESIGN",
        nargs="+",
        action="extend",
        help="designs: each a bundled one's name, a file in Timeloop's form, or a folder of such files"
        if several
        else "a bundled design's name, or its files in Timeloop's form (architecture, components, constraints, "
        "variables, in any split) and folders of such",
    )
    add_settings(parser)
    parser.add_argument("--ert", type=file_path, metavar="FILE", help="energies per action, as Accelergy writes them")
    parser.add_argument(
        "--art", type=file_path, metavar="FILE", help="areas, as Accelergy writes them; goes with --ert"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare what a design's files may read and the values of their variables."""
    parser.add_argument(
        "--include",
        type=file_path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="let includes also read this folder",
    )
    add_values(parser)


def add_values(parser: argparse.ArgumentParser) -> None:
    """Declare values of variables, as ``args.set``: pairs of name and value."""
    parser.add_argument(
        "--set",
        type=setting,
        action=_Settings,
        default=(),
        metavar="NAME=VALUE",
        help="the value of a variable of the files, or of a template variable",
    )


class _Settings(argparse.Action):
    """Collects values of variables, each of which may be given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if values[0] in dict(before):
            raise argparse.ArgumentError(self, f"'{values[0]}' is given twice")
        setattr(namespace, self.dest, (*before, values))


def check_settings(args: argparse.Namespace) -> None:
    """Check that every name that ``--set`` gives a value is known, once all files have been read, before the work.

    Raises:
        InputError: none of the files has the name, and it is no attribute that is read without being said.
    """
    known = inputs.names() | _UNSAID if args.set else frozenset[str]()
    for name, _ in args.set:
        if name not in known:
            near = [f", did you mean '{word}'?" for word in difflib.get_close_matches(name, known, n=1)]
            raise InputError(f"--set {name}: no file that was read has this name{''.join(near)}")


def setting(text: str) -> tuple[str, Scalar]:
    """Return a variable's name and value; for ``type=``."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=VALUE")
    try:
        found = parse_document(value, file=name).value
    except InputError:
        found = value
    return name, found if isinstance(found, bool | int | float) else value


def add_limits(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, meaning: str, default: float | None = None
) -> None:
    """Declare what one search may take; ``meaning``: of the seconds, of which there are so many by default."""
    parser.add_argument("--time-limit", type=seconds, default=default, metavar="S", help=meaning)
    parser.add_argument(
        "--work", type=positive, metavar="N", help="end a search after N steps of work, the same on every machine"
    )
    parser.add_argument(
        "--memory", type=gigabytes, default=MEMORY, metavar="GB", help=f"that a search may take ({MEMORY / 1e9:g})"
    )


def limit_of(args: argparse.Namespace, default: float | None = None) -> Limit:
    """Return what one search may take; seconds by default as given."""
    wanted = default if args.time_limit is None else args.time_limit
    return wanted if args.work is None and args.memory == MEMORY else Allowance(wanted, args.work, args.memory)


def add_objective(parser: argparse.ArgumentParser) -> None:
    """Declare what a search minimises."""
    parser.add_argument(
        "--objective",
        type=objective,
        default=Objective.EDP,
        metavar="|".join(Objective),
        help="what to minimise (edp)",
    )


def objective(text: str) -> Objective:
    """Return what to minimise; for ``type=``."""
    if text not in list(Objective):
        raise argparse.ArgumentTypeError(f"no objective '{text}'{did_you_mean(text, Objective)}")
    return Objective(text)


def add_samples(parser: argparse.ArgumentParser) -> None:
    """Declare the random search that may stand in for the exact one."""
    parser.add_argument("--samples", type=_samples, metavar="N", help="take the best of N random mappings instead")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of the random mappings (0)")


def add_odd_sizes(parser: argparse._ActionsContainer) -> None:
    """Declare what may be done where sizes do not divide."""
    parser.add_argument("--imperfect", action="store_true", help="also try factors that do not divide the dimensions")
    parser.add_argument(
        "--pad",
        action="store_true",
        help="also try to pad dimensions to sizes that divide better; says what that wastes",
    )


def _samples(text: str) -> int:
    value = positive(text)
    if value > MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"{shown(text)} is too many: at most {MOST_SAMPLES} random mappings are drawn")
    return value


def search_of(args: argparse.Namespace) -> Sampled | Imperfect | Padded | None:
    """Return the search that was asked for instead of the exact one; None where that is wanted."""
    samples = getattr(args, "samples", None)
    asked = getattr(args, "imperfect", False), getattr(args, "pad", False)  # not every command declares them
    odd = odd_search(imperfect=asked[0], pad=asked[1], others=bool(samples))
    return Sampled(samples, args.seed) if samples else odd


def kept_in_store(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when a command that maps networks ends early; a command's ``kept``."""
    if cache_folder() is None or search_of(args) is not None:
        return ""
    return "layers that are done are in the store, the same command goes on from there"


def searches_kept(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when a command that searches one layer several times ends early."""
    return "searches that are done are in the store, the same command goes on from there" if kept_in_store(args) else ""


def add_between(parser: argparse.ArgumentParser) -> None:
    """Declare whether, and how, what lies between products is counted."""
    parser.add_argument(
        "--between",
        type=Between,
        choices=tuple(Between),
        metavar="|".join(Between),
        help="also count what lies between products (norms, activations, softmax, additions, pooling, look-ups) on the "
        "design's vector unit: after the products, or beside them (it costs nothing)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare the switch for machines."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def hardware_of(args: argparse.Namespace) -> tuple[Architecture, EnergyTable]:
    """Return the architecture that ``--on`` names and its energies."""
    return load_hardware(args.on, args)


def load_hardware(design: str | Sequence[str], args: argparse.Namespace) -> tuple[Architecture, EnergyTable]:
    """Return an architecture and its energies: from an ERT (and ART) where given, else estimated.

    Args:
        design: a bundled design, a file, a folder, or several of these that make one design.
        args: what `add_hardware` declares.

    Raises:
        InputError: a file is wrong, or the ERT lacks something that the architecture needs.
    """
    ert, art = args.ert, getattr(args, "art", None)
    if art is not None and ert is None:
        raise InputError("--art needs --ert: areas without energies are of no use here")
    architecture = load_architecture(design, include_folders=args.include, data=dict(args.set))
    if ert is None:
        return architecture, estimate(architecture)
    energies = read_energy_table(ert, art, architecture)
    _check_complete(energies, architecture, ert)
    return architecture, energies


def _check_complete(energies: EnergyTable, architecture: Architecture, file: Path) -> None:
    """Check that a table read from a file has every action of every level, before anything is computed."""
    try:
        require_actions(energies, architecture, file)
    except InputError as error:
        level = error.key or ""
        message = error.message if level in error.message else f"{level}: {error.message}"
        raise _place(read_document(file), level).fail(message) from None


def _place(document: Node, level: str) -> Node:
    """Return where a table speaks of a level; the whole of its tables when it does not."""
    entries = document.mapping()
    tables = (
        entries["ERT"].mapping()["tables"] if "ERT" in entries else entries["ERT_summary"].mapping()["table_summary"]
    )
    named = tables.mapping() if isinstance(tables.value, dict) else {}
    for node in () if named else tables.sequence():
        named = {**named, str(node.mapping()["name"].value): node}
    for name, node in named.items():
        if name.split(".")[-1].split("[")[0] == level:
            return node
    return tables
