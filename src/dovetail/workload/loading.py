"""Loads networks and single layers from wherever a word points: bundled tables, files of every kind, models by name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dovetail import inputs
from dovetail.document import Scalar, not_a_file, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.workload.inputs import NetworkInput, check_names, image_size
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.model import LanguageModel
from dovetail.workload.language.reader import bundled_models, is_model_file, read_bundled_model, read_model
from dovetail.workload.layer_densities import LayerDensities, with_densities
from dovetail.workload.layer_table import bundled_names, read_bundled, read_csv, read_yaml
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem
from dovetail.workload.problem_network import network_of_problem, read_folder
from dovetail.workload.problem_yaml import problem_folders, problem_of_document
from dovetail.workload.roles import renamed
from dovetail.workload.scale_sim import is_scale_sim, read_scale_sim
from dovetail.workload.study_pickle import read_study_pickle
from dovetail.workload.widths import LayerBits, is_meant
from dovetail.workload.zigzag import is_zigzag, read_zigzag


def load_network(
    spec: str,
    *,
    batch: int | None = None,
    input_size: int | None = None,
    inputs: Sequence[NetworkInput] = (),
    asked: Asked | None = None,
    rename: Mapping[str, str] | None = None,
    bits: Sequence[LayerBits] = (),
    densities: Sequence[LayerDensities] = (),
    variables: Mapping[str, Scalar] | None = None,
    include_folders: Sequence[Path] = (),
) -> Network:
    """Load a network from wherever `spec` points.

    Args:
        spec: a bundled table's name (``resnet18``; ``resnet18@32`` is the 32x32, 10-class one) or a bundled language
            model's (``llama3-8b``); a file: layer table (``.csv``, ``.yaml``), Timeloop problem (``.yaml``) or a
            folder of them, ``.onnx``, exported program (``.pt2``), a language model's ``config.json`` or its folder;
            a torchvision or timm model's name; or ``package.module:factory``, where a class does as well as a
            function, and ``file.py`` as well as a module.
        batch: batch size; None takes a file's own, and 1 for a name.
        input_size: rows and columns of the input image, 224 or 32 for bundled tables, any for a model that is traced.
        inputs: what the network is given, where that is no square image: of a model that is traced, or of an ONNX
            file whose inputs leave sizes open. The first one's first axis is the batch.
        asked: of a language model: which phase, of how many tokens.
        rename: new names of dimensions and tensors, by their old ones; see `Network.renamed`.
        variables: values of names that the sizes of Timeloop problems use, and of their files' template variables.
        include_folders: folders besides the files' own that includes of Timeloop problems may read.
        bits: widths of values, after renaming; see `Network.with_bits`.
        densities: where zeros are, after renaming; see `dovetail.workload.layer_densities.with_densities`.

    Raises:
        InputError: when nothing answers to the name, or the file is wrong.
        MissingExtraError: when the source needs torch or onnx and they are absent.
    """
    if batch is not None and batch < 1:
        raise InputError(f"batch is {batch}; it must be at least 1")
    model = language_model(spec)
    if model is not None:
        if inputs or input_size is not None:
            raise InputError(f"{model.name} is given by --batch, --tokens and --context, not by --input")
        network = network_of(model, step_of(model, asked or Asked(), batch or 1))
        return _said(network, rename, bits, densities, spec)
    if asked is not None and asked != Asked():
        raise InputError(
            f"{spec} is no language model by name or configuration: --phase, --tokens, --context and --expert-load are "
            "for those; what a model that is traced is given says --input"
        )
    given = _Given(batch, input_size, tuple(inputs))
    network = (
        _from_file(spec, given, variables, include_folders) if _is_file(spec) else _from_name(spec, given, variables)
    )
    network = network if given.batch is None else network.with_batch(given.batch)
    return _said(network, rename, bits, densities, spec)


def language_model(spec: str) -> LanguageModel | None:
    """Return the language model that a bundled name, a ``config.json`` or its folder stands for; None: it is none.

    Raises:
        InputError: with file, line and key, when the configuration is wrong.
    """
    if spec in bundled_models():
        return read_bundled_model(spec)
    path = Path(spec)
    if not _is_file(spec) or not is_model_file(path):
        return None
    return read_model(path)


@dataclass(frozen=True)
class _Given:
    """What is said of a network's input.

    Attributes:
        batch: batch size; None: as the network has it.
        input_size: rows and columns of the image; None likewise.
        inputs: every input; empty likewise.
    """

    batch: int | None
    input_size: int | None
    inputs: tuple[NetworkInput, ...]

    def __post_init__(self) -> None:
        """Check that nothing is said twice."""
        check_names(self.inputs)
        if self.inputs and self.input_size is not None:
            raise InputError("--input says how large the image is: leave out --input-size, or the other way round")


def load_layer(
    spec: str,
    *,
    batch: int | None = None,
    input_size: int | None = None,
    inputs: Sequence[NetworkInput] = (),
    asked: Asked | None = None,
    rename: Mapping[str, str] | None = None,
    bits: Sequence[LayerBits] = (),
    densities: Sequence[LayerDensities] = (),
    variables: Mapping[str, Scalar] | None = None,
    include_folders: Sequence[Path] = (),
) -> Problem:
    """Load one problem: ``network:layer`` (by name, or row of ``dovetail layers``), or a Timeloop problem YAML's path.

    ``network`` is anything that `load_network` takes, and so is all else; ``rename`` gives dimensions and tensors new
    names, ``bits`` gives values their widths, ``densities`` says where zeros are, ``variables`` are values of names
    that the sizes of Timeloop problems use, and of their templates, and ``include_folders`` are folders besides the
    files' own that these may include from.
    """

    def load(network: str) -> Network:
        return load_network(
            network,
            batch=batch,
            input_size=input_size,
            inputs=inputs,
            asked=asked,
            densities=[each for each in densities if each.of_network],
            variables=variables,
            include_folders=include_folders,
        )

    problem = _load_layer(spec, load)[0].problem
    problem = renamed(problem, rename) if rename else problem
    return _said_of_one(Network(problem.name, (Layer(problem.name, problem),)), bits, densities).layers[0].problem


def _said(
    network: Network,
    rename: Mapping[str, str] | None,
    bits: Sequence[LayerBits],
    densities: Sequence[LayerDensities],
    spec: str,
) -> Network:
    """Return a network with what is said of it: densities of all of it, other names, widths and densities in these."""
    for each in (each for each in densities if each.of_network):
        if each.data is None:
            network = with_densities(network, [each])
            continue
        from dovetail.workload.torch_densities import with_measured  # torch loads only where it is asked for

        network = with_measured(network, spec, each.data)
    network = (network.renamed(rename) if rename else network).with_bits(bits)
    return with_densities(network, [each for each in densities if not each.of_network])


def _said_of_one(alone: Network, bits: Sequence[LayerBits], densities: Sequence[LayerDensities]) -> Network:
    """Give a layer alone its widths and densities; those of several may speak of its network's other layers, too."""
    own = [each for each in densities if not each.of_network]
    for each in own:
        if len(own) == 1 or is_meant(each.layer, alone.layers[0].name, 0, 1):
            alone = with_densities(alone, [each])
    for one in bits:
        if len(bits) == 1 or one.speaks_of(alone.layers[0].name, 0, 1):
            alone = alone.with_bits([one])
    return alone


def load_network_or_layer(spec: str, **options: Any) -> Network:
    """Load a network, or where the word names one layer, as `load_layer` takes it, a network of that layer alone."""
    name, colon, _ = spec.rpartition(":")
    known = name.partition("@")[0] in bundled_names() or name in bundled_models()
    is_network = known or _is_file(name) or is_factory_file(name) or ":" in name
    if not colon or os.path.exists(spec) or is_factory_file(spec) or not is_network:  # noqa: PTH110 - never raises
        return load_network(spec, **options)
    rename, bits, densities = options.pop("rename", None), options.pop("bits", ()), options.pop("densities", ())
    whole = [each for each in densities if each.of_network]
    layer, network = _load_layer(spec, lambda network: load_network(network, densities=whole, **options))
    alone = Network(layer.name, (replace(layer, repeats=1),), batch=network.batch, source=network.source)
    return _said_of_one(alone.renamed(rename) if rename else alone, bits, densities)


def _load_layer(spec: str, load: Callable[[str], Network]) -> tuple[Layer, Network]:
    """Return a layer under its own name, and the network that it is of."""
    name, colon, which = spec.rpartition(":")
    if ":" in name and re.fullmatch("[0-9]+", which):  # a layer may be called matmul:2, a network module:factory
        shorter, _, first = name.rpartition(":")
        with contextlib.suppress(InputError):
            network = load(shorter)
            return _own(network.layer(f"{first}:{which}")), network
    if not colon or os.path.exists(spec) or is_factory_file(spec):  # noqa: PTH110 - never raises
        network = load(spec)
        layers = network.distinct()
        if len(layers) == 1:
            return layers[0], network
        raise InputError(
            f"'{spec}' has {len(layers)} different layers: write NETWORK:LAYER, such as {spec}:{layers[0].name}"
        )
    network = load(name)
    return _own(network.layer(which)), network


def _own(layer: Layer) -> Layer:
    return replace(layer, problem=replace(layer.problem, name=layer.name))


_YAML = (".yaml", ".yml", ".jinja", ".jinja2")
_FILE_SUFFIXES = (*_YAML, ".csv", ".onnx", ".pt2", ".pkl", ".pickle", ".json")


def _is_file(spec: str) -> bool:
    return spec.endswith(_FILE_SUFFIXES) or ("/" in spec and not is_factory_file(spec))


def is_factory_file(spec: str) -> bool:
    """Tell whether a word is ``file.py:factory``, whatever the folder."""
    return re.fullmatch(r".*\.py:[^\W\d]\w*", spec) is not None


def _from_file(
    spec: str, given: _Given, variables: Mapping[str, Scalar] | None, include_folders: Sequence[Path]
) -> Network:
    path = Path(spec)
    if not path.is_file() and not path.is_dir():
        raise InputError(not_a_file(path), file=path)
    inputs.reading(path)
    if path.suffix == ".onnx":
        from dovetail.workload.onnx_import import read_onnx  # onnx is an extra

        return read_onnx(path, batch=given.batch, input_size=given.input_size, inputs=given.inputs)
    if given.inputs:
        raise InputError("holds its layers' sizes: --input is for models that are traced, and for ONNX", file=path)
    if path.suffix == ".pt2":
        from dovetail.workload.torch_export import read_exported  # torch is an extra

        return read_exported(path, batch=given.batch)
    return read_network(path, variables, include_folders)


def read_network(
    path: Path, variables: Mapping[str, Scalar] | None = None, include_folders: Sequence[Path] = ()
) -> Network:
    """Read a network from a layer table, a pickle of the founding study, or layers of ZigZag or Timeloop.

    Raises:
        InputError: with file, line and key.
    """
    if path.is_dir():
        return read_folder(path, variables)
    if path.suffix == ".csv":
        text = read_text(path)
        if is_scale_sim(text):
            return read_scale_sim(text, file=path, name=path.stem, variables=variables)
        return read_csv(text, file=path, name=path.stem)
    if path.suffix in (".pkl", ".pickle"):
        return read_study_pickle(path)
    if path.suffix not in _YAML:
        raise InputError("a network file ends in .yaml, .csv, .onnx, .pt2 or .pkl", file=path)
    document = read_document(path, include_folders=problem_folders(path, include_folders), data=variables)
    if is_zigzag(document):
        return read_zigzag(document, name=path.stem)
    if "problem" not in document.mapping():
        return read_yaml(document, name=path.stem)
    name = path.stem.removesuffix(".yaml")  # top.yaml.jinja2
    return network_of_problem(problem_of_document(document, name, variables), path)


def _from_name(spec: str, given: _Given, variables: Mapping[str, Scalar] | None) -> Network:
    name, _, size = spec.partition("@")
    input_size = given.input_size
    if size and not is_factory_file(spec):
        wrong = given.inputs or not re.fullmatch("[1-9][0-9]{0,5}", size) or (input_size not in (None, int(size)))
        if wrong:
            raise InputError(f"'{spec}': write the input size as a number behind the @, such as {name}@32")
        input_size = int(size)
    else:
        name = spec
    bundled = bundled_names()
    if name in bundled:
        table_size = image_size(given.inputs) if given.inputs else input_size or bundled[name][0]
        if table_size in bundled[name]:
            table = read_bundled(name, table_size)
            return table.with_batch(given.inputs[0].shape[0]) if given.inputs else table
    if os.path.isdir(spec):  # noqa: PTH112 - no error where it is too long for a name
        return _from_file(spec, given, variables, ())
    from dovetail.workload.torch_models import trace_by_name  # torch is an extra

    known = (*bundled, *bundled_models())
    return trace_by_name(name, batch=given.batch or 1, input_size=input_size, inputs=given.inputs, bundled=known)
