"""Arguments that several commands share, and the values they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Commands declare their options with this module.
from dovetail.cli.hardware import add_hardware as add_hardware
from dovetail.cli.hardware import add_settings as add_settings
from dovetail.cli.hardware import add_values as add_values
from dovetail.cli.hardware import check_settings as check_settings
from dovetail.cli.hardware import hardware_of as hardware_of
from dovetail.cli.hardware import load_hardware as load_hardware
from dovetail.cli.hardware import setting as setting
from dovetail.cli.numbers import gigabytes as gigabytes
from dovetail.cli.numbers import number_above_0 as number_above_0
from dovetail.cli.numbers import positive as positive
from dovetail.cli.numbers import seconds as seconds
from dovetail.cli.numbers import seed as seed
from dovetail.cli.samples import image_densities
from dovetail.cluster import cluster_address
from dovetail.document import Scalar
from dovetail.document_file import read_document
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.contents import evaluated_variables
from dovetail.hardware.design_files import SUFFIXES
from dovetail.hardware.reader import bundled_designs
from dovetail.mapper.allowance import MEMORY, Allowance, Limit
from dovetail.mapper.certificate_file import MOST_SAMPLES
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import SearchFunction
from dovetail.network.between import Between
from dovetail.network.jobs import Sampled, odd_search
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
        metavar="ADDRESS",
        help="map on the workers of a cluster instead: dask://HOST:PORT of a scheduler, ray://HOST:PORT of a head",
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


_OF_ALL_TENSORS = (
    "bits of values, as weights=4,inputs=8,outputs=16,sums=24, or 8 for all; LAYER:weights=8 for some layers, "
    "or a CSV or YAML file of layers and their bits; may be repeated, the last one stands (the design's words)"
)


def add_bits(parser: Any, words: str = _OF_ALL_TENSORS) -> None:
    """Declare widths of values, as ``args.bits``: of all layers, or of some; ``words``: its help."""
    parser.add_argument("--bits", type=bits, action="extend", default=[], metavar="TENSOR=N,...", help=words)


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


def search_of(args: argparse.Namespace) -> SearchFunction | None:
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
        type=between,
        metavar="|".join(Between),
        help="also count what lies between products (norms, activations, softmax, additions, pooling, look-ups) on the "
        "design's vector unit: after the products, or beside them (it costs nothing)",
    )


def between(text: str) -> Between:
    """Return how what lies between products is counted; for ``type=``."""
    if text not in list(Between):
        raise argparse.ArgumentTypeError(f"no rule '{text}'{did_you_mean(text, Between)}")
    return Between(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare the switch for machines."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def varied(text: str) -> tuple[str, str]:
    """Read what varies in a family: a name, and its values."""
    name, sign, values = text.partition("=")
    if not sign or not name or not values:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NODE.KEY=VALUES")
    return name, values


def add_vary(parser: Any) -> None:
    """Declare what varies in a family besides what its files say, read by `varied_of`."""
    parser.add_argument(
        "--vary",
        type=varied,
        action="append",
        default=[],
        metavar="NODE.KEY=VALUES",
        help="vary a value: 8,12,16 or LOW:HIGH:STEP, the step a number or xN; as shared_glb.depth=4096:65536:x2",
    )


def varied_of(args: argparse.Namespace) -> dict[str, str]:
    """Return the values of what varies, by name; raises InputError where a name is given twice."""
    vary = dict(args.vary)
    if len(vary) != len(args.vary):
        raise InputError("--vary names one thing twice")
    return vary
