"""Loads networks and single layers from wherever a word points: bundled tables, files of every kind, models by name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dovetail.document import Scalar, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.workload.layer_table import bundled_names, read_bundled, read_csv, read_yaml
from dovetail.workload.network import Network
from dovetail.workload.problem import Problem
from dovetail.workload.problem_network import network_of_problem, read_folder
from dovetail.workload.problem_yaml import problem_folders, problem_of_document
from dovetail.workload.roles import renamed
from dovetail.workload.scale_sim import is_scale_sim, read_scale_sim
from dovetail.workload.study_pickle import read_study_pickle


def load_network(
    spec: str,
    *,
    batch: int | None = None,
    input_size: int | None = None,
    rename: Mapping[str, str] | None = None,
    variables: Mapping[str, Scalar] | None = None,
) -> Network:
    """Load a network from wherever `spec` points.

    Args:
        spec: a bundled table's name (``resnet18``; ``resnet18@32`` is the 32x32, 10-class one); a file: layer table
            (``.csv``, ``.yaml``), Timeloop problem (``.yaml``) or a folder of them, ``.onnx``, exported program
            (``.pt2``); a torchvision or timm model's name; or ``package.module:factory``.
        batch: batch size; None takes a file's own, and 1 for a name.
        input_size: rows and columns of the input image, 224 or 32 for bundled tables, any for a model that is traced.
        rename: new names of dimensions and tensors, by their old ones; see `Network.renamed`.
        variables: values of names that the sizes of Timeloop problems use.

    Raises:
        InputError: when nothing answers to the name, or the file is wrong.
        MissingExtraError: when the source needs torch or onnx and they are absent.
    """
    if batch is not None and batch < 1:
        raise InputError(f"batch is {batch}; it must be at least 1")
    network = (
        _from_file(spec, batch, input_size, variables) if _is_file(spec) else _from_name(spec, batch or 1, input_size)
    )
    network = network if batch is None else network.with_batch(batch)
    return network.renamed(rename) if rename else network


def load_layer(
    spec: str,
    *,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
    variables: Mapping[str, Scalar] | None = None,
) -> Problem:
    """Load one problem: ``network:layer`` (by name, or row of ``dovetail layers``), or a Timeloop problem YAML's path.

    ``network`` is anything that `load_network` takes; ``rename`` gives dimensions and tensors new names, and
    ``variables`` are values of names that the sizes of Timeloop problems use.
    """
    problem = _load_layer(spec, batch, variables)
    return renamed(problem, rename) if rename else problem


def _load_layer(spec: str, batch: int | None, variables: Mapping[str, Scalar] | None) -> Problem:
    network, colon, layer = spec.rpartition(":")
    if ":" in network and re.fullmatch("[0-9]+", layer):  # a layer may be called matmul:2, a network module:factory
        shorter, _, name = network.rpartition(":")
        with contextlib.suppress(InputError):
            found = load_network(shorter, batch=batch, variables=variables).layer(f"{name}:{layer}")
            return replace(found.problem, name=found.name)
    if not colon or os.path.exists(spec):  # noqa: PTH110 - never raises
        layers = load_network(spec, batch=batch, variables=variables).distinct()
        if len(layers) == 1:
            return layers[0].problem
        raise InputError(
            f"'{spec}' has {len(layers)} different layers: write NETWORK:LAYER, such as {spec}:{layers[0].name}"
        )
    found = load_network(network, batch=batch, variables=variables).layer(layer)
    return replace(found.problem, name=found.name)


_FILE_SUFFIXES = (".yaml", ".yml", ".csv", ".onnx", ".pt2", ".pkl", ".pickle")


def _is_file(spec: str) -> bool:
    return spec.endswith(_FILE_SUFFIXES) or "/" in spec


def _from_file(spec: str, batch: int | None, input_size: int | None, variables: Mapping[str, Scalar] | None) -> Network:
    path = Path(spec)
    if not path.exists():
        raise InputError("no such file", file=path)
    if path.suffix == ".onnx":
        from dovetail.workload.onnx_import import read_onnx  # onnx is an extra

        return read_onnx(path, batch=batch, input_size=input_size)
    if path.suffix == ".pt2":
        from dovetail.workload.torch_export import read_exported  # torch is an extra

        return read_exported(path, batch=batch)
    return read_network(path, variables)


def read_network(path: Path, variables: Mapping[str, Scalar] | None = None) -> Network:
    """Read a network from a layer table, a pickle of the founding study, a Timeloop problem, or a folder of them.

    Raises:
        InputError: with file, line and key.
    """
    if path.is_dir():
        return read_folder(path, variables)
    if path.suffix == ".csv":
        text = read_text(path)
        read = read_scale_sim if is_scale_sim(text) else read_csv
        return read(text, file=path, name=path.stem)
    if path.suffix in (".pkl", ".pickle"):
        return read_study_pickle(path)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError("a network file ends in .yaml, .csv, .onnx, .pt2 or .pkl", file=path)
    document = read_document(path, include_folders=problem_folders(path))
    if "problem" not in document.mapping():
        return read_yaml(document, name=path.stem)
    return network_of_problem(problem_of_document(document, path.stem, variables), path)


def _from_name(spec: str, batch: int, input_size: int | None) -> Network:
    name, _, size = spec.partition("@")
    if size:
        if not re.fullmatch("[0-9]{1,6}", size) or (input_size is not None and int(size) != input_size):
            raise InputError(f"'{spec}': write the input size as a number behind the @, such as {name}@32")
        input_size = int(size)
    bundled = bundled_names()
    if name in bundled and input_size in bundled[name]:
        return read_bundled(name, input_size)
    if name in bundled and input_size is None:
        return read_bundled(name, bundled[name][0])
    from dovetail.workload.torch_models import trace_by_name  # torch is an extra

    return trace_by_name(name, batch=batch, input_size=input_size, bundled=bundled)
