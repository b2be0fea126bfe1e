"""The networks of the founding study: as it mapped them, mistakes included, and as they are."""

from __future__ import annotations

from dataclasses import replace

from dovetail.hardware.architecture import Architecture, Spatial
from dovetail.study.published import alexnet_layers
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution


def as_published(network: Network) -> Network:
    """Return a network as the study's exporter and workload builder mapped it.

    Its exporter stored output sizes and its builder divided them by the stride once more; groups were dropped, so
    that grouped convolutions became dense; layers other than convolutions were not exported. Padding is taken to be
    half the kernel, as in all its networks.
    """
    layers = (_as_published(layer) for layer in network.layers if "convolution" in layer.kind)
    return replace(network, layers=tuple(layers), edges=(), source=f"{network.source}, as the founding study mapped it")


def _as_published(layer: Layer) -> Layer:
    problem = layer.problem
    stride = dict(zip(problem.shape.coefficients, problem.coefficients, strict=True))
    groups = problem.bound("G") if "G" in problem.shape.dimensions else 1
    changed = convolution(
        C=problem.bound("C") * groups,
        M=problem.bound("M") * groups,
        P=_divided_again(problem.bound("P"), problem.bound("R"), stride["Wstride"]),
        Q=_divided_again(problem.bound("Q"), problem.bound("S"), stride["Hstride"]),
        R=problem.bound("R"),
        S=problem.bound("S"),
        N=problem.bound("N"),
        stride=(stride["Wstride"], stride["Hstride"]),
        name=problem.name,
    )
    return replace(layer, problem=changed, kind="convolution")


def _divided_again(outputs: int, kernel: int, stride: int) -> int:
    """Return the outputs of a convolution whose input is its output."""
    return (outputs - kernel + 2 * ((kernel - 1) // 2)) // stride + 1


def alexnet(batch: int, *, as_it_was: bool) -> Network:
    """Return AlexNet with the study's names of layers.

    Args:
        batch: batch size.
        as_it_was: the network that the study used at this batch size (the ungrouped original at 1, the model zoo's
            variant at 16); otherwise the ungrouped original at any.
    """
    zoo = as_it_was and batch != 1
    network = load_network("alexnet" if zoo else "alexnet_original", batch=batch)
    layers = zip(network.layers, alexnet_layers(), strict=True)
    renamed = tuple(replace(layer, name=name, problem=replace(layer.problem, name=name)) for layer, name in layers)
    return replace(network, layers=renamed)


def narrowed(network: Network, width: float, divisor: int = 8) -> Network:
    """Return a network with its channels multiplied and rounded to a multiple, as the study shrank them.

    Image channels and classes stay. The rounding is the model zoos' usual one: to the nearest multiple, one more where
    that would lose over 10 %.
    """
    if width == 1:
        return network
    last = network.layers[-1]
    layers = (
        replace(layer, problem=_narrowed(layer.problem, width, divisor, layer is last)) for layer in network.layers
    )
    return replace(network, name=f"{network.name} x {width:g}", layers=tuple(layers))


def _narrowed(problem: Problem, width: float, divisor: int, is_last: bool) -> Problem:
    bounds = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    for name in ("C", "M"):
        if not (name == "C" and bounds[name] == 3) and not (name == "M" and is_last):
            bounds[name] = rounded_channels(bounds[name] * width, divisor)
    return replace(problem, bounds=tuple(bounds.values()))


def rounded_channels(channels: float, divisor: int = 8) -> int:
    """Return a channel count rounded to a multiple, never more than 10 % below."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def both_axes(architecture: Architecture) -> Architecture:
    """Return a design with the ``split`` of its fan-outs lifted, so that allowed dimensions may lie on either axis.

    The study's two simple designs count dimensions of factor 1 in their split: everything lands on Y, and 16 of 256
    elements work.
    """
    levels = tuple(
        replace(level, constraints=replace(level.constraints, spatial=replace(level.constraints.spatial, split=None)))
        if isinstance(level, Spatial)
        else level
        for level in architecture.levels
    )
    return replace(architecture, name=f"{architecture.name}, both axes", levels=levels)
