"""Random mappings obey every constraint, cover the mapspace, and are the same for the same seed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.binding import bind
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.local.sample import CHUNK, random_search, sample
from dovetail.mapper.objective import Objective
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import violations
from dovetail.model.batch import candidate
from dovetail.model.encode import decode_mapping
from dovetail.workload.problem import Problem, convolution, linear
from products import own_product

LAYERS = (
    convolution(C=64, M=64, P=56, Q=56, R=3, S=3, name="conv"),
    convolution(C=3, M=64, P=55, Q=55, R=11, S=11, N=4, stride=(4, 4), name="stem"),
    convolution(C=1, M=1, P=14, Q=14, R=3, S=3, G=96, name="depthwise"),
    linear(C=512, M=1000, name="linear"),
)


NO_LIMITS = LoopConstraints()


def bound_to(architecture: Architecture, problem: Problem) -> Architecture:
    bounds = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    return bind(architecture, bounds, {t.name: t.dimensions for t in problem.shape.tensors})


@pytest.mark.parametrize("problem", LAYERS, ids=[layer.name for layer in LAYERS])
@pytest.mark.parametrize("design", bundled_designs())
def test_obeys_every_constraint(design, problem):
    architecture = bound_to(load_architecture(design), problem)
    nests = sample(problem, architecture, 60, seed=3)
    for i in range(60):
        mapping = decode_mapping(candidate(nests, i), problem, architecture)
        check_mapping(mapping, problem, architecture)
        assert violations(mapping, problem, architecture) == ()


def small(*, limits: LoopConstraints = NO_LIMITS, depth: int | None = None) -> Architecture:
    return Architecture(
        "small",
        (
            Storage(name="DRAM", component="DRAM", width=8, datawidth=8),
            Spatial(name="array", component="dummy", fanout_x=2, fanout_y=3),
            Storage(
                name="buffer", component="RF", width=8, datawidth=8, depth=depth, mesh_x=6,
                constraints=Constraints(temporal=limits),
            ),
            Compute(name="mac", component="mac", mesh_x=6),
        ),
    )  # fmt: skip


def test_covers_the_whole_mapspace():
    problem = own_product(M=2, N=3, K=1)
    nests = sample(problem, small(), 20_000)
    factors = {tuple(row) for row in np.concatenate([nests.temporal, nests.spatial_x, nests.spatial_y], axis=1)
               .reshape(20_000, -1).tolist()}  # fmt: skip
    # M is in one of DRAM, X, Y, buffer; N in one of DRAM, Y, buffer; both on Y are one too many.
    assert len(factors) == 4 * 3 - 1
    assert len({row.tobytes() for row in nests.keep}) == 2**3
    assert len({row[0].tobytes() for row in nests.order}) == 2  # H and K have one iteration, wherever they stand


def test_limits_on_the_number_of_loops_are_obeyed():
    problem = own_product(M=8, N=9, K=10)
    nests = sample(problem, small(limits=LoopConstraints(max_dimensions=1)), 500)
    assert ((nests.temporal[:, 2] > 1).sum(axis=1) <= 1).all()


def test_no_mapping_obeys_contradicting_constraints():
    demanding = tuple(FactorConstraint("M", Relation.GE, 5) for _ in range(2))
    problem = own_product(M=4, N=3, K=1)
    with pytest.raises(NoMappingError, match=r"none of .* draws obeys all constraints"):
        sample(problem, small(limits=LoopConstraints(factors=demanding)), 10)


def test_a_longer_list_begins_like_a_shorter_one():
    problem = LAYERS[0]
    architecture = load_architecture("eyeriss_like")
    short, long = sample(problem, architecture, 10, seed=1), sample(problem, architecture, CHUNK + 10, seed=1)
    other = sample(problem, architecture, 10, seed=2)
    for one, two in zip(short, long, strict=True):
        assert np.array_equal(one, two[:10])
    assert not all(np.array_equal(one, two) for one, two in zip(short, other, strict=True))


def test_same_under_any_hash_seed():
    program = (
        "import hashlib; from dovetail.mapper.local.sample import sample; from dovetail.hardware.reader import *\n"
        "from dovetail.workload.problem import convolution\n"
        "nests = sample(convolution(C=8, M=8, P=7, Q=7, R=3, S=3), load_architecture('eyeriss_like'), 50, seed=5)\n"
        "print(hashlib.sha256(b''.join(array.tobytes() for array in nests)).hexdigest())"
    )
    environment = {"PATH": "", "DOVETAIL_CACHE": "off"}
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env=environment | {"PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(answers) == 1


def test_random_search_finds_what_it_says():
    problem, architecture = LAYERS[2], load_architecture("eyeriss_like")
    energies = estimate(architecture)
    found = {o: random_search(problem, architecture, energies, o, samples=4000, seed=1) for o in Objective}
    assert found[Objective.ENERGY][1].energy_pJ <= found[Objective.LATENCY][1].energy_pJ
    assert found[Objective.LATENCY][1].cycles <= found[Objective.ENERGY][1].cycles
    assert found[Objective.EDP][1].edp_J_cycle <= found[Objective.ENERGY][1].edp_J_cycle
    for mapping, _ in found.values():
        assert violations(mapping, problem, bound_to(architecture, problem)) == ()


def test_random_search_says_which_level_is_too_small():
    problem = own_product(M=4, N=3, K=2)
    tight = small(depth=1)
    tight = replace(tight, levels=tuple(
        replace(level, constraints=Constraints(keep=frozenset({t.name for t in problem.shape.tensors})))
        if level.name == "buffer" else level for level in tight.levels
    ))  # fmt: skip
    with pytest.raises(NoMappingError, match="none of 2000 random mappings fits; buffer is too small for 100% of them"):
        random_search(problem, tight, estimate(load_small_energies(tight)), samples=2000)


def load_small_energies(architecture: Architecture) -> Architecture:
    """Return the architecture with components that the estimators know."""
    return replace(
        architecture,
        levels=tuple(
            replace(level, component="DRAM" if level.name == "DRAM" else "smartbuffer_RF" if level.name == "buffer"
                    else "intmac" if level.name == "mac" else level.component,
                    attributes={"technology": "45nm", "depth": 1, "width": 8, "datawidth": 8, "type": "LPDDR4",
                                "multiplier_width": 8, "adder_width": 16})
            for level in architecture.levels
        ),
    )  # fmt: skip


def test_a_network_s_message_names_a_layer_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("name,C,M,P\nfc,768,50257,1\n")
    words = [str(table), "--on", "tpu_like", "--samples", "2", "--workers", "1"]
    assert main(["compare", *words]) == 2
    assert capsys.readouterr().err.count("fc on tpu_like") == 1
