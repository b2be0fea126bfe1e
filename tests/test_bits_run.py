"""Bits chosen layer by layer: optimal for what was measured, within the target, and the same again after a cut."""

import importlib.util
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")

import dovetail  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.shrink.exact import ExactSearch  # noqa: E402
from dovetail.shrink.space import LayerTable  # noqa: E402


class Knob:
    def __init__(self, options):
        self.options = range(options)


class Space:
    """Any tables over any knobs."""

    def __init__(self, sizes, tables):
        self.knobs = [Knob(size) for size in sizes]
        self.tables = tables


@st.composite
def spaces(draw):
    """Up to five knobs of up to three options, tables over one to three of them, losses of either sign."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    numbers = np.random.RandomState(draw(st.integers(0, 10**6)))
    tables = []
    for _ in range(draw(st.integers(1, 5))):
        knobs = tuple(sorted(draw(st.sets(st.integers(0, len(sizes) - 1), max_size=3))))
        shape = tuple(sizes[knob] for knob in knobs)
        tables.append(LayerTable(knobs, *(numbers.randint(1, 50, size=shape).astype(float) for _ in range(3))))
    losses = [numbers.randint(-2, 20, size=size) / 7 for size in sizes]
    return Space(sizes, tables), losses


@given(spaces(), st.sampled_from(["energy", "cycles", "edp"]), st.floats(0.2, 1.1))
@settings(max_examples=120, deadline=None)
def test_the_choice_within_a_limit_is_the_best_of_all(case, metric, share):
    space, losses = case
    search = ExactSearch(space, metric)
    every = list(product(*(range(size) for size in search.sizes)))
    limit = share * max(map(search.cost, every))
    fitting = [
        sum(each[option] for each, option in zip(losses, choice, strict=True))
        for choice in every
        if search.cost(choice) <= limit
    ]
    found, proven = search.best_within(losses, limit)
    if not fitting:
        assert found is None
        return
    assert proven
    assert search.cost(found) <= limit
    loss = sum(each[option] for each, option in zip(losses, found, strict=True))
    assert loss == pytest.approx(min(fitting), abs=1e-9)


def test_bits_are_chosen_trained_measured_and_cost_what_their_onnx_file_costs(tmp_path):
    pytest.importorskip("brevitas", reason="needs the quant extra")
    from accuracy_toys import SPEC, TINY, squares
    from dovetail.accuracy.evaluation import evaluate
    from dovetail.accuracy.narrowing import of_checkpoint
    from dovetail.accuracy.qdq import export
    from dovetail.accuracy.recipe import QUANTISED
    from dovetail.accuracy.runs import DataRequest
    from dovetail.accuracy.training import train
    from dovetail.bits.run import Request, choose_bits
    from dovetail.components.estimate import estimate
    from dovetail.hardware.reader import load_architecture
    from dovetail.mapper.objective import Objective
    from dovetail.shrink.oracle import CostOracle
    from dovetail.shrink.searches import UnreachableError
    from dovetail.shrink.target import parse_targets
    from dovetail.workload.loading import load_network
    from dovetail.workload.widths import parse_layer_bits

    data = squares()

    class Toys(DataRequest):
        def load(self, report=None, *, check=True):
            return data

    model = train(SPEC, data, replace(TINY, epochs=6), seed=1, test=False).model
    architecture = load_architecture("simple_weight_stationary")
    energies = estimate(architecture)
    request = Request(
        SPEC, model.state_dict(), Toys("squares"), parse_targets(["energy=0.75x"]), tmp_path / "run",
        held=(parse_layer_bits("first:8"),), tried=(8, 2), recipe=replace(QUANTISED, epochs=1, batch_size=24, shift=1),
        finalists=1, reference=False, processes=1,
    )  # fmt: skip
    result = choose_bits(request, CostOracle(architecture, energies, Objective.ENERGY, workers=1))
    (chosen,) = result.networks
    assert chosen.proven
    assert chosen.plan[0].weights == chosen.plan[0].inputs == 8
    assert any(2 in (one.weights, one.inputs) for one in chosen.plan)
    assert chosen.figures.energy_pJ <= 0.75 * result.original.figures.energy_pJ
    narrow = of_checkpoint(SPEC, chosen.plan, chosen.accuracy.best)
    assert evaluate(narrow, data.test) == chosen.accuracy.test[0]
    again = choose_bits(request, CostOracle(architecture, energies, Objective.ENERGY, workers=1))
    assert again.to_json() == result.to_json()
    never = replace(request, targets=parse_targets(["energy=0.001x"]), out=tmp_path / "never")
    with pytest.raises(UnreachableError, match="no choice of bits costs so little; the least is energy="):
        choose_bits(never, CostOracle(architecture, energies, Objective.ENERGY, workers=1))
    assert not (tmp_path / "never" / "measured").exists()  # said before any loss is measured
    kept = dovetail.load(tmp_path / "run" / "result.json")
    assert check(kept, closed=True) == "bits"
    assert kept["networks"][0]["energy_pJ"] == chosen.figures.energy_pJ
    pytest.importorskip("onnx", reason="needs the onnx extra")
    export(narrow, (1, *data.shape), tmp_path / "net.onnx")
    read = load_network(str(tmp_path / "net.onnx"))
    costs = [CostOracle(architecture, energies, Objective.ENERGY, workers=1).of(layer.problem) for layer in read.layers]
    assert sum(energy for energy, _ in costs) == pytest.approx(chosen.figures.energy_pJ, rel=1e-12)


@pytest.mark.parametrize(
    "command",
    [["bits", "five-layer-4", "--on", "eyeriss_like", "--target", "energy=0.9x"], ["accuracy", "five-layer-4"]],
)
def test_that_onnx_is_missing_is_said_before_anything_is_trained(command, monkeypatch, capsys, tmp_path):
    from dovetail.cli.main import main

    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: None if name == "onnx" else known(name, *given)
    )
    monkeypatch.setattr("dovetail.accuracy.runs.DataRequest.load", lambda *_, **__: pytest.fail("data were read"))
    assert main([*command, "--data", "digits", "--onnx", str(tmp_path / "net.onnx")]) == 2
    assert "dovetail-codesign[onnx]" in capsys.readouterr().err
